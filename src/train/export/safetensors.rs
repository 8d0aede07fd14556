//! The network as `model.safetensors`, named as the state dict of the equivalent `nn.Sequential`.
//!
//! `0.weight` (out, in) and `0.bias` (out) are the first linear layer's, `2.weight` the second's: the odd numbers are
//! the neurons, which have no parameters. All are float32. What the tensors do not tell (the neurons' constants, the
//! class names, the steps) is one JSON object under the key `tonic_toolkit` of the file's metadata: a single key, so
//! that the same network always gives the same bytes.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError, SafeTensors};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::publish::publish;
use crate::train::snn::{Iaf, Network, Parameters, Shape};

/// The metadata's key.
const KEY: &str = "tonic_toolkit";

/// A network and what one needs to know to use it.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Neurons and parameters.
    pub network: Network,
    /// The name of each class, in the order of the readout.
    pub classes: Vec<String>,
    /// The steps for which it was trained, T.
    pub steps: usize,
}

#[derive(Serialize, Deserialize)]
struct Description {
    neuron: Iaf,
    classes: Vec<String>,
    steps: usize,
}

/// Why bytes are not a model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Not a safetensors file, or a damaged one.
    #[error("not a whole safetensors file")]
    Format(#[from] SafeTensorError),
    /// The description is not there.
    #[error("the file's metadata has no \"{KEY}\": it is not a model of tonic-train")]
    NoDescription,
    /// The description is not what it should be.
    #[error("the file's metadata \"{KEY}\" cannot be read")]
    Description(#[from] serde_json::Error),
    /// A constant with which neurons cannot work.
    #[error("the neurons' {name} is {value}, expected a positive number")]
    Constant {
        /// Which constant.
        name: &'static str,
        /// Its value.
        value: f32,
    },
    /// A tensor is not there.
    #[error("tensor {name} is missing")]
    Missing {
        /// The tensor.
        name: String,
    },
    /// A tensor that belongs to no layer.
    #[error("tensor {name} belongs to no layer of a chain of linear layers")]
    Unexpected {
        /// The tensor.
        name: String,
    },
    /// A tensor of another type.
    #[error("tensor {name} has type {got:?}, expected F32")]
    Type {
        /// The tensor.
        name: String,
        /// Its type.
        got: Dtype,
    },
    /// A tensor of another shape.
    #[error("tensor {name} has shape {got:?}, expected {expected}")]
    Shape {
        /// The tensor.
        name: String,
        /// The shape that the other tensors ask for.
        expected: String,
        /// Its shape.
        got: Vec<usize>,
    },
    /// A NaN or infinite parameter.
    #[error("tensor {name} has a NaN or infinite value")]
    NonFinite {
        /// The tensor.
        name: String,
    },
    /// Not one name for each class.
    #[error("{got} class names for a readout of {expected} classes")]
    ClassNames {
        /// Classes of the readout.
        expected: usize,
        /// Names.
        got: usize,
    },
}

/// Reads a model's file.
///
/// # Errors
/// [`Error::Io`], [`Error::Model`].
pub fn read_model(path: &Path) -> Result<Model, Error> {
    let bytes = std::fs::read(path).map_err(Error::io(path, "read the model"))?;
    from_bytes(&bytes).map_err(|source| Error::Model { path: path.into(), source })
}

/// Publishes a model's file.
///
/// # Errors
/// [`Error::Io`], [`Error::Model`].
pub fn write_model(path: &Path, model: &Model) -> Result<(), Error> {
    let bytes = to_bytes(model).map_err(|source| Error::Model { path: path.into(), source })?;
    publish(path, &bytes)
}

/// The bytes of a file that holds `model`.
///
/// # Errors
/// Only if a name does not fit into JSON or the header would be too large.
pub fn to_bytes(model: &Model) -> Result<Vec<u8>, ModelError> {
    let Model { network, classes, steps } = model;
    let description = Description { neuron: network.neuron, classes: classes.clone(), steps: *steps };
    let metadata = HashMap::from([(KEY.to_owned(), serde_json::to_string(&description)?)]);
    let bytes = |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|value| value.to_le_bytes()).collect() };
    let mut tensors = Vec::new();
    for (i, layer) in network.parameters.layers().enumerate() {
        tensors.push((format!("{}.weight", 2 * i), vec![layer.outputs, layer.inputs], bytes(&layer.weight())));
        tensors.push((format!("{}.bias", 2 * i), vec![layer.outputs], bytes(layer.bias)));
    }
    let mut views = Vec::new();
    for (name, shape, data) in &tensors {
        views.push((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), data)?));
    }
    Ok(safetensors::serialize(views, Some(metadata))?)
}

/// The model that a file's bytes hold.
///
/// # Errors
/// Anything that is not a chain of linear layers with a description, whatever the bytes.
pub fn from_bytes(bytes: &[u8]) -> Result<Model, ModelError> {
    let (_, header) = SafeTensors::read_metadata(bytes)?;
    let text = header.metadata().as_ref().and_then(|map| map.get(KEY)).ok_or(ModelError::NoDescription)?;
    let Description { neuron, classes, steps } = serde_json::from_str(text)?;
    check_neuron(&neuron)?;

    let tensors = SafeTensors::deserialize(bytes)?;
    let mut unknown: BTreeSet<String> = tensors.names().into_iter().map(str::to_owned).collect();
    let mut widths: Vec<usize> = Vec::new();
    let mut parts = Vec::new();
    while parts.is_empty() || unknown.contains(&format!("{}.weight", 2 * parts.len())) {
        let [weight_name, bias_name] = ["weight", "bias"].map(|kind| format!("{}.{kind}", 2 * parts.len()));
        let (shape, weight) = float32(&tensors, &weight_name)?;
        let before = widths.last().copied();
        let &[outputs, inputs] = shape.as_slice() else {
            return Err(ModelError::Shape { name: weight_name, expected: "(out, in)".into(), got: shape });
        };
        if outputs == 0 || inputs == 0 || before.is_some_and(|before| before != inputs) {
            let expected = before.map_or("at least (1, 1)".into(), |before| format!("(out, {before})"));
            return Err(ModelError::Shape { name: weight_name, expected, got: shape });
        }
        let (shape, bias) = float32(&tensors, &bias_name)?;
        if shape != [outputs] {
            return Err(ModelError::Shape { name: bias_name, expected: format!("({outputs})"), got: shape });
        }
        if before.is_none() {
            widths.push(inputs);
        }
        widths.push(outputs);
        unknown.remove(&weight_name);
        unknown.remove(&bias_name);
        parts.push((weight, bias));
    }
    if let Some(name) = unknown.pop_first() {
        return Err(ModelError::Unexpected { name });
    }
    let (inputs, outputs) = (widths.remove(0), widths.pop().unwrap_or_default());
    if classes.len() != outputs {
        return Err(ModelError::ClassNames { expected: outputs, got: classes.len() });
    }
    let mut parameters = Parameters::zeros(Shape { inputs, hidden: widths, classes: outputs });
    for (mut layer, (weight, bias)) in parameters.layers_mut().zip(&parts) {
        layer.set_weight(weight);
        layer.bias.copy_from_slice(bias);
    }
    Ok(Model { network: Network { neuron, parameters }, classes, steps })
}

fn check_neuron(neuron: &Iaf) -> Result<(), ModelError> {
    let surrogate = neuron.surrogate;
    let constants =
        [("theta", neuron.theta), ("grad_width", surrogate.grad_width), ("grad_scale", surrogate.grad_scale)];
    match constants.into_iter().find(|(_, value)| !(value.is_finite() && *value > 0.0)) {
        Some((name, value)) => Err(ModelError::Constant { name, value }),
        None => Ok(()),
    }
}

/// A tensor's shape and values.
fn float32(tensors: &SafeTensors<'_>, name: &str) -> Result<(Vec<usize>, Vec<f32>), ModelError> {
    let view = tensors.tensor(name).map_err(|_| ModelError::Missing { name: name.to_owned() })?;
    if view.dtype() != Dtype::F32 {
        return Err(ModelError::Type { name: name.to_owned(), got: view.dtype() });
    }
    let values: Vec<f32> = view.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    if values.iter().any(|value| !value.is_finite()) {
        return Err(ModelError::NonFinite { name: name.to_owned() });
    }
    Ok((view.shape().to_vec(), values))
}
