//! Refuses networks and samples that are too large for the free memory, before anything is allocated or written.

use tonic_base::{free_memory, human_bytes};

use crate::engine::LayeredEngine;
use crate::error::{BaseFault, Error, Result};
use crate::network::{Architecture, Shape};

/// Returns an error if the network doesn't fit in the free memory.
pub(crate) fn check_parameters(architecture: &Architecture) -> Result<()> {
    /// Number of float32 values in memory for each parameter:
    ///
    /// - 1 for the parameter and 1 for its gradient
    /// - 2 for the moving averages of Adam
    /// - 2 for packed copies
    /// - 4 for the gradients of blocks of samples; there are at least four blocks
    const COPIES: u64 = 10;
    let needed = (architecture.parameters() as u64).saturating_mul(COPIES * size_of::<f32>() as u64);
    check(needed, "hidden", "layers that can be trained", || human_bytes(needed))
}

/// Returns how many bytes a training step takes on the CPU, or an error if fewer bytes are free. A step has `batch`
/// samples of `steps` frames. Returns `None` for networks whose layers
/// [`Layers::as_iaf`](crate::network::Layers::as_iaf) describes.
pub(crate) fn check_step(architecture: &Architecture, batch: usize, steps: usize) -> Result<Option<u64>> {
    if architecture.layers.as_iaf().is_some() {
        return Ok(None);
    }
    let needed = LayeredEngine::step_bytes(architecture, batch, steps);
    let got = || format!("{batch} samples of {steps} frames, which take {}", human_bytes(needed));
    check(needed, "batch_size", "batches that can be computed", got)?;
    Ok(Some(needed))
}

/// Returns an error that names `option` if a sample of `steps` frames doesn't fit in the free memory.
pub(crate) fn check_steps(option: &str, shape: &Shape, steps: usize) -> Result<()> {
    // A frame takes the end of its entries, and the membrane potentials of all neurons.
    let frame = size_of::<u64>() + size_of::<f32>() * shape.hidden.iter().sum::<usize>();
    let needed = (steps as u64).saturating_mul(frame as u64);
    check(needed, option, "samples that can be computed", || {
        format!("samples of {steps} frames, which take at least {}", human_bytes(needed))
    })
}

/// Returns an error if `rows` frames, with `cells` active cells in total, don't fit in the free memory.
pub(crate) fn check_frames(cells: u64, rows: u64) -> Result<()> {
    let needed = 8_u64.saturating_mul(cells).saturating_add(rows.saturating_mul(4));
    check(needed, "batch_size", "batches that can be made", || format!("batches that take {}", human_bytes(needed)))
}

fn check(needed: u64, option: &str, what: &str, got: impl Fn() -> String) -> Result<()> {
    match free_memory().filter(|&free| needed > free) {
        None => Ok(()),
        Some(free) => {
            let expected = format!("{what} in the {} of memory that are free", human_bytes(free));
            Err(Error::usage(option, expected, got()))
        }
    }
}
