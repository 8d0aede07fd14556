//! Opens files by their layout.
//!
//! ```text
//! hsd, ntidigits               many labelled samples in a file
//! camera, npy_files            one recording in a file
//! ```

pub(crate) mod camera;
pub(crate) mod hsd;
pub(crate) mod npy_files;
pub(crate) mod ntidigits;

pub use hsd::COCHLEA;
pub(crate) use hsd::Hsd;
