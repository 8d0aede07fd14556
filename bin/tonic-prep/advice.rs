//! What to type next after an error: the libraries know no flags.

use tonic_prep::{Absence, Error as PrepError};

use crate::errors::Cause;

/// Advice on an error of recordings.
pub(crate) fn prep_advice(error: &Cause) -> Option<&'static str> {
    match error.downcast_ref()? {
        PrepError::UnknownLayout { .. } => Some("with --map the columns of any HDF5 file are read"),
        PrepError::MissingData { absence, .. } => Some(match absence {
            Absence::VirtualSource => {
                "put the whole source where the file looks for it, or set HDF5_VDS_PREFIX to the folder that it is in"
            }
            Absence::RawFile => {
                "put the whole raw file there, or set HDF5_EXTFILE_PREFIX to its folder ('${ORIGIN}' is that of the \
                 HDF5 file)"
            }
            Absence::NeverWritten => {
                "copy what was recorded to a new file and convert that, or, if only the end is missing, cut the end off \
                 all columns (in h5py: file[name].resize(N, axis=0))"
            }
            Absence::Link => "put its target back, or name another dataset with --map",
        }),
        PrepError::OutsideSensor { .. } => Some("--lenient leaves such events out"),
        PrepError::SampleTooLarge { .. } => Some("cut the recording, with --sample-duration or --sample-events"),
        _ => None,
    }
}
