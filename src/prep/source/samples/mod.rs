//! One recording as one sample, or cut into many.
//!
//! ```text
//! cut, bounds                  the cuts of a recording: by time, by events, by the intervals of a table
//! long                         reads the samples
//! ```

mod bounds;
mod cut;
mod long;

pub(crate) use cut::{Pieces, cut, cut_one_class, extents};
pub(crate) use long::Long;
