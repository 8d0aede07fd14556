//! Runs training steps on the emulated GPU with PTX that NVRTC compiles from the kernels, as on a real GPU. In the
//! other tests on the emulated GPU, a C++ compiler compiles the kernels. The emulator finds races, copies that
//! nothing waits for, reads of memory that was never written, and accesses outside of memory.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::bench::bench;
use crate::{is_real, sets};

/// Sizes that need several tiles and are not multiples of a tile, so that every kernel of a step has partial tiles.
const STEPS: &str = "--random --batch-size 3 --time-steps 70 --channels 70 --classes 300 --hidden 70,65,66";

/// Runs the training steps of [`STEPS`] and returns the loss. If `ptx` has the path of NVRTC, the kernels run as PTX.
/// If it is `None`, they run as C++.
fn loss(ptx: Option<&Path>) -> Value {
    let mut command = bench("cuda:0", STEPS);
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
        assert_eq!(loss(Some(&nvrtc)), loss(None));
    }
}
