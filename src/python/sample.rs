//! A sample of a set: its label, its extra values, and its frames as dense or sparse arrays.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;
use tonic_base::printable;
use tonic_shard::{
    Column, ColumnBuf, FrameShape, FromValue, Ledger, NO_LABEL, SetDescription, SparseFrames, Width, each_width,
};

use crate::arrays::{array, column};
use crate::chunk_cache::DecodedChunk;
use crate::form::{check_room, dtype, dtype_name, sample_form};

/// One sample of a ShardSet. It keeps its chunk in memory.
#[pyclass(frozen, module = "tonic_shards")]
pub(crate) struct Sample {
    pub(crate) description: Arc<SetDescription>,
    pub(crate) chunk: Arc<DecodedChunk>,
    /// Index of the sample in its chunk.
    pub(crate) inside: usize,
    /// Index of the sample in the set.
    #[pyo3(get)]
    pub(crate) number: u64,
}

/// Converts a label to the number that Python gets: -1 for a sample without a class.
pub(crate) fn label(stored: u32) -> i64 {
    if stored == NO_LABEL { -1 } else { stored.into() }
}

pub(crate) fn ledger_dict<'py>(py: Python<'py>, ledger: &Ledger) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    Ledger::NAMES.iter().zip(ledger.columns()).try_for_each(|(name, events)| dict.set_item(name, events))?;
    Ok(dict)
}

#[pymethods]
impl Sample {
    /// The class: an index into ShardSet.classes. -1 if the sample has no class.
    #[getter]
    pub(crate) fn label(&self) -> i64 {
        label(self.chunk.table.labels[self.inside])
    }

    /// Number of frames, T.
    #[getter]
    pub(crate) fn frames(&self) -> usize {
        self.chunk.packed.sample(self.inside).frames()
    }

    /// Number of occupied cells in all frames, N.
    #[getter]
    fn entries(&self) -> usize {
        self.chunk.packed.sample(self.inside).entries()
    }

    /// Extra values of the sample, such as the speaker: a dict from name to int.
    #[getter]
    fn extras<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (dict, columns) = (PyDict::new(py), &self.chunk.table.extras);
        let mut pairs = self.description.extras.iter().zip(columns);
        pairs.try_for_each(|(name, column)| dict.set_item(name, column[self.inside]))?;
        Ok(dict)
    }

    /// What happened to the events of the recording: a dict of numbers of events. `events_in` is the sum of the other
    /// values.
    #[getter]
    fn ledger<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        ledger_dict(py, &self.chunk.table.ledgers[self.inside])
    }

    /// Dense frames, a new array of shape (T, P, H, W), or (T, P * H * W) with layout="tc".
    ///
    /// Parameters:
    ///     steps: T; a shorter sample is padded with zeros, a longer one is cut. None: all frames of the sample.
    ///     dtype: "uint8", "uint16", "uint32" or "float32". None: ShardSet.dtype, the narrowest that holds all counts.
    ///     layout: "tphw" or "tc".
    ///     squeeze: True leaves out those of the dimensions P, H, W and C that are 1.
    ///
    /// Raises:
    ///     ValueError: for an argument, also a dtype that does not hold the counts of the set.
    ///     MemoryError: if the array is larger than the free memory.
    #[pyo3(signature = (*, steps = None, dtype = None, layout = "tphw", squeeze = false))]
    fn dense<'py>(
        &self,
        py: Python<'py>,
        steps: Option<i64>,
        dtype: Option<&str>,
        layout: &str,
        squeeze: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (steps, layout, width) = sample_form(steps, dtype, layout, squeeze, self.description.widths.counts)?;
        let dims = layout.sample_dims(steps.unwrap_or(self.frames()), self.description.shape);
        check_room(&dims, width.bytes())?;
        let mut numbers = ColumnBuf::new(width);
        each_width!(&mut numbers, ColumnBuf, numbers => py.detach(|| {
            numbers.resize(dims.iter().product(), Default::default());
            self.write_dense(numbers);
        }));
        each_width!(numbers, ColumnBuf, numbers => array(py, numbers, &dims))
    }

    /// Occupied cells, in order: a SparseSample (frame, p, y, x, count) of arrays of shape (N,). The indices are int64.
    ///
    /// Parameters:
    ///     dtype: type of the counts, as for dense().
    #[pyo3(signature = (*, dtype = None))]
    fn sparse<'py>(&self, py: Python<'py>, dtype: Option<&str>) -> PyResult<Bound<'py, PyAny>> {
        static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let mut counts = ColumnBuf::new(self.width(dtype)?);
        let shape = self.description.shape;
        let indices = py.detach(|| {
            let frames = self.unpacked(&mut counts);
            let sample = frames.sample(0);
            coordinates(sample.iter().map(|(frame, cell, _)| (frame, cell)), sample.entries(), shape)
        });
        let [frame, p, y, x] = indices.map(|index| column_of(py, index));
        CLASS.import(py, "tonic_shards.sparse", "SparseSample")?.call1((frame?, p?, y?, x?, column(py, counts)?))
    }

    /// Dense frames as a tensor of torch, on memory of its own. The parameters are those of dense().
    #[pyo3(signature = (*, steps = None, dtype = None, layout = "tphw", squeeze = false))]
    fn to_torch<'py>(
        &self,
        py: Python<'py>,
        steps: Option<i64>,
        dtype: Option<&str>,
        layout: &str,
        squeeze: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        py.import("torch")?.call_method1("from_numpy", (self.dense(py, steps, dtype, layout, squeeze)?,))
    }

    /// The occupied cells as a scipy.sparse.csr_matrix of shape (T, P * H * W): row t is frame t.
    ///
    /// Parameters:
    ///     dtype: type of the counts, as for dense().
    #[pyo3(signature = (*, dtype = None))]
    fn to_scipy<'py>(&self, py: Python<'py>, dtype: Option<&str>) -> PyResult<Bound<'py, PyAny>> {
        let mut counts = ColumnBuf::new(self.width(dtype)?);
        let shape = self.description.shape;
        let (starts, cells) = py.detach(|| {
            let frames = self.unpacked(&mut counts);
            let sample = frames.sample(0);
            let mut starts = vec![0];
            starts.extend(sample.frame_sizes.iter().scan(0, |end, size| {
                *end += i64::from(size);
                Some(*end)
            }));
            (starts, sample.iter().map(|(_, cell, _)| i64::from(cell)).collect::<Vec<i64>>())
        });
        let parts = (column(py, counts)?, column_of(py, cells)?, column_of(py, starts)?);
        let kwargs = PyDict::new(py);
        kwargs.set_item("shape", (self.frames(), shape.cells()))?;
        py.import("scipy.sparse")?.call_method("csr_matrix", (parts,), Some(&kwargs))
    }

    /// Returns the array of dense() in the form of DLPack, for JAX, CuPy and others:
    /// `jax.dlpack.from_dlpack(sample)`.
    #[pyo3(signature = (**options))]
    fn __dlpack__<'py>(&self, py: Python<'py>, options: Option<&Bound<'py, PyDict>>) -> PyResult<Bound<'py, PyAny>> {
        self.dense(py, None, None, "tphw", false)?.call_method("__dlpack__", (), options)
    }

    /// Returns the device for DLPack: the CPU.
    fn __dlpack_device__(&self) -> (i32, i32) {
        (1, 0)
    }

    fn __repr__(&self) -> String {
        let (description, shape) = (&self.description, self.description.shape);
        let class = description.class_name(self.chunk.table.labels[self.inside]);
        let dtype = dtype_name(description.widths.counts);
        let [p, h, w] = shape.dims();
        let class = printable(class);
        format!("<Sample {}: {class}, dense() ({}, {p}, {h}, {w}) {dtype}>", self.number, self.frames())
    }
}

impl Sample {
    /// Writes the dense frames to `out`, whose length sets T: the sample is padded with zeros, or cut.
    pub(crate) fn write_dense<N: FromValue>(&self, out: &mut [N]) {
        self.chunk.packed.sample(self.inside).write_dense(out);
    }

    /// Unpacks the sample, and appends its counts to `counts`.
    fn unpacked(&self, counts: &mut ColumnBuf) -> SparseFrames {
        let mut frames = SparseFrames::new(self.description.widths);
        self.chunk.packed.sample(self.inside).unpack(&mut frames);
        let sample = frames.sample(0);
        convert(sample.counts, sample.entries(), counts);
        frames
    }

    fn width(&self, asked: Option<&str>) -> PyResult<Width> {
        let stored = self.description.widths.counts;
        asked.map_or(Ok(stored), |text| dtype(text, stored))
    }
}

/// Appends the first `kept` numbers of `from` to `to`. The type of `to` must be able to hold these numbers.
pub(crate) fn convert(from: Column<'_>, kept: usize, to: &mut ColumnBuf) {
    fn append<N: FromValue>(from: Column<'_>, kept: usize, to: &mut Vec<N>) {
        each_width!(from, Column, from => to.extend(from[..kept].iter().map(|&n| N::from_value(n.into()))));
    }
    each_width!(to, ColumnBuf, to => append(from, kept, to));
}

/// Returns four columns: the frame, p, y and x of each cell. `entries` is the number of cells.
fn coordinates(cells: impl Iterator<Item = (usize, u32)>, entries: usize, shape: FrameShape) -> [Vec<i64>; 4] {
    let mut columns = [(); 4].map(|()| Vec::with_capacity(entries));
    for (frame, cell) in cells {
        let [p, y, x] = shape.coordinates(cell).map(i64::from);
        columns.iter_mut().zip([frame as i64, p, y, x]).for_each(|(column, index)| column.push(index));
    }
    columns
}

fn column_of(py: Python<'_>, indices: Vec<i64>) -> PyResult<Bound<'_, PyAny>> {
    let len = indices.len();
    array(py, indices, &[len])
}
