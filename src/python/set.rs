//! A shard set, open for reading in Python.

use std::path::PathBuf;
use std::sync::Arc;

use numpy::{IntoPyArray, PyArray1};
use pyo3::exceptions::{PyIndexError, PyOverflowError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple};
use rayon::prelude::*;
use tonic_base::{Progress, Verbosity, human_bytes, printable};
use tonic_loader::fixed_steps;
use tonic_shard::{
    ColumnBuf, Decoder, Error, Id, Manifest, Order, Result, SampleTable, SetDescription, each_width, is_url, verify,
};

use crate::arrays::array;
use crate::chunk_cache::{ChunkCache, DecodedChunk};
use crate::error::{CorruptError, exception, refused};
use crate::form::{check_room, dtype_name, natural, sample_form};
use crate::place::{OpenSet, Place, RemoteCache, SizeText};
use crate::sample::{Sample, label, ledger_dict};
use crate::threads::{shared, wait};

/// A shard set, open for reading.
///
/// `set[i]` is a Sample, `len(set)` the number of samples. The chunks that were used last stay in memory. A set can be
/// pickled, and used in a forked process: the other process reads the same files, and refuses another set in their
/// place. A set at a URL is opened again there.
///
/// Parameters:
///     path: directory of the set, or a URL: file://, s3://, az://, http:// or https://.
///     cache_bytes: how much memory decoded chunks may take, 128 MiB by default.
///     remote_cache: folder in which chunks of sets at URLs are kept, as by `tonic-train fit --remote-cache`. Several
///         processes can share it. None: every read asks the server. Sets in directories don't use it.
///     remote_cache_limit: maximum size of that folder: bytes, or a text such as "64M". None: 50 GiB. The sets that were
///         not used for the longest time are removed first.
///
/// Raises:
///     OSError: if a file cannot be read.
///     CorruptError: if the set is damaged or incomplete. Chunks are checked when they are read.
///     IncompatibleError: if the set has another format version.
///     ValueError: if the directory has no set.
#[pyclass(frozen, module = "tonic_shards")]
pub(crate) struct ShardSet {
    set: OpenSet,
    description: Arc<SetDescription>,
    cache: ChunkCache,
    columns: PyOnceLock<Columns>,
}

/// Number of samples that [`ShardSet::batch`] writes at a time, without the GIL.
const TOGETHER: usize = 16;

/// Labels and extra values of all samples, as read-only arrays of shape (samples,).
struct Columns {
    labels: Py<PyArray1<i64>>,
    extras: Py<PyDict>,
}

#[pymethods]
impl ShardSet {
    #[new]
    #[pyo3(signature = (path, *, cache_bytes = 134_217_728, remote_cache = None, remote_cache_limit = None))]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        #[pyo3(from_py_with = natural)] cache_bytes: u64,
        remote_cache: Option<PathBuf>,
        remote_cache_limit: Option<SizeText>,
    ) -> PyResult<ShardSet> {
        ShardSet::open(py, Place::new(path, remote_cache, remote_cache_limit)?, cache_bytes as usize, None)
    }

    fn __len__(&self) -> usize {
        self.described().len() as usize
    }

    fn __getitem__(&self, py: Python<'_>, #[pyo3(from_py_with = index)] index: isize) -> PyResult<Sample> {
        let (len, asked) = (self.described().len(), index as i64);
        let number = if asked < 0 { asked.checked_add_unsigned(len).unwrap_or(asked) } else { asked };
        let Some(number) = u64::try_from(number).ok().filter(|&number| number < len) else {
            return Err(PyIndexError::new_err(format!("sample {index}: the set has {len} samples")));
        };
        let per_chunk = u64::from(self.description.chunk_samples);
        let chunk = self.cache.get(py, &*self.set.readable(py)?, number / per_chunk)?;
        Ok(Sample { description: self.description.clone(), chunk, inside: (number % per_chunk) as usize, number })
    }

    /// Dense frames of several samples, and their labels: a new array of shape (B, T, P, H, W), or (B, T, P * H * W)
    /// with layout="tc", and an int64 array of shape (B,). Indices may be in any order, and occur more than once.
    ///
    /// Parameters:
    ///     steps: T; shorter samples are padded with zeros, longer ones are cut. None: the number of frames of the
    ///         longest of these samples.
    ///     dtype, layout, squeeze: as in Sample.dense().
    ///
    /// Raises:
    ///     IndexError, CorruptError: as for `set[i]`.
    ///     ValueError, MemoryError: as for Sample.dense().
    #[pyo3(signature = (indices, *, steps = None, dtype = None, layout = "tphw", squeeze = false))]
    fn batch<'py>(
        &self,
        py: Python<'py>,
        indices: Vec<isize>,
        steps: Option<i64>,
        dtype: Option<&str>,
        layout: &str,
        squeeze: bool,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyArray1<i64>>)> {
        let (steps, layout, width) = sample_form(steps, dtype, layout, squeeze, self.description.widths.counts)?;
        let steps = match steps {
            Some(steps) => steps,
            None => self.longest(py, &indices)?,
        };
        let mut dims = layout.sample_dims(steps, self.description.shape);
        dims.insert(0, indices.len());
        check_room(&dims, width.bytes())?;
        let sample_len = dims[1..].iter().fold(1_usize, |len, &n| len.saturating_mul(n)).max(1);
        let (mut numbers, mut labels) = (ColumnBuf::new(width), Vec::with_capacity(indices.len()));
        each_width!(&mut numbers, ColumnBuf, numbers => {
            numbers.resize(dims.iter().product(), Default::default());
            // Some samples at a time, because each holds its chunk in memory.
            for (part, out) in indices.chunks(TOGETHER).zip(numbers.chunks_mut(sample_len.saturating_mul(TOGETHER))) {
                let samples: Vec<Sample> = part.iter().map(|&i| self.__getitem__(py, i)).collect::<PyResult<_>>()?;
                labels.extend(samples.iter().map(Sample::label));
                py.detach(|| {
                    let targets = out.chunks_mut(sample_len);
                    samples.iter().zip(targets).for_each(|(sample, out)| sample.write_dense(out));
                });
            }
        });
        Ok((each_width!(numbers, ColumnBuf, numbers => array(py, numbers, &dims))?, labels.into_pyarray(py)))
    }

    /// Directory of the set as a Path, or URL of the set as a str.
    #[getter]
    fn path<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let dir = self.described().dir();
        // A Path would turn the two slashes of a URL into one.
        if is_url(dir) {
            Ok(dir.as_os_str().into_pyobject(py)?.into_any())
        } else {
            Ok(dir.into_pyobject(py)?.into_any())
        }
    }

    /// Id of the set in hex: a hash of its content and recipe.
    #[getter]
    fn id(&self) -> String {
        self.manifest().set_id.to_string()
    }

    /// Names of the classes. A label is an index into this list.
    #[getter]
    fn classes(&self) -> Vec<String> {
        self.description.classes.clone()
    }

    /// Shape of a frame, (P, H, W): the numbers of polarities, rows and columns.
    #[getter]
    fn shape(&self) -> (usize, usize, usize) {
        self.description.shape.dims().into()
    }

    /// Type of the counts: "uint8", "uint16" or "uint32", or "float32" for surfaces.
    #[getter]
    fn dtype(&self) -> &'static str {
        dtype_name(self.description.widths.counts)
    }

    /// Number of frames of the longest sample.
    #[getter]
    fn max_frames(&self) -> u64 {
        self.manifest().totals.max_frames
    }

    /// Default number of frames to which a batch pads or cuts its samples. If the recipe limits the number of frames,
    /// and the limit is at most twice the length of the longest sample, this is the limit. Otherwise it is the length
    /// of the longest sample.
    #[getter]
    fn steps(&self) -> usize {
        fixed_steps(self.manifest())
    }

    /// The recipe that made the frames, as TOML.
    #[getter]
    fn recipe(&self) -> &str {
        &self.description.recipe
    }

    /// What happened to the events of the recordings: a dict of numbers of events. `events_in` is the sum of the
    /// other values.
    #[getter]
    fn ledger<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        ledger_dict(py, &self.manifest().totals.ledger)
    }

    /// Class of each sample, a read-only int64 array of shape (samples,); -1 for a sample without a class. The first
    /// access reads the whole set.
    #[getter]
    fn labels(&self, py: Python<'_>) -> PyResult<Py<PyArray1<i64>>> {
        Ok(self.columns(py)?.labels.clone_ref(py))
    }

    /// Extra values of the samples, such as the speaker: a dict from name to a read-only int64 array of shape
    /// (samples,). The first access reads the whole set.
    #[getter]
    fn extras<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.columns(py)?.extras.bind(py).copy()
    }

    /// The manifest of the set as a dict: geometry, recipe, sources, totals, shards. FORMAT.md has its keys.
    fn info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let text = serde_json::to_string(self.manifest()).expect("a manifest is JSON");
        py.import("json")?.call_method1("loads", (text,))
    }

    /// Reads and checks every byte of the set.
    ///
    /// Raises:
    ///     CorruptError: with a line for each fault: shard, chunk, samples, expected and got.
    fn verify(&self, py: Python<'_>) -> PyResult<()> {
        let set = self.set.readable(py)?;
        let check = move || verify::verify(&set, &Progress::start(Verbosity::Quiet, "verify", set.len(), "samples"));
        let faults = wait(py, &*shared(py)?, check)?;
        match faults.len() {
            0 => Ok(()),
            1 => Err(faults.into_iter().map(exception).next().expect("one fault")),
            _ => {
                let lines: Vec<String> = faults.iter().map(Error::to_string).collect();
                Err(CorruptError::new_err(lines.join("\n")))
            }
        }
    }

    /// The order of an epoch, an int64 array of shape (samples,): the index of the sample at each position. It is the
    /// order of Loader and of tonic-train. FORMAT.md has the formula.
    fn order<'py>(
        &self,
        py: Python<'py>,
        #[pyo3(from_py_with = natural)] seed: u64,
        #[pyo3(from_py_with = natural)] epoch: u64,
    ) -> Bound<'py, PyArray1<i64>> {
        let set = self.described();
        py.detach(|| positions(&set.order(seed, epoch), self.description.chunk_samples)).into_pyarray(py)
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let reopen = py.import("tonic_shards._native")?.getattr("reopen")?;
        let Place { path, remote_cache } = &self.set.place;
        let cache = remote_cache.as_ref().map(|cache| (cache.dir.as_os_str(), cache.limit));
        Ok((reopen, (path.as_os_str(), cache, self.cache.limit(), self.id()).into_pyobject(py)?))
    }

    fn __repr__(&self) -> String {
        let [p, h, w] = self.description.shape.dims();
        let set = self.described();
        let (samples, classes, most) = (set.len(), self.description.classes.len(), self.max_frames());
        let size = human_bytes(set.stored_bytes());
        format!(
            "<ShardSet {}: {samples} samples of {classes} classes, {size}; set[i].dense() is (T, {p}, {h}, {w}) {}, T \
             at most {most}>",
            printable(&set.dir().display().to_string()),
            self.dtype(),
        )
    }
}

impl ShardSet {
    /// Opens a set. If `id` is given, refuses a set with another id.
    fn open(py: Python<'_>, place: Place, cache_bytes: usize, id: Option<&str>) -> PyResult<ShardSet> {
        let set = OpenSet::open(py, place, id)?;
        let description = Arc::new(set.described().manifest().description.clone());
        Ok(ShardSet { set, description, cache: ChunkCache::new(cache_bytes), columns: PyOnceLock::new() })
    }

    /// Returns the number of frames of the longest sample with one of these indices. 0 if there are no indices.
    fn longest(&self, py: Python<'_>, indices: &[isize]) -> PyResult<usize> {
        indices.iter().try_fold(0, |most, &i| Ok(most.max(self.__getitem__(py, i)?.frames())))
    }

    fn described(&self) -> &tonic_shard::ShardSet {
        self.set.described()
    }

    fn manifest(&self) -> &Manifest {
        self.described().manifest()
    }

    fn columns(&self, py: Python<'_>) -> PyResult<&Columns> {
        self.columns.get_or_try_init(py, || {
            let set = self.set.readable(py)?;
            let tables = wait(py, &*shared(py)?, move || read_tables(&set))?.map_err(exception)?;
            let read_only = |numbers: Vec<i64>| {
                let array = numbers.into_pyarray(py);
                array.call_method1("setflags", (false,))?;
                PyResult::Ok(array)
            };
            let labels = tables.iter().flat_map(|table| &table.labels).map(|&stored| label(stored)).collect();
            let extras = PyDict::new(py);
            for (i, name) in self.description.extras.iter().enumerate() {
                extras
                    .set_item(name, read_only(tables.iter().flat_map(|table| &table.extras[i]).copied().collect())?)?;
            }
            Ok(Columns { labels: read_only(labels)?.unbind(), extras: extras.unbind() })
        })
    }
}

/// Converts an argument to an index.
///
/// # Errors
/// IndexError for a whole number that is too large or too small for an index; TypeError if the argument isn't a whole
/// number.
fn index(number: &Bound<'_, PyAny>) -> PyResult<isize> {
    number.extract().map_err(|error: PyErr| match error.is_instance_of::<PyOverflowError>(number.py()) {
        true => PyIndexError::new_err(format!("sample {number}: too large for an index")),
        false => error,
    })
}

fn read_tables(set: &tonic_shard::ShardSet) -> Result<Vec<SampleTable>> {
    let read = |decoder: &mut Decoder, number| Ok(DecodedChunk::read(set, number, decoder)?.table);
    (0..set.chunks()).into_par_iter().map_init(Decoder::new, read).collect()
}

/// The index of the sample at each position of an epoch.
fn positions(order: &Order, chunk_samples: u32) -> Vec<i64> {
    let windows = (0..order.windows()).map(|number| order.window(number));
    let of_window = windows.flat_map(|window| {
        let number = |position| {
            let (slot, inside) = window.at(position);
            i64::from(window.chunks[slot]) * i64::from(chunk_samples) + inside as i64
        };
        window.positions.clone().map(number).collect::<Vec<_>>()
    });
    of_window.collect()
}

/// The order of an epoch of any set, as ShardSet.order() returns it: an int64 array of shape (samples,).
///
/// Parameters:
///     set_id: id of the set, ShardSet.id, 64 hex digits.
///     samples, chunk_samples: number of samples of the set, and of a chunk: in ShardSet.info().
///     seed, epoch: as in ShardSet.order().
///
/// Raises:
///     ValueError: for an argument.
#[pyfunction]
#[pyo3(signature = (set_id, *, samples, chunk_samples, seed, epoch))]
pub(crate) fn epoch_order<'py>(
    py: Python<'py>,
    set_id: &str,
    #[pyo3(from_py_with = natural)] samples: u64,
    chunk_samples: u32,
    #[pyo3(from_py_with = natural)] seed: u64,
    #[pyo3(from_py_with = natural)] epoch: u64,
) -> PyResult<Bound<'py, PyArray1<i64>>> {
    let id: Id = set_id.parse().map_err(|_| refused("set_id", "64 hex digits", set_id))?;
    if chunk_samples == 0 || samples.div_ceil(chunk_samples.into()) > u64::from(u32::MAX) {
        return Err(refused("chunk_samples", "1 or more, for fewer than 2^32 chunks", chunk_samples));
    }
    Ok(positions(&Order::new(id.0, samples, chunk_samples, seed, epoch), chunk_samples).into_pyarray(py))
}

/// Opens a pickled set, usually in another process. Raises an error if `path` now has a set with another id.
#[pyfunction]
pub(crate) fn reopen(
    py: Python<'_>,
    path: PathBuf,
    remote_cache: Option<(PathBuf, u64)>,
    cache_bytes: usize,
    id: &str,
) -> PyResult<ShardSet> {
    let remote_cache = remote_cache.map(|(dir, limit)| RemoteCache { dir, limit });
    ShardSet::open(py, Place { path, remote_cache }, cache_bytes, Some(id))
}

/// Refuses a set whose id is not `id`.
#[pyfunction]
pub(crate) fn check_id(set: &ShardSet, id: &str) -> PyResult<()> {
    crate::place::check_id(set.described(), id)
}

/// Checks arguments of Sample.dense() without a sample. Raises ValueError for those that dense() refuses.
#[pyfunction]
#[pyo3(signature = (set, *, steps, dtype, layout, squeeze))]
pub(crate) fn check_sample_form(
    set: &ShardSet,
    steps: Option<i64>,
    dtype: Option<&str>,
    layout: &str,
    squeeze: bool,
) -> PyResult<()> {
    sample_form(steps, dtype, layout, squeeze, set.description.widths.counts).map(drop)
}
