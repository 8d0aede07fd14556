//! Runs training steps on the emulated GPU with PTX that NVRTC compiles. The emulator finds races and invalid accesses
//! to memory.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::bench::bench;
use crate::{is_real, sets};

/// With these sizes, every kernel of a step has several tiles, and its last tile is partly empty.
const STEPS: &str = "--random --batch-size 3 --time-steps 70 --channels 70 --classes 300 --hidden 70,65,66";

/// A network with norms, dropout and other neurons, and sizes for it.
const NETWORK: &str = "init_state = \"uniform\"
layers = [
  { linear = 70 }, { norm = \"batch\" }, { neuron = \"silif\" }, { dropout = 0.3 },
  { linear = 65, bias = false }, { neuron = \"lif\", surrogate = \"arctan\" },
  { linear = \"classes\" }, { norm = \"batch\" }, { readout = \"leaky\" },
]
";
const LAYERS: &str = "--random --batch-size 3 --time-steps 70 --channels 70 --classes 40 --network";

/// Runs the training steps of `arguments` and returns the loss. `ptx` is the path of an NVRTC library that compiles the
/// kernels to PTX. If it is `None`, the kernels run as C++.
fn loss(arguments: &str, ptx: Option<&Path>) -> Value {
    let mut command = bench("cuda:0", arguments);
    command.env("TONIC_CACHE", tonic_emulator::kernel_cache(ptx.is_some())).env_remove(tonic_emulator::PTX);
    command.envs(ptx.map(|nvrtc| (tonic_emulator::PTX, nvrtc))).env_remove("TONIC_EMULATED_COPIES");
    let report = sets::json(command.timeout(Duration::from_secs(600)));
    assert!(report["last_loss"].is_f64(), "{report}");
    report["last_loss"].clone()
}

#[test]
fn the_compilers_code_computes_the_same_bits_without_races() {
    if is_real() {
        return;
    }
    if let Some(nvrtc) = tonic_emulator::real_nvrtc() {
        let dir = tempfile::tempdir().unwrap();
        let network = dir.path().join("network.toml");
        std::fs::write(&network, NETWORK).unwrap();
        for arguments in [STEPS.to_owned(), format!("{LAYERS} {}", network.display())] {
            assert_eq!(loss(&arguments, Some(&nvrtc)), loss(&arguments, None));
        }
    }
}
