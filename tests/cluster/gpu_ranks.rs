//! Tests training on several ranks with a GPU each. The GPUs are emulated.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use safetensors::SafeTensors;

use crate::ranks::{Bench, assert_succeeds, text};

/// A network with everything that ranks with GPUs sum: norms, learned parameters of neurons, dropout. All layers spike.
const NETWORK: &str = "layers = [
  { linear = 24, bias = false }, { norm = \"batch\" }, { neuron = \"silif\" }, { dropout = 0.3 },
  { linear = 16 }, { norm = \"batch\" }, { neuron = \"iaf\" },
  { linear = 12 }, { neuron = \"lif\" }, { dropout = 0.3, mask = \"sample\" },
  { linear = \"classes\", bias = false }, { norm = \"batch\" }, { readout = \"leaky\" },
]
";

/// Options of two runs of two steps. In the second step, the last of three ranks has no samples.
const IAF: &str = "--hidden 20,12 --class-weights balanced --spike-rate 0.1,0.2 --label-smoothing=0.1";
const LAYERED: &str = "--network network.toml --class-weights balanced --spike-rate 0.1,0.2 --clip-norm 5 --freeze 4";
const STEPS: &str = "--device cuda --batch-size 168 --epochs 1 --optimiser sgd --momentum 0.9 --pad batch --lr";

/// Returns the words of a `fit` on the CPU or on GPUs.
fn fit<'a>(run: &'a str, options: &'a str) -> Vec<&'a str> {
    Bench::fit(run, &options.split(' ').collect::<Vec<_>>())
}

/// Runs a command on a machine with `gpus` GPUs.
fn with_gpus(gpus: &str, mut command: Command) -> Output {
    command.env("LD_LIBRARY_PATH", tonic_emulator::install()).env("TONIC_EMULATED_DEVICES", gpus);
    command.env("TONIC_CACHE", tonic_emulator::kernel_cache(false));
    command.output().unwrap()
}

/// Reads the tensors of a file, which are in float32.
fn tensors(file: &Path) -> BTreeMap<String, Vec<f32>> {
    let bytes = std::fs::read(file).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let numbers = |data: &[u8]| data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    tensors.iter().map(|(name, tensor)| (name.to_string(), numbers(tensor.data()))).collect()
}

/// Checks that the changes since the tensors `before` are equal up to the rounding of their sums.
fn assert_close(got: &Path, expected: &Path, before: &BTreeMap<String, Vec<f32>>) {
    let (got, expected) = (tensors(got), tensors(expected));
    for (name, before) in before {
        let (got, expected) = (&got[name], &expected[name]);
        let largest = |pairs: std::iter::Zip<std::slice::Iter<'_, f32>, std::slice::Iter<'_, f32>>| {
            pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
        };
        let (apart, change) = (largest(got.iter().zip(expected)), largest(expected.iter().zip(before)));
        let values = expected.iter().fold(0.0, |most: f32, value| most.max(value.abs()));
        assert!(got.len() == expected.len() && apart <= 2e-5 * change + 4e-7 * values, "{name}: {apart} of {change}");
    }
}

/// Returns the loss and the accuracy of the first epoch, in training and in validation.
fn scores(run: &Path) -> Vec<f64> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    ["train", "valid"].iter().flat_map(|of| ["loss", "accuracy"].map(|name| line[of][name].as_f64().unwrap())).collect()
}

#[test]
fn ranks_with_a_gpu_each_train_as_one_process_up_to_rounding() {
    let Some(bench) = Bench::start() else { return };
    std::fs::write(bench.path("network.toml"), NETWORK).unwrap();
    for (name, options) in [("iaf", IAF), ("layered", LAYERED)] {
        let [alone, before] = ["alone", "before"].map(|of| format!("{name}-{of}"));
        for (run, rate) in [(&before, "1e-30"), (&alone, "0.01")] {
            let options = format!("{STEPS} {rate} {options}");
            assert_succeeds(&with_gpus("1", bench.cluster.command(&fit(run, &options))));
        }
        let before = tensors(&bench.path(&before).join("model.safetensors"));
        for ranks in ["2", "3"] {
            let run = format!("{name}-{ranks}");
            let options = format!("{STEPS} 0.01 {options}");
            let output = with_gpus(ranks, bench.mpirun(ranks, &fit(&run, &options)));
            assert_succeeds(&output);
            let said = text(&output);
            assert!(said.contains("device   cuda:0") && said.contains("adding up through host memory"), "{said}");
            let [got, expected] = [&run, &alone].map(|run| bench.path(run));
            for file in ["model.safetensors", "best.safetensors"] {
                assert_close(&got.join(file), &expected.join(file), &before);
            }
            for (got, expected) in scores(&got).iter().zip(scores(&expected)) {
                assert!((got - expected).abs() < 1e-5 * expected.max(1.0), "{run}: {got} instead of {expected}");
            }
        }
    }
    // The same number of ranks gives the same bits, also if the run is stopped and resumed.
    let options = |epochs| format!("--device cuda --network network.toml --epochs {epochs} --augment augment.toml");
    let mpirun = |run, options: &str| with_gpus("2", bench.mpirun("2", &fit(run, options)));
    assert_succeeds(&mpirun("whole", &options(2)));
    assert_succeeds(&mpirun("halves", &options(1)));
    assert_succeeds(&mpirun("halves", &format!("{} --resume", options(2))));
    bench.assert_same("halves", "whole");
    let alone = with_gpus("1", bench.cluster.command(&fit("halves", &format!("{} --resume", options(3)))));
    assert_succeeds(&alone);
    assert!(text(&alone).contains("from here on, of cuda at highest precision on 2 ranks before"), "{}", text(&alone));
}

#[test]
fn ranks_that_would_share_a_gpu_or_its_cache_are_refused() {
    let Some(bench) = Bench::start() else { return };
    for (gpus, options, expected) in [
        ("1", "--device cuda", "one GPU for the ranks 0 and 1"),
        ("2", "--device cuda:1", "one GPU for the ranks 0 and 1"),
        ("2", "--device cuda --cache device", "cache host or stream with several ranks"),
    ] {
        let output = with_gpus(gpus, bench.mpirun("2", &fit("refused", &format!("--hidden 8 --epochs 1 {options}"))));
        let said = text(&output);
        assert!(!output.status.success() && said.contains(expected), "{options}: {said}");
        assert!(!bench.path("refused").exists(), "{options}");
    }
    let words = [fit("refused", "--device cuda"), vec![":", "-n", "1"], fit("refused", "--device cpu")].concat();
    let said = text(&with_gpus("1", bench.mpirun("1", &words)));
    assert!(said.contains("--device: expected cuda on all ranks") && said.contains("cpu on rank 1"), "{said}");
}
