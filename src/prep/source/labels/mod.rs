//! Tables of labels, and the caller's list of classes.
//!
//! ```text
//! table                        reads the rows of a label table
//! text                         reads the text of a table, and splits it into cells
//! file_names                   finds the recordings that the rows name
//! class_list                   the classes and their order
//! listed                       a dataset preset's list of recordings and classes
//! ```

mod class_list;
mod file_names;
mod listed;
mod table;
mod text;

pub use class_list::ClassList;
pub(crate) use file_names::{FileNames, Named};
pub(crate) use listed::ListedFile;
pub use listed::ListedFiles;
pub(crate) use table::{MAX_NAMELESS_CLASSES, alike};
pub use table::{Row, number_classes, read_labels};
