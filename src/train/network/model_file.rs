//! The model file `model.safetensors`: the state dict of an equivalent `nn.Sequential`, in float32.
//!
//! - `0.weight` (out, in) and `0.bias` (out,): first linear layer
//! - `2.weight` and `2.bias`: second linear layer, and so on
//! - key `tonic_toolkit` of the metadata: a JSON object with neuron constants, class names and number of time steps

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use tonic_base::publish;

use crate::error::{BaseFault, Error, ModelError, Result};
use crate::network::{Iaf, Network, Parameters, Shape};

/// Key in the file's metadata for the description of the network.
const KEY: &str = "tonic_toolkit";

/// The content of a model file: a network, its class names and its number of time steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Constants of the neurons, and weights and biases.
    pub network: Network,
    /// Names of the classes, in the order of the network's outputs.
    pub classes: Vec<String>,
    /// Number of time steps per sample in training.
    pub steps: usize,
}

#[derive(Serialize, Deserialize)]
struct Description {
    neuron: Iaf,
    classes: Vec<String>,
    steps: usize,
}

/// Reads a model file.
///
/// # Errors
/// [`Io`](tonic_base::Error::Io) if the file cannot be read, [`Error::Model`] if the file is not a valid model file.
pub fn read_model(path: &Path) -> Result<Model, Error> {
    let bytes = std::fs::read(path).map_err(Error::io(path, "read the model"))?;
    from_bytes(&bytes).map_err(|source| Error::Model { path: path.into(), source })
}

/// Writes a model file.
///
/// # Errors
/// [`Io`](tonic_base::Error::Io) if the file cannot be written, [`Error::Model`] for the errors of [`to_bytes`].
pub fn write_model(path: &Path, model: &Model) -> Result<(), Error> {
    let bytes = to_bytes(model).map_err(|source| Error::Model { path: path.into(), source })?;
    Ok(publish(path, &bytes)?)
}

/// Returns the content of a model file for `model`.
///
/// # Errors
/// [`ModelError::Description`] if the metadata cannot be written as JSON, [`ModelError::Format`] if the header of the
/// file would be too large.
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

/// Reads a model from the content of a model file, and checks every part.
///
/// # Errors
/// A [`ModelError`] that says which part is missing or wrong.
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

/// Returns the shape and the values of the tensor `name`.
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
