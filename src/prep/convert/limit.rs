//! Checks losses against `max_loss`, the largest share of the events that a conversion may lose.

use std::path::Path;

use crate::convert::causes::{left_out_warnings, percent};
use crate::convert::inputs::Inputs;
use crate::error::{Error, Result};

/// Returns an error if the table of labels and the range of events leave out more than the share `most` of all events.
pub(super) fn check_left_out(output: &Path, most: Option<f64>, inputs: &Inputs) -> Result<()> {
    if most.is_none() {
        return Ok(());
    }
    let (left, all) = inputs.left_out()?;
    match Excess::of(output, most, left, all) {
        Some(excess) => Err(excess.error(&left_out_warnings(inputs, 0.0)?, false)),
        None => Ok(()),
    }
}

/// A loss above the limit that the user set. `output` is the directory of the set.
pub(super) struct Excess<'a> {
    output: &'a Path,
    most: f64,
    lost: u64,
    of: u64,
}

impl<'a> Excess<'a> {
    /// Compares a loss of `lost` out of `of` events with the limit `most`. `None` if the loss is within the limit.
    pub(super) fn of(output: &'a Path, most: Option<f64>, lost: u64, of: u64) -> Option<Excess<'a>> {
        let most = most?;
        // Allow a millionth of an event more, because a share such as 10.1% is rounded in binary.
        let exceeds = lost as f64 > most * of as f64 + 1e-6;
        exceeds.then_some(Excess { output, most, lost, of })
    }

    /// The error for this loss, with the warnings in `notes` as reasons.
    pub(super) fn error(&self, notes: &[String], converted: bool) -> Error {
        let &Excess { output, most, lost, of } = self;
        let got = format!("{} ({lost} of {of})", percent(lost as f64 / of as f64));
        let reasons = notes.iter().filter_map(|note| note.strip_prefix("warning: ")).collect::<Vec<_>>().join("; ");
        Error::TooMuchLost { path: output.into(), most: percent(most), got, reasons, converted }
    }
}
