//! What to type next after an error: the libraries know no flags.

use tonic_prep::Error as PrepError;

use crate::errors::Cause;

/// Advice on an error of recordings.
pub(crate) fn prep_advice(error: &Cause) -> Option<&'static str> {
    match error.downcast_ref()? {
        PrepError::UnknownLayout { .. } => Some("with --map the columns of any HDF5 file are read"),
        PrepError::OutsideSensor { .. } => Some("--lenient leaves such events out"),
        PrepError::SampleTooLarge { .. } => Some("cut the recording, with --sample-duration or --sample-events"),
        _ => None,
    }
}
