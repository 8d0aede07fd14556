//! The code that runs on a GPU is what NVRTC makes of the kernels, and not what a C++ compiler does: here that code
//! itself takes training steps, as PTX on the emulated GPU, which finds races, copies that nobody waits for, reads of
//! what nobody wrote and accesses outside of memory.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::bench::bench;
use crate::{is_real, sets};

/// Sizes of which none is a multiple of a tile, and several tiles deep: every kernel of a step, with partial tiles.
const STEPS: &str = "--random --batch-size 3 --time-steps 70 --channels 70 --classes 5 --hidden 70,65,66";

/// The loss after the steps, as PTX or as C++.
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
