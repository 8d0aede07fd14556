//! Tables of labels, and the samples that a long recording is cut into.
//!
//! ```text
//! text, table, file_names      reads a table: its text, its rows, the recordings that the rows name
//! cut, unlabelled              cuts a recording into samples; counts the events that are in no sample
//! ```

mod cut;
mod file_names;
mod table;
mod text;
mod unlabelled;

pub(crate) use cut::{Pieces, Span, cut, cut_one_class, extents, left_out};
pub(crate) use file_names::{FileNames, Named};
pub(crate) use table::{MAX_NAMELESS_CLASSES, alike};
pub use table::{Row, number_classes, read_labels};
pub(crate) use text::read_text;
pub(crate) use unlabelled::{Unlabelled, ask_unit};
