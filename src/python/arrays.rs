//! Makes NumPy arrays that use the memory of Rust, without a copy. When Python has freed the array of a batch, the
//! array's memory is used for a later batch, because the first write to fresh memory takes longer than making a
//! batch.

#![allow(unsafe_code)]

use std::sync::{Arc, Mutex, PoisonError};

use ndarray::ArrayViewD;
use numpy::{Element, IntoPyArray, PyArrayDyn, PyArrayMethods};
use pyo3::prelude::*;
use tonic_shard::{ColumnBuf, Width, each_width};

/// Buffers that no array uses at the moment.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    free: Mutex<Vec<ColumnBuf>>,
}

/// Maximum number of free buffers that are kept.
const KEPT: usize = 4;

impl Buffers {
    /// Takes a free buffer or makes one. The buffer has `len` numbers. They can have values from an earlier batch.
    pub(crate) fn take(self: &Arc<Self>, width: Width, len: usize) -> Buffer {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut numbers = free.filter(|free| free.width() == width).unwrap_or_else(|| ColumnBuf::new(width));
        each_width!(&mut numbers, ColumnBuf, numbers => {
            if numbers.capacity() < len {
                *numbers = vec![Default::default(); len]; // not copied from the old memory
            }
            numbers.resize(len, Default::default());
        });
        Buffer { numbers, home: self.clone() }
    }
}

/// The memory of an array. When the buffer is dropped, its memory returns to its [`Buffers`].
#[pyclass(frozen, module = "tonic_shards._native")]
pub(crate) struct Buffer {
    numbers: ColumnBuf,
    home: Arc<Buffers>,
}

impl Buffer {
    pub(crate) fn numbers(&mut self) -> &mut ColumnBuf {
        &mut self.numbers
    }

    /// Makes a writable array of the shape `dims` that uses this buffer, without a copy.
    pub(crate) fn into_array<'py>(mut self, py: Python<'py>, dims: &[usize]) -> PyResult<Bound<'py, PyAny>> {
        each_width!(&mut self.numbers, ColumnBuf, numbers => {
            assert_eq!(numbers.len(), dims.iter().product::<usize>(), "an array has as many numbers as its buffer");
            let first = numbers.as_mut_ptr();
            // SAFETY: `first` points to as many numbers as the shape has. The array keeps the buffer alive. The
            // buffer's vector never changes while the buffer is a Python object: `Buffer` is frozen and has no methods
            // in Python. Only the array gives access to the numbers, so that writing through it aliases nothing.
            unsafe {
                let numbers = ArrayViewD::from_shape_ptr(dims, first);
                Ok(PyArrayDyn::borrow_from_array(&numbers, Bound::new(py, self)?.into_any()).into_any())
            }
        })
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // `lock` could block for ever in a forked process, if a thread of the parent held the lock during the fork.
        if let Ok(mut free) = self.home.free.try_lock()
            && free.len() < KEPT
        {
            free.push(std::mem::replace(&mut self.numbers, ColumnBuf::U8(Vec::new())));
        }
    }
}

/// Makes an array of the shape `dims` from a vector, without a copy.
pub(crate) fn array<'py, N: Element>(py: Python<'py>, numbers: Vec<N>, dims: &[usize]) -> PyResult<Bound<'py, PyAny>> {
    Ok(numbers.into_pyarray(py).reshape(dims)?.into_any())
}

/// Makes an array of one dimension from a column, without a copy.
pub(crate) fn column(py: Python<'_>, numbers: ColumnBuf) -> PyResult<Bound<'_, PyAny>> {
    each_width!(numbers, ColumnBuf, numbers => { let len = numbers.len(); array(py, numbers, &[len]) })
}
