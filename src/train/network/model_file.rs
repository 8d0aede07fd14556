//! The model file `model.safetensors`: the state dict of an equivalent `nn.Sequential`, in float32.
//!
//! ```text
//! 0.weight, 0.bias                     first linear layer: (out, in) and (out,)
//! N.weight, N.bias                     another linear layer; N is the index of the layer in the network file, from 0
//! N.weight, N.bias,                    norm, as in nn.BatchNorm1d: (channels,)
//! N.running_mean, N.running_var
//! N.weight                             recurrent connection, as in nn.Linear: (out, in)
//! N.alpha and others                   learned parameters of neurons, with the names of Neuron::learned
//! ```
//!
//! The metadata has one key, `tonic_toolkit`. Its value is a JSON object with the class names, the number of time
//! steps, and one of:
//!
//! - the constants of the neurons, if [`Layers::as_iaf`] describes the layers
//! - the text of the network file, for other layers

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use tonic_base::publish;

use crate::error::{BaseFault, Error, ModelError, Result};
use crate::network::layers::Layers;
use crate::network::parameters::transposed;
use crate::network::tensors::{Architecture, StatisticKind, Tensor};
use crate::network::{Iaf, Network, Shape};

/// Key in the file's metadata for the description of the network.
const KEY: &str = "tonic_toolkit";

/// Name of the weights of the first linear layer.
const FIRST: &str = "0.weight";

/// The content of a model file: a network, its class names and its number of time steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Layers and parameters.
    pub network: Network,
    /// Names of the classes, in the order of the network's outputs.
    pub classes: Vec<String>,
    /// Number of time steps per sample in training.
    pub steps: usize,
}

#[derive(Serialize, Deserialize)]
struct Description {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    neuron: Option<Iaf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    network: Option<Layers>,
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

/// Name, shape and values of a tensor.
type NamedTensor = (String, Vec<usize>, Vec<f32>);

/// Reads the description in a model file (JSON) and all its tensors.
///
/// # Errors
/// The errors of [`read_model`] for the file, its format, its description, and the types and values of its tensors.
pub(crate) fn read_arrays(path: &Path) -> Result<(String, Vec<NamedTensor>), Error> {
    let bytes = std::fs::read(path).map_err(Error::io(path, "read the model"))?;
    let read = || -> Result<_, ModelError> {
        let (_, header) = SafeTensors::read_metadata(&bytes)?;
        let text = header.metadata().as_ref().and_then(|map| map.get(KEY)).ok_or(ModelError::NoDescription)?;
        let tensors = SafeTensors::deserialize(&bytes)?;
        let mut names: Vec<&str> = tensors.names();
        names.sort_unstable();
        let array = |name: &str| {
            let shape = tensors.tensor(name)?.shape().to_vec();
            Ok((name.to_owned(), shape.clone(), float32(&tensors, name, &shape)?))
        };
        Ok((text.clone(), names.into_iter().map(array).collect::<Result<_, ModelError>>()?))
    };
    read().map_err(|source| Error::Model { path: path.into(), source })
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
    let architecture = network.architecture();
    let neuron = architecture.layers.as_iaf();
    let layers = neuron.is_none().then(|| architecture.layers.clone());
    let description = Description { neuron, network: layers, classes: classes.clone(), steps: *steps };
    let metadata = HashMap::from([(KEY.to_owned(), serde_json::to_string(&description)?)]);
    let bytes = |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|value| value.to_le_bytes()).collect() };
    let mut tensors = Vec::new();
    for tensor in architecture.tensors() {
        let values = &network.parameters.flat()[tensor.range.clone()];
        let values = if tensor.is_weight() { &transposed(values, tensor.outputs) } else { values };
        tensors.push((&tensor.name, shape(tensor), bytes(values)));
    }
    for statistic in architecture.statistics() {
        let values = &network.parameters.statistics()[statistic.range.clone()];
        tensors.push((&statistic.name, vec![values.len()], bytes(values)));
    }
    let mut views = Vec::new();
    for (name, shape, data) in &tensors {
        views.push((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), data)?));
    }
    Ok(safetensors::serialize(views, Some(metadata))?)
}

/// Reads a model from the content of a model file, and checks it.
///
/// # Errors
/// A [`ModelError`] that says what is missing or wrong.
pub fn from_bytes(bytes: &[u8]) -> Result<Model, ModelError> {
    let (_, header) = SafeTensors::read_metadata(bytes)?;
    let text = header.metadata().as_ref().and_then(|map| map.get(KEY)).ok_or(ModelError::NoDescription)?;
    let Description { neuron, network, classes, steps } = serde_json::from_str(text)?;
    let tensors = SafeTensors::deserialize(bytes)?;
    if classes.is_empty() {
        return Err(ModelError::NoClasses);
    }
    let architecture = match (neuron, network) {
        (Some(neuron), None) => {
            if let Some((name, expected, value)) = neuron.fault() {
                return Err(ModelError::Constant { name, expected, value });
            }
            chain(&tensors)?.iaf(neuron)
        }
        (None, Some(layers)) => Architecture::new(matrix(&tensors, FIRST)?[1], layers, classes.len()),
        _ => return Err(ModelError::NoDescription),
    };
    // Check the shapes before memory is allocated: the described layers may be much larger than the file.
    for tensor in architecture.tensors() {
        view(&tensors, &tensor.name, &shape(tensor))?;
    }
    let mut network = Network::zeros(architecture);
    take_tensors(&tensors, &mut network, true)?;
    let outputs = network.shape().classes;
    if classes.len() != outputs {
        return Err(ModelError::ClassNames { expected: outputs, got: classes.len() });
    }
    Ok(Model { network, classes, steps })
}

/// Replaces the parameters of `network`, and the statistics of its norms, with the tensors of a safetensors file. The
/// tensors must have the names that they have in a model file.
///
/// Returns the names of the tensors that the file doesn't have. These keep their values in `network`.
///
/// # Errors
/// [`Io`](tonic_base::Error::Io) if the file cannot be read, [`Error::Model`] if a tensor doesn't belong to the
/// network, or has another type or shape.
pub fn read_parameters(path: &Path, network: &mut Network) -> Result<Vec<String>, Error> {
    let bytes = std::fs::read(path).map_err(Error::io(path, "read the parameters"))?;
    let taken = SafeTensors::deserialize(&bytes).map_err(ModelError::from);
    let taken = taken.and_then(|tensors| take_tensors(&tensors, network, false));
    taken.map_err(|source| Error::Model { path: path.into(), source })
}

/// Copies the tensors to `network`, and returns the names of missing tensors. If `all` is true, a missing tensor is
/// an error.
fn take_tensors(tensors: &SafeTensors<'_>, network: &mut Network, all: bool) -> Result<Vec<String>, ModelError> {
    let architecture = network.architecture().clone();
    let mut unknown: BTreeSet<&str> = tensors.names().into_iter().collect();
    let mut missing = Vec::new();
    for tensor in architecture.tensors() {
        if !unknown.remove(tensor.name.as_str()) && !all {
            missing.push(tensor.name.clone());
            continue;
        }
        let values = float32(tensors, &tensor.name, &shape(tensor))?;
        let values = if tensor.is_weight() { transposed(&values, tensor.inputs) } else { values };
        network.parameters.flat_mut()[tensor.range.clone()].copy_from_slice(&values);
    }
    for statistic in architecture.statistics() {
        if !unknown.remove(statistic.name.as_str()) && !all {
            missing.push(statistic.name.clone());
            continue;
        }
        let values = float32(tensors, &statistic.name, &[statistic.range.len()])?;
        if statistic.kind == StatisticKind::Variance && values.iter().any(|&variance| variance < 0.0) {
            return Err(ModelError::NegativeVariance { name: statistic.name.clone() });
        }
        network.parameters.statistics_mut()[statistic.range.clone()].copy_from_slice(&values);
    }
    match unknown.pop_first() {
        Some(name) => Err(ModelError::Unexpected { name: name.into() }),
        None => Ok(missing),
    }
}

/// Returns the shape that a tensor has in the file.
fn shape(tensor: &Tensor) -> Vec<usize> {
    if tensor.is_weight() { vec![tensor.outputs, tensor.inputs] } else { vec![tensor.outputs] }
}

/// Reads the numbers of inputs, hidden neurons and classes from the shapes of the weights. The layers are those of
/// [`Layers::iaf`].
fn chain(tensors: &SafeTensors<'_>) -> Result<Shape, ModelError> {
    let [first, inputs] = matrix(tensors, FIRST)?;
    let mut widths = vec![first];
    for layer in 1.. {
        let name = format!("{}.weight", 2 * layer);
        if tensors.tensor(&name).is_err() {
            break;
        }
        let [outputs, inputs] = matrix(tensors, &name)?;
        let before = widths[layer - 1];
        if inputs != before {
            let (expected, got) = (format!("(out, {before})"), vec![outputs, inputs]);
            return Err(ModelError::Shape { name, expected, got });
        }
        widths.push(outputs);
    }
    let classes = widths.pop().unwrap_or_default();
    Ok(Shape { inputs, hidden: widths, classes })
}

/// Returns the shape (out, in) of a weight matrix.
fn matrix(tensors: &SafeTensors<'_>, name: &str) -> Result<[usize; 2], ModelError> {
    let view = tensors.tensor(name).map_err(|_| ModelError::Missing { name: name.to_owned() })?;
    let wrong =
        |expected: &str| ModelError::Shape { name: name.into(), expected: expected.into(), got: view.shape().to_vec() };
    match *view.shape() {
        [outputs, inputs] if outputs > 0 && inputs > 0 => Ok([outputs, inputs]),
        [_, _] => Err(wrong("at least (1, 1)")),
        _ => Err(wrong("(out, in)")),
    }
}

/// Returns the values of the tensor `name`, which must have this shape.
fn float32(tensors: &SafeTensors<'_>, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelError> {
    let view = view(tensors, name, shape)?;
    let values: Vec<f32> = view.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    if values.iter().any(|value| !value.is_finite()) {
        return Err(ModelError::NonFinite { name: name.to_owned() });
    }
    Ok(values)
}

/// Returns the tensor `name`, or an error if it doesn't have the type float32 and this shape.
fn view<'t>(tensors: &SafeTensors<'t>, name: &str, shape: &[usize]) -> Result<TensorView<'t>, ModelError> {
    let view = tensors.tensor(name).map_err(|_| ModelError::Missing { name: name.to_owned() })?;
    if view.dtype() != Dtype::F32 {
        return Err(ModelError::Type { name: name.to_owned(), got: view.dtype() });
    }
    if view.shape() != shape {
        let sizes: Vec<String> = shape.iter().map(ToString::to_string).collect();
        let expected = format!("({})", sizes.join(", "));
        return Err(ModelError::Shape { name: name.to_owned(), expected, got: view.shape().to_vec() });
    }
    Ok(view)
}
