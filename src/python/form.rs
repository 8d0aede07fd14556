//! Options for the arrays that Python gets: the type of their numbers and the order of their dimensions.

use pyo3::exceptions::{PyMemoryError, PyOverflowError, PyValueError};
use pyo3::prelude::*;
use tonic_base::{free_memory, human_bytes};
use tonic_shard::{FrameShape, Width};

use crate::error::refused;

/// Order of the dimensions of a dense batch. These are the batch (B), the time (T) and either P, H and W or one
/// dimension for all cells of a frame (C).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Whether the dimension of time comes before the dimension of the batch.
    pub(crate) time_major: bool,
    /// Whether all cells of a frame are in one dimension.
    pub(crate) flat: bool,
    /// Whether frame dimensions of size 1 are left out.
    pub(crate) squeezed: bool,
}

impl Layout {
    /// Parses the layout of a batch.
    pub(crate) fn of_batch(text: &str, squeezed: bool) -> PyResult<Layout> {
        let (time_major, flat) = match text {
            "btc" => (false, true),
            "tbc" => (true, true),
            "btphw" => (false, false),
            "tbphw" => (true, false),
            _ => return Err(refused("layout", "btc, tbc, btphw or tbphw", text)),
        };
        Ok(Layout { time_major, flat, squeezed })
    }

    /// Parses the layout of a sample, which has no dimension for the batch.
    fn of_sample(text: &str, squeezed: bool) -> PyResult<Layout> {
        let flat = match text {
            "tc" => true,
            "tphw" => false,
            _ => return Err(refused("layout", "tc or tphw", text)),
        };
        Ok(Layout { time_major: false, flat, squeezed })
    }

    /// Shape of a dense sample of `steps` frames.
    pub(crate) fn sample_dims(self, steps: usize, shape: FrameShape) -> Vec<usize> {
        let mut cells = if self.flat { vec![shape.cells() as usize] } else { shape.dims().to_vec() };
        cells.retain(|&n| n != 1 || !self.squeezed);
        [vec![steps], cells].concat()
    }

    /// Shape of a dense batch of `samples` samples of `steps` frames.
    pub(crate) fn batch_dims(self, samples: usize, steps: usize, shape: FrameShape) -> Vec<usize> {
        let mut dims = self.sample_dims(steps, shape);
        dims.insert(usize::from(self.time_major), samples);
        dims
    }
}

/// Converts an argument to a whole number from 0 to 2^64 - 1.
///
/// # Errors
/// ValueError for a whole number outside this range; TypeError if the argument isn't a whole number.
pub(crate) fn natural(number: &Bound<'_, PyAny>) -> PyResult<u64> {
    number.extract().map_err(|error: PyErr| match error.is_instance_of::<PyOverflowError>(number.py()) {
        true => PyValueError::new_err(format!("expected a number from 0 to 2^64 - 1, got {number}")),
        false => error,
    })
}

/// NumPy's name of a type of numbers.
pub(crate) fn dtype_name(width: Width) -> &'static str {
    match width {
        Width::U8 => "uint8",
        Width::U16 => "uint16",
        Width::U32 => "uint32",
        Width::F32 => "float32",
    }
}

/// Parses the name of a type of numbers. Returns an error if this type cannot hold all counts of the set. The set
/// stores its counts as the type `stored`.
pub(crate) fn dtype(text: &str, stored: Width) -> PyResult<Width> {
    let all = [Width::U8, Width::U16, Width::U32, Width::F32];
    // The widths are in ascending order, and float32 holds the counts of every set.
    let fitting: Vec<Width> = all.into_iter().filter(|&width| width >= stored).collect();
    fitting.iter().copied().find(|&width| dtype_name(width) == text).ok_or_else(|| {
        let names: Vec<&str> = fitting.iter().copied().map(dtype_name).collect();
        refused("dtype", &format!("a type that holds the numbers of this set ({})", names.join(", ")), text)
    })
}

/// Checks the number of frames that the user asks for. Samples are padded with zeros or cut to this number.
pub(crate) fn steps(asked: Option<i64>) -> PyResult<Option<usize>> {
    let valid = |steps: i64| usize::try_from(steps).ok().filter(|&steps| steps > 0);
    asked.map(|steps| valid(steps).ok_or_else(|| refused("steps", "1 or more", steps))).transpose()
}

/// Checks the arguments for the dense frames of a sample. `stored` is the type of the counts in the set. Returns:
///
/// - the number of frames; `None` if the user has not given it
/// - the layout
/// - the type of the numbers
pub(crate) fn sample_form(
    steps: Option<i64>,
    dtype: Option<&str>,
    layout: &str,
    squeeze: bool,
    stored: Width,
) -> PyResult<(Option<usize>, Layout, Width)> {
    let width = dtype.map_or(Ok(stored), |text| self::dtype(text, stored))?;
    Ok((self::steps(steps)?, Layout::of_sample(layout, squeeze)?, width))
}

/// An array of at most this many bytes is made without a check of the free memory.
const SMALL: u64 = 64 << 20;

/// Returns an error if an array of the shape `dims`, with `size` bytes per number, is larger than the free memory.
///
/// # Errors
/// MemoryError.
pub(crate) fn check_room(dims: &[usize], size: usize) -> PyResult<()> {
    let numbers = dims.iter().try_fold(size as u64, |bytes, &n| bytes.checked_mul(n as u64));
    let bytes = numbers.unwrap_or(u64::MAX);
    let free = if bytes <= SMALL { u64::MAX } else { free_memory().unwrap_or(i64::MAX as u64) };
    if bytes <= free {
        return Ok(());
    }
    let (free, needed) = (human_bytes(free), human_bytes(bytes));
    Err(PyMemoryError::new_err(format!(
        "an array of shape {dims:?}: expected at most the {free} that are free, got {needed}"
    )))
}
