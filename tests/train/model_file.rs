//! model.safetensors: written, read again, and damaged in every way.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use tonic_toolkit::train::ModelError;
use tonic_toolkit::train::network::{Iaf, Shape};
use tonic_toolkit::train::network::{Model, from_bytes, to_bytes};

use crate::random;

fn model() -> Model {
    let shape = Shape { inputs: 5, hidden: vec![4, 3], classes: 2 };
    let neuron = Iaf { min_v_mem: Some(-1.0), ..Iaf::default() };
    let classes = vec!["ja".to_owned(), "nein \"x\"".to_owned()];
    Model { network: random::dyadic_network(1, shape, neuron), classes, steps: 250 }
}

#[test]
fn a_model_comes_back_and_is_named_as_a_state_dict() {
    let model = model();
    let bytes = to_bytes(&model).unwrap();
    assert_eq!(from_bytes(&bytes).unwrap(), model);
    assert_eq!(to_bytes(&model).unwrap(), bytes);

    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut names = file.names();
    names.sort();
    assert_eq!(names, ["0.bias", "0.weight", "2.bias", "2.weight", "4.bias", "4.weight"]);
    let weight = file.tensor("2.weight").unwrap();
    assert_eq!((weight.dtype(), weight.shape()), (Dtype::F32, &[3, 4][..]));
    let layer = model.network.parameters.layers().nth(1).unwrap();
    let values: Vec<f32> = weight.data().as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
    // (out 2, in 1): row-major (out, in) in the file, transposed in memory.
    assert_eq!(values[2 * 4 + 1], layer.weight_t[3 + 2]);
}

struct Tensor {
    dtype: Dtype,
    shape: Vec<usize>,
    data: Vec<u8>,
}

type Tensors = BTreeMap<String, Tensor>;

/// The error of the model's file with its tensors and metadata changed.
fn changed(change: impl FnOnce(&mut Tensors, &mut HashMap<String, String>)) -> ModelError {
    let bytes = to_bytes(&model()).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensor =
        |view: TensorView<'_>| Tensor { dtype: view.dtype(), shape: view.shape().to_vec(), data: view.data().to_vec() };
    let mut tensors: Tensors = file.iter().map(|(name, view)| (name.to_owned(), tensor(view))).collect();
    let mut metadata = SafeTensors::read_metadata(&bytes).unwrap().1.metadata().clone().unwrap();
    change(&mut tensors, &mut metadata);
    let views = tensors.iter().map(|(n, t)| (n, TensorView::new(t.dtype, t.shape.clone(), &t.data).unwrap()));
    from_bytes(&safetensors::serialize(views, Some(metadata)).unwrap()).unwrap_err()
}

#[test]
fn each_fault_has_its_error() {
    fn at<'a>(tensors: &'a mut Tensors, name: &str) -> &'a mut Tensor {
        tensors.get_mut(name).unwrap()
    }
    let error = changed(|t, _| drop(t.remove("2.bias")));
    assert!(matches!(&error, ModelError::Missing { name } if name == "2.bias"), "{error}");
    let error = changed(|t, _| drop(t.remove("0.weight")));
    assert!(matches!(&error, ModelError::Missing { name } if name == "0.weight"), "{error}");
    let error = changed(|t, _| drop(t.remove("2.weight")));
    assert!(matches!(&error, ModelError::Unexpected { name } if name == "2.bias"), "{error}");
    let extra = Tensor { dtype: Dtype::F32, shape: vec![1], data: vec![0; 4] };
    let error = changed(|t, _| drop(t.insert("1.v_mem".into(), extra)));
    assert!(matches!(&error, ModelError::Unexpected { name } if name == "1.v_mem"), "{error}");
    let error = changed(|t, _| at(t, "2.weight").shape = vec![4, 3]);
    assert_eq!(error.to_string(), "tensor 2.weight has shape [4, 3], expected (out, 4)");
    let error = changed(|t, _| at(t, "2.weight").shape = vec![12]);
    assert_eq!(error.to_string(), "tensor 2.weight has shape [12], expected (out, in)");
    let error = changed(|t, _| at(t, "0.bias").shape = vec![2, 2]);
    assert_eq!(error.to_string(), "tensor 0.bias has shape [2, 2], expected (4)");
    let error = changed(|t, _| at(t, "0.bias").dtype = Dtype::I32);
    assert!(matches!(&error, ModelError::Type { name, got: Dtype::I32 } if name == "0.bias"), "{error}");
    let error = changed(|t, _| at(t, "4.bias").data = [f32::NAN.to_le_bytes(), [0; 4]].concat());
    assert!(matches!(&error, ModelError::NonFinite { name } if name == "4.bias"), "{error}");
    let error = changed(|_, m| m.clear());
    assert!(matches!(error, ModelError::NoDescription), "{error}");
    let error = changed(|_, m| drop(m.insert("tonic_toolkit".into(), "{".into())));
    assert!(matches!(error, ModelError::Description(_)), "{error}");
    let error = changed(|_, m| m.values_mut().for_each(|v| *v = v.replace("\"theta\":1.0", "\"theta\":0.0")));
    assert!(matches!(error, ModelError::Constant { name: "theta", .. }), "{error}");
    let error = changed(|_, m| m.values_mut().for_each(|v| *v = v.replace("\"ja\",", "")));
    assert!(matches!(error, ModelError::ClassNames { expected: 2, got: 1 }), "{error}");
    assert!(matches!(from_bytes(b"").unwrap_err(), ModelError::Format(_)));
}

proptest! {
    #[test]
    fn damaged_bytes_are_an_error_or_another_model_and_never_a_panic(
        at: prop::sample::Index, bit in 0u32..8, cut: prop::sample::Index,
    ) {
        let bytes = to_bytes(&model()).unwrap();
        let mut flipped = bytes.clone();
        flipped[at.index(bytes.len())] ^= 1 << bit;
        let _ = from_bytes(&flipped);
        prop_assert!(from_bytes(&bytes[..cut.index(bytes.len())]).is_err());
    }
}
