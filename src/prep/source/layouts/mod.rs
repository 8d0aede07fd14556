//! Opens files by their layout.
//!
//! ```text
//! hsd, hsd_labels, ntidigits   many labelled samples in a file; hsd_labels has the classes and extra columns of hsd
//! camera                       one recording in an HDF5 file
//! npy_files, npz_archive       one recording in a NumPy file
//! text, text_plan              one recording in a text; text_plan has its columns
//! npy_columns                  the columns of events that were found in a NumPy file
//! ```

pub(crate) mod camera;
pub(crate) mod hsd;
mod hsd_labels;
mod npy_columns;
pub(crate) mod npy_files;
pub(crate) mod npz_archive;
pub(crate) mod ntidigits;
pub(crate) mod text;
mod text_plan;

pub use hsd::COCHLEA;
pub(crate) use hsd::Hsd;
