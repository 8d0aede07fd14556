//! Tests of model.safetensors: writing it, reading it, and refusing damaged files.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use tonic_toolkit::train::ModelError;
use tonic_toolkit::train::network::{Architecture, Iaf, Layers, Model, Network, Shape, from_bytes, to_bytes};

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

/// Changes the tensors and the metadata of a model file with `change`. Returns the error of reading the file.
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
fn layers_that_are_larger_than_the_file_are_refused_before_they_take_memory() {
    let hidden = "{ linear = 1048576 }, { neuron = \"lif\" }, ".repeat(3);
    let layers = format!("layers = [{hidden}{{ linear = \"classes\" }}, {{ readout = \"sum\" }}]\n");
    let error = changed(|_, metadata| {
        let text = metadata.values_mut().next().unwrap();
        let mut description: serde_json::Value = serde_json::from_str(text).unwrap();
        description.as_object_mut().unwrap().remove("neuron");
        description["network"] = layers.into();
        *text = description.to_string();
    });
    assert!(matches!(error, ModelError::Shape { .. }), "{error}");
}

#[test]
fn negative_variances_and_files_without_classes_are_refused() {
    let text = "layers = [{ linear = 3 }, { norm = \"batch\" }, { neuron = \"lif\" }, { linear = \"classes\" }, \
                { readout = \"sum\" }]\n";
    let architecture = Architecture::new(4, Layers::parse(text, &[]).unwrap(), 2);
    let mut network = Network::zeros(architecture);
    let classes = vec!["a".to_owned(), "b".to_owned()];
    let read = |network: &Network, classes: &[String]| {
        from_bytes(&to_bytes(&Model { network: network.clone(), classes: classes.to_vec(), steps: 9 }).unwrap())
    };
    assert!(read(&network, &classes).is_ok());
    let refused = read(&network, &[]).unwrap_err().to_string();
    assert_eq!(refused, "the file's metadata has no class names, expected one for each output");
    network.parameters.statistics_mut()[4] = -1e-6;
    let refused = read(&network, &classes).unwrap_err().to_string();
    assert_eq!(refused, "tensor 1.running_var has a negative variance");
}

#[test]
fn each_fault_has_its_error() {
    type Change = fn(&mut Tensors, &mut HashMap<String, String>);
    fn tensor<'a>(tensors: &'a mut Tensors, name: &str) -> &'a mut Tensor {
        tensors.get_mut(name).unwrap()
    }
    fn described(metadata: &mut HashMap<String, String>, from: &str, to: &str) {
        metadata.values_mut().for_each(|text| *text = text.replace(from, to));
    }
    let changes: [(Change, &str); 15] = [
        (|t, _| drop(t.remove("2.bias")), "tensor 2.bias is missing"),
        (|t, _| drop(t.remove("0.weight")), "tensor 0.weight is missing"),
        (|t, _| drop(t.remove("2.weight")), "tensor 2.bias belongs to no layer of a chain of linear layers"),
        (
            |t, _| drop(t.insert("1.v_mem".into(), Tensor { dtype: Dtype::F32, shape: vec![1], data: vec![0; 4] })),
            "tensor 1.v_mem belongs to no layer of a chain of linear layers",
        ),
        (|t, _| tensor(t, "2.weight").shape = vec![4, 3], "tensor 2.weight has shape [4, 3], expected (out, 4)"),
        (|t, _| tensor(t, "2.weight").shape = vec![12], "tensor 2.weight has shape [12], expected (out, in)"),
        (|t, _| tensor(t, "0.bias").shape = vec![2, 2], "tensor 0.bias has shape [2, 2], expected (4)"),
        (|t, _| tensor(t, "0.bias").dtype = Dtype::I32, "tensor 0.bias has type I32, expected F32"),
        (|t, _| tensor(t, "4.bias").data[..4].fill(0xff), "tensor 4.bias has a NaN or infinite value"),
        (|_, m| m.clear(), "the file's metadata has no \"tonic_toolkit\": it is not a model of tonic-train"),
        (|_, m| described(m, "}", ""), "the file's metadata \"tonic_toolkit\" cannot be read"),
        (|_, m| described(m, "\"theta\":1.0", "\"theta\":0.0"), "the neurons' theta is 0, expected a positive number"),
        (
            |_, m| described(m, "\"min_v_mem\":-1.0", "\"min_v_mem\":1.0"),
            "the neurons' min_v_mem is 1, expected a number below the threshold",
        ),
        (|_, m| described(m, "\"ja\",", ""), "1 class names for a readout of 2 classes"),
        (|t, _| t.clear(), "tensor 0.weight is missing"),
    ];
    for (change, expected) in changes {
        assert_eq!(changed(change).to_string(), expected);
    }
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
