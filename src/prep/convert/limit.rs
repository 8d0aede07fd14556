//! The largest share of the events that a conversion may lose, `max_loss`.

use std::path::Path;

use crate::convert::causes::{label_warnings, percent};
use crate::convert::inputs::Inputs;
use crate::error::{Error, Result};

/// Checks that the table of labels alone leaves out no more than may be lost.
///
/// # Errors
/// [`Error::TooMuchLost`].
pub(super) fn check_labels(output: &Path, most: Option<f64>, inputs: &Inputs) -> Result<()> {
    if most.is_none() {
        return Ok(());
    }
    let (left, all) = inputs.left_by_labels()?;
    match Excess::of(output, most, left, all) {
        Some(excess) => Err(excess.error(&label_warnings(inputs, 0.0)?, false)),
        None => Ok(()),
    }
}

/// A loss beyond the limit `most` of the conversion to `output`.
pub(super) struct Excess<'a> {
    output: &'a Path,
    most: f64,
    lost: u64,
    of: u64,
}

impl<'a> Excess<'a> {
    /// `None` if `lost` of the `of` events may be lost.
    pub(super) fn of(output: &'a Path, most: Option<f64>, lost: u64, of: u64) -> Option<Excess<'a>> {
        let most = most?;
        // A millionth of an event more, because 10.1% is no binary fraction.
        let exceeds = lost as f64 > most * of as f64 + 1e-6;
        exceeds.then_some(Excess { output, most, lost, of })
    }

    /// The error, whose reasons are the warnings of `notes`.
    pub(super) fn error(&self, notes: &[String], converted: bool) -> Error {
        let &Excess { output, most, lost, of } = self;
        let got = format!("{} ({lost} of {of})", percent(lost as f64 / of as f64));
        let reasons = notes.iter().filter_map(|note| note.strip_prefix("warning: ")).collect::<Vec<_>>().join("; ");
        Error::TooMuchLost { path: output.into(), most: percent(most), got, reasons, converted }
    }
}
