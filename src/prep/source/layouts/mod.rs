//! Opens files by their layout.
//!
//! ```text
//! hsd, hsd_labels, ntidigits   many labelled samples in a file; hsd_labels has the classes and extra columns of hsd
//! smnist                       images of MNIST as events
//! ebssa                        many recordings in one HDF5 file
//! stmnist                      one recording in a matrix of spikes
//! camera                       one recording in an HDF5 file
//! npy_files, npz_archive       one recording in a NumPy file
//! mat_file                     one recording in a MATLAB file of version 5
//! text, text_plan              one recording in a text; text_plan finds its columns
//! text_pieces                  reads the bytes of a text in pieces of whole lines
//! named_arrays                 code that NumPy archives and MATLAB files share
//! npy_columns                  the columns of events that were found in a NumPy or MATLAB file
//! ```

pub(crate) mod camera;
pub(crate) mod ebssa;
pub(crate) mod hsd;
mod hsd_labels;
pub(crate) mod mat_file;
mod named_arrays;
mod npy_columns;
pub(crate) mod npy_files;
pub(crate) mod npz_archive;
pub(crate) mod ntidigits;
pub(crate) mod smnist;
pub(crate) mod stmnist;
pub(crate) mod text;
mod text_pieces;
mod text_plan;

pub use hsd::COCHLEA;
pub(crate) use hsd::Hsd;
pub(crate) use smnist::DIGITS;
