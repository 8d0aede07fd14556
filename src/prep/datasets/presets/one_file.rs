//! Data sets with one file for each split: SHD, SSC, N-TIDIGITS18, SMNIST (with labels in a second file) and EBSSA
//! (boxes instead of classes).

use crate::datasets::presets::data_dir::{DataDir, Found};
use crate::error::Result;
use crate::source::{Digits, Layout, SourceOptions};

/// The file of a split.
#[derive(Debug)]
pub(super) struct OneFile {
    pub split: &'static str,
    file: &'static str,
    layout: Layout,
}

const fn file(split: &'static str, file: &'static str, layout: Layout) -> OneFile {
    OneFile { split, file, layout }
}

pub(super) const SHD: [OneFile; 2] =
    [file("train", "shd_train.h5", Layout::Hsd), file("test", "shd_test.h5", Layout::Hsd)];

pub(super) const SSC: [OneFile; 3] = [
    file("train", "ssc_train.h5", Layout::Hsd),
    file("valid", "ssc_valid.h5", Layout::Hsd),
    file("test", "ssc_test.h5", Layout::Hsd),
];

/// Both splits are in the same file. The option `digits` chooses the split.
pub(super) const NTIDIGITS18: [OneFile; 2] =
    [file("train", "n-tidigits.hdf5", Layout::Ntidigits), file("test", "n-tidigits.hdf5", Layout::Ntidigits)];

/// Recordings of a DAVIS or an ATIS, without classes.
pub(super) const EBSSA: [OneFile; 1] = [file("labelled", "labelled_ebssa.h5", Layout::Ebssa)];

/// The images of MNIST. They are encoded as events when they are read.
pub(super) const SMNIST: [OneFile; 2] =
    [file("train", "train-images-idx3-ubyte", Layout::Smnist), file("test", "t10k-images-idx3-ubyte", Layout::Smnist)];

/// Finds the file of a split.
///
/// # Errors
/// [`crate::Error::NotADownload`].
pub(super) fn find(files: &[OneFile], data: &DataDir<'_>) -> Result<Found> {
    let file = files.iter().find(|file| file.split == data.split).unwrap_or(&files[0]);
    let digits = Digits { train: file.layout != Layout::Ntidigits || file.split == "train", single: false };
    let origin = u8::from(file.layout == Layout::Ebssa);
    let source = SourceOptions { layout: Some(file.layout), origin, digits, ..SourceOptions::default() };
    Ok((data.find(&[file.file])?, source))
}
