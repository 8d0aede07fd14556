//! Tests of networks as NIR and NumPy files: written files give the same network when they are read, and files of the
//! package `nir` can be read. tests/python runs exported graphs in Sinabs and snnTorch.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tonic_toolkit::base::Verbosity;
use tonic_toolkit::loader::{CacheChoice, Loader};
use tonic_toolkit::shard::ShardSet;
use tonic_toolkit::train::engine::{CpuEngine, Engine, LayeredEngine};
use tonic_toolkit::train::learner::Pad;
use tonic_toolkit::train::network::{Layers, Network, Neuron, Reset, read_model};

use crate::evaluation::logits;
use crate::sets::{self, fails, fit, succeeds, task, train};

const LIF: &str = "layers = [{ linear = 24, bias = false }, { norm = \"batch\" }, { neuron = \"lif\" }, \
                   { linear = 16 }, { neuron = \"cuba-lif\" }, { linear = \"classes\" }, { readout = \"sum\" }]\n";

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/goldens/{name}.nir"))
}

fn export(dir: &Path, run: &str, options: &str) -> assert_cmd::Command {
    let mut command = train();
    command.current_dir(dir).args(["export", run]).args(options.split_whitespace());
    command
}

fn import(dir: &Path, graph: &Path, out: &str, options: &str) -> assert_cmd::Command {
    let mut command = train();
    command.current_dir(dir).arg("import").arg(graph).args(["-o", out]).args(options.split_whitespace());
    command
}

/// Trains the network that the network file `text` describes. The run folder is `dir/run`.
fn trained(dir: &Path, text: &str) {
    std::fs::write(dir.join("network.toml"), text).unwrap();
    let mut fit = train();
    fit.current_dir(dir).args(["fit", "--train", "train", "--network", "network.toml", "-o", "run", "--quiet"]);
    succeeds(fit.args(["--epochs", "1", "--device", "cpu", "--batch-size", "16", "--overwrite"]));
}

/// Asserts that two networks have nearly the same numbers.
fn assert_near(got: &Network, expected: &[f32]) {
    let got = got.parameters.flat();
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() <= 2e-5 * expected.abs().max(0.01), "{got} {expected}");
    }
}

#[test]
fn an_exported_graph_is_imported_again() {
    let dir = task();
    trained(dir.path(), LIF);
    let said = sets::json(&mut export(dir.path(), "run", "--nir a.nir --dt 0.004"));
    assert_eq!(said["path"], "a.nir");
    assert_eq!(said["notes"].as_array().unwrap().len(), 2, "{said}");
    let options = "--dt 0.004 --steps 20";
    succeeds(&mut import(dir.path(), &dir.path().join("a.nir"), "a.safetensors", options));
    let once = read_model(&dir.path().join("a.safetensors")).unwrap();
    assert_eq!((once.classes.clone(), once.steps), (["low", "middle", "high"].map(String::from).to_vec(), 20));
    let layers: &Layers = once.network.layers();
    assert!(layers.hidden.iter().all(|layer| layer.norm.is_none() && layer.linear.bias));
    assert!(matches!(layers.hidden[0].neuron, Neuron::Lif(of) if of.reset == Reset::Soft));
    assert!(matches!(layers.hidden[1].neuron, Neuron::CubaLif(_)));
    // A run folder with the imported network gives a graph with the same numbers.
    let before = read_model(&dir.path().join("run/model.safetensors")).unwrap();
    assert_eq!(before.network.shape(), once.network.shape());
    let readout = |network: &Network| network.parameters.layers().last().unwrap().weight();
    assert_eq!(readout(&before.network), readout(&once.network));
    fails(&mut export(dir.path(), "run", "--nir b.nir --convention sinabs"), 2, &["layer 2", "no cuba-lif"]);
    fails(&mut export(dir.path(), "run", "--nir b.nir"), 2, &["dt: expected the duration of a time step", "--dt"]);
    fails(&mut export(dir.path(), "run", "--nir b.nir --npz c.npz"), 2, &["cannot be used with"]);
    fails(&mut export(dir.path(), "run", "--npz run/model.safetensors"), 2, &["ends in .npz"]);
    fails(&mut export(dir.path(), "run", ""), 2, &["--nir", "not provided"]);
    assert!(!dir.path().join("b.nir").exists());
}

/// Reads graphs that two versions of the package `nir` wrote. Both have the same weights. Only version 1.0.8 has the
/// parameter `v_reset`.
#[test]
fn graphs_of_the_package_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    for (version, reset) in [("1.0.4", Reset::Soft), ("1.0.8", Reset::Hard)] {
        succeeds(&mut import(
            dir.path(),
            &golden(&format!("nir_{version}")),
            "out.safetensors",
            "--dt 0.004 --steps 9",
        ));
        let model = read_model(&dir.path().join("out.safetensors")).unwrap();
        let hidden = &model.network.layers().hidden;
        assert!(matches!(hidden[0].neuron, Neuron::Lif(of) if of.reset == reset), "{version}");
        assert!(matches!(hidden[1].neuron, Neuron::CubaLif(of) if of.reset == reset), "{version}");
        assert_eq!(model.classes, ["0", "1", "2"]);
        all.push(model);
    }
    let first = &all[0].network;
    assert_near(&all[1].network, first.parameters.flat());
    let decays = first.architecture().tensors().iter().filter(|of| of.name.ends_with("a") && !of.name.contains("bias"));
    let alphas: Vec<f32> = decays.map(|tensor| first.parameters.flat()[tensor.range.start]).collect();
    assert_eq!(alphas.len(), 3);
    for (got, expected) in alphas.iter().zip([0.75, 0.5, 0.75]) {
        assert!((got - expected).abs() < 1e-6, "{alphas:?}");
    }
    // r / v_threshold = 4 multiplies the weights of the first layer, which are multiples of 2^-6.
    let weights = first.parameters.layers().next().unwrap().weight();
    assert!(weights.iter().all(|weight| (weight * 16.0).fract() == 0.0 && weight.abs() <= 2.0), "{weights:?}");
}

#[test]
fn a_graph_is_no_file_to_begin_with_but_its_import_is() {
    let dir = task();
    trained(dir.path(), LIF);
    succeeds(&mut export(dir.path(), "run", "--nir a.nir --dt 0.004"));
    let begin = |network: &str, init: &str| {
        let mut fit = train();
        fit.current_dir(dir.path()).args([
            "fit",
            "--train",
            "train",
            "--network",
            network,
            "--init",
            init,
            "-o",
            "next",
        ]);
        fit.args(["--epochs", "1", "--device", "cpu", "--batch-size", "16"]);
        fit
    };
    fails(&mut begin("network.toml", "a.nir"), 2, &["--init", "tonic-train import", "got a.nir: a graph in HDF5"]);
    let mut import = import(dir.path(), &dir.path().join("a.nir"), "a.safetensors", "--dt 0.004 --steps 20");
    let text = String::from_utf8(import.output().unwrap().stdout).unwrap();
    let network = &text[..text.rfind("]\n").unwrap() + 2];
    std::fs::write(dir.path().join("imported.toml"), network).unwrap();
    let said = succeeds(&mut begin("imported.toml", "a.safetensors"));
    sets::assert_says(&said, &["init     all parameters are from a.safetensors"]);
}

#[test]
fn damaged_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = std::fs::read(golden("nir_1.0.4")).unwrap();
    let file = dir.path().join("x.nir");
    let options = "--dt 0.004 --steps 9";
    for (damaged, words) in [(&b""[..], "x.nir: corrupt: HDF5"), (&bytes[..bytes.len() / 2], "x.nir: corrupt")] {
        std::fs::write(&file, damaged).unwrap();
        fails(&mut import(dir.path(), &file, "out.safetensors", options), 4, &[words]);
    }
    fails(
        &mut import(dir.path(), &dir.path().join("none"), "out.safetensors", options),
        1,
        &["none", "open the graph"],
    );
    fails(
        &mut import(dir.path(), &golden("nir_1.0.4"), "out.safetensors", "--steps 9"),
        2,
        &["dt: expected the duration"],
    );
    fails(&mut import(dir.path(), &golden("nir_1.0.4"), "out.txt", options), 2, &["ends in .safetensors"]);
    let for_sinabs = format!("{options} --convention sinabs");
    fails(
        &mut import(dir.path(), &golden("nir_1.0.4"), "out.safetensors", &for_sinabs),
        2,
        &["--dt", "--convention nir"],
    );
    assert!(!dir.path().join("out.safetensors").exists() && !dir.path().join("out.txt").exists());
}

#[test]
fn the_integrate_and_fire_network_comes_back_from_plain_nir_and_with_a_bound_from_sinabs_form() {
    let dir = task();
    let says = |said: &serde_json::Value, words: &str| {
        assert!(said["notes"].as_array().unwrap().iter().any(|note| note.as_str().unwrap().contains(words)), "{said}");
    };
    let comes_back = |graph: &str, options: &str| {
        let out = format!("{graph}.safetensors");
        succeeds(&mut import(dir.path(), &dir.path().join(graph), &out, options));
        let [before, after] = ["run/model.safetensors", &out].map(|name| read_model(&dir.path().join(name)).unwrap());
        assert_eq!(before.network, after.network);
    };
    succeeds(&mut fit(dir.path(), "run", "--epochs 1 --quiet"));
    says(&sets::json(&mut export(dir.path(), "run", "--nir plain.nir --dt 0.004")), "several times per step");
    comes_back("plain.nir", "--dt 0.004 --steps 20");
    succeeds(&mut fit(dir.path(), "run", "--epochs 1 --quiet --overwrite --min-v-mem -1"));
    fails(&mut export(dir.path(), "run", "--nir a.nir"), 2, &["layer 1", "no lower bound", "--convention sinabs"]);
    let said = sets::json(&mut export(dir.path(), "run", "--nir a.nir --convention sinabs"));
    says(&said, "several times per step");
    comes_back("a.nir", "--convention sinabs --steps 20");
}

#[test]
fn arrays_are_those_of_the_model_file() {
    let dir = task();
    trained(dir.path(), LIF);
    assert_eq!(sets::json(&mut export(dir.path(), "run", "--npz a.npz"))["notes"], json!([]));
    let mut archive = zip::ZipArchive::new(std::fs::File::open(dir.path().join("a.npz")).unwrap()).unwrap();
    let model = read_model(&dir.path().join("run/model.safetensors")).unwrap();
    let layer = model.network.parameters.layers().next().unwrap();
    let weight = npyz::NpyFile::new(archive.by_name("0.weight.npy").unwrap()).unwrap();
    assert_eq!(weight.shape(), [24, 12]);
    assert_eq!(weight.into_vec::<f32>().unwrap(), layer.weight());
    let text = npyz::NpyFile::new(archive.by_name("tonic_toolkit.npy").unwrap()).unwrap().into_vec::<u8>().unwrap();
    let description: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(description["classes"], json!(["low", "middle", "high"]));
}

/// Imports graphs that Sinabs and snnTorch have run, and compares the logits. Weights and decay factors are dyadic, so
/// equal logits mean equal spikes.
#[test]
fn imported_graphs_spike_as_in_sinabs_and_snntorch() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let report: Value = serde_json::from_slice(&std::fs::read(data.join("goldens/nir_spikes.json")).unwrap()).unwrap();
    let set = ShardSet::open(&data.join("frozen/conversion/finished")).unwrap();
    let loader = Loader::new(set, CacheChoice::Host, Verbosity::Quiet).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for (name, of) in report.as_object().unwrap() {
        let options = format!("--convention {} --steps 250", of["convention"].as_str().unwrap());
        succeeds(&mut import(dir.path(), &golden(&format!("spikes_{name}")), "model.safetensors", &options));
        let model = read_model(&dir.path().join("model.safetensors")).unwrap();
        let mut engine: Box<dyn Engine> = match model.network.layers().as_iaf() {
            Some(_) => Box::new(CpuEngine::new(&model.network)),
            None => Box::new(LayeredEngine::new(&model.network)),
        };
        let logits = logits(&mut *engine, &loader, &model, Pad::Fixed, 16);
        let expected: Vec<Vec<f32>> = serde_json::from_value(of["logits"].clone()).unwrap();
        assert_eq!(expected.len(), 8);
        for (sample, (got, expected)) in logits.chunks(4).zip(&expected).enumerate() {
            assert_eq!(got, expected, "{name}, sample {sample}");
        }
    }
}
