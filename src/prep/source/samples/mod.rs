//! Makes one sample or many samples from one recording.
//!
//! ```text
//! cut, bounds                  cut a recording: by time, by events, or by the intervals of a table
//! long                         reads the samples
//! ```

mod bounds;
mod cut;
mod long;

pub(crate) use cut::{Pieces, cut, cut_one_class, extents};
pub(crate) use long::Long;
