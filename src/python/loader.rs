//! Batches of a set, epoch by epoch: the options of a loader, and its state.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{PyRuntimeError, PyUserWarning};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rayon::ThreadPool;
use tonic_base::{Verbosity, printable};
use tonic_loader::{Augmentation, CacheChoice, EpochOrder, fixed_steps};
use tonic_shard::Width;

use crate::arrays::Buffers;
use crate::batch::BatchForm;
use crate::epoch::{Course, Epoch, Job, Position};
use crate::error::{exception, refused};
use crate::form::{Layout, check_room, dtype, natural, steps};
use crate::place::{Place, SizeText, check_id};
use crate::threads::{pool, shared, wait};

/// Batches of a set, in the order of tonic-train. Threads of Rust read and decode ahead, without the GIL.
///
/// Each `for frames, labels in loader` is an epoch. The first is epoch 0. If you leave the loop early, the next loop
/// is the next epoch. `labels` is an int64 array of shape (B,), -1 for a sample without a class. `frames` is a dense
/// array in the given layout, which you may write to, or a SparseBatch. Samples are padded with zeros, or cut, to
/// `steps` frames.
///
/// A loader belongs to the process that made it: after a fork, make another.
///
/// Parameters:
///     path: directory of the set, or a URL.
///     remote_cache, remote_cache_limit: as in ShardSet.
///     batch_size: samples per batch, B, of this rank.
///     steps: frames per sample, T. None: ShardSet.steps.
///     pad: "fixed" pads or cuts all samples to `steps` frames; "batch" pads the samples of a batch to the longest of
///         them, as Tonic's PadTensors, so that T differs from batch to batch.
///     seed: seed of the order of samples. The order is a function of set, seed and epoch.
///     shuffle: False gives the samples in the order of the set.
///     layout: order of the dimensions of dense frames: "btphw", "tbphw", or with all cells of a frame in one
///         dimension "btc", "tbc".
///     squeeze: True leaves out those of the dimensions P, H, W and C that are 1.
///     dtype: type of the counts: "float32", or an integer type that holds the counts of the set: "uint8", "uint16",
///         "uint32".
///     sparse: True gives SparseBatch, which has its own layout.
///     output: "numpy", or "torch" for tensors on the same memory.
///     pin_memory: True copies tensors to page-locked memory. A GPU can copy from it while Python continues. Without a
///         GPU, True only gives a warning, as in torch's DataLoader.
///     rank, world_size: in each step, all ranks together take the next world_size * batch_size samples, and rank r
///         gets part r of them. In the last step of an epoch, the parts can be smaller or empty. All ranks have the
///         same number of batches.
///     augment: random changes of the samples, as `tonic-train fit --augment`: the path of a TOML file, or a dict with its
///         content, such as {"transform": [{"name": "DropEvent", "p": 0.1}]}. The same seed and epoch give the frames
///         that the trainer sees. Counts can grow, so dtype must be float32 or uint32.
///     drop_last: True leaves out the last step of an epoch if it has fewer samples than the other steps.
///     cache: "host" keeps the set in memory, packed; "stream" reads it in every epoch; "auto" takes host if the set
///         fits into half of the free memory.
///     threads: number of threads that decode. None: one thread for each core, shared by all loaders of the process.
///
/// Raises:
///     OSError, CorruptError, IncompatibleError: as for ShardSet, when the loader is made or during an epoch.
///     ValueError: for an argument.
///     MemoryError: if a batch is larger than the free memory.
#[pyclass(frozen, module = "tonic_shards")]
pub(crate) struct Loader {
    loader: Arc<tonic_loader::Loader>,
    pool: Arc<ThreadPool>,
    buffers: Arc<Buffers>,
    form: BatchForm,
    batch_size: usize,
    rank: usize,
    world_size: usize,
    seed: u64,
    shuffle: bool,
    drop_last: bool,
    as_torch: bool,
    pin_memory: bool,
    course: Arc<Mutex<Course>>,
    process: u32,
}

#[pymethods]
impl Loader {
    #[new]
    #[pyo3(signature = (
        path, batch_size, *, steps = None, pad = "fixed", seed = 0, shuffle = true, layout = "btphw", squeeze = false,
        dtype = "float32", sparse = false, output = "numpy", pin_memory = false, rank = 0, world_size = 1,
        augment = None, drop_last = false, cache = "auto", threads = None, remote_cache = None,
        remote_cache_limit = None
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        batch_size: i64,
        steps: Option<i64>,
        pad: &str,
        #[pyo3(from_py_with = natural)] seed: u64,
        shuffle: bool,
        layout: &str,
        squeeze: bool,
        dtype: &str,
        sparse: bool,
        output: &str,
        pin_memory: bool,
        rank: i64,
        world_size: i64,
        augment: Option<&Bound<'_, PyAny>>,
        drop_last: bool,
        cache: &str,
        threads: Option<i64>,
        remote_cache: Option<PathBuf>,
        remote_cache_limit: Option<SizeText>,
    ) -> PyResult<Loader> {
        let batch_size = at_least_one("batch_size", batch_size)?;
        let world_size = at_least_one("world_size", world_size)?;
        let in_world = usize::try_from(rank).ok().filter(|&rank| rank < world_size);
        let rank = in_world.ok_or_else(|| refused("rank", &format!("0 to {}", world_size - 1), rank))?;
        let as_torch = match output {
            "numpy" => false,
            "torch" => py.import("torch").map(|_| true)?,
            _ => return Err(refused("output", "numpy or torch", output)),
        };
        if pin_memory && (!as_torch || sparse) {
            return Err(refused("pin_memory", "output=\"torch\" and dense frames with it", "others"));
        }
        let pin_memory = pin_memory && has_gpu(py)?;
        let cache: CacheChoice = match cache {
            "device" => return Err(refused("cache", "auto, host or stream", cache)),
            _ => cache.parse().map_err(|_| refused("cache", "auto, host or stream", cache))?,
        };
        let pool = match threads {
            Some(threads) => pool(at_least_one("threads", threads)?)?,
            None => shared(py)?,
        };
        if sparse && (layout != "btphw" || squeeze) {
            return Err(refused("layout", "btphw without squeeze, which a SparseBatch has", layout));
        }
        let (layout, steps) = (Layout::of_batch(layout, squeeze)?, self::steps(steps)?);
        let to_longest = match pad {
            "fixed" => false,
            "batch" if steps.is_some() => return Err(refused("steps", "none next to pad=\"batch\"", "both")),
            "batch" => true,
            _ => return Err(refused("pad", "fixed or batch", pad)),
        };
        let augmentation = augment.map(|augment| augmentation(augment, shuffle)).transpose()?;
        let augmentation = augmentation.filter(|augmentation| !augmentation.steps.is_empty());
        let set = Place::new(path, remote_cache, remote_cache_limit)?.open(py)?;
        let description = &set.manifest().description;
        let mut stored = description.widths.counts;
        if let Some(augmentation) = &augmentation {
            let checked = augmentation.check(description.shape, description.widths);
            checked.map_err(|error| exception(error.into()))?;
            stored = Width::U32;
        }
        let form = BatchForm {
            shape: description.shape,
            steps: (!to_longest).then(|| steps.unwrap_or(fixed_steps(set.manifest()).max(1))),
            width: self::dtype(dtype, stored)?,
            layout: (!sparse).then_some(layout),
            augmentation,
        };
        let most = batch_size.min(set.len() as usize);
        let longest = form.steps.unwrap_or(set.manifest().totals.max_frames as usize);
        match form.layout {
            Some(layout) => check_room(&layout.batch_dims(most, longest, form.shape), form.width.bytes())?,
            None => check_room(&[most, longest], size_of::<i64>())?, // `indptr` of a SparseBatch
        }
        let loader = wait(py, &pool, move || tonic_loader::Loader::new(set, cache, Verbosity::Quiet))?;
        let course = Course { position: Position::default(), fresh: true, iterators: 0 };
        Ok(Loader {
            loader: Arc::new(loader.map_err(exception)?),
            pool,
            buffers: Arc::default(),
            form,
            batch_size,
            rank,
            world_size,
            seed,
            shuffle,
            drop_last,
            as_torch,
            pin_memory,
            course: Arc::new(Mutex::new(course)),
            process: std::process::id(),
        })
    }

    /// Number of batches per epoch.
    fn __len__(&self) -> usize {
        self.end_from(0).div_ceil(self.step_samples() as u64) as usize
    }

    /// Starts the next epoch. After load_state_dict, continues where the state was taken instead.
    fn __iter__(&self) -> PyResult<Epoch> {
        if self.process != std::process::id() {
            return Err(PyRuntimeError::new_err(
                "a Loader belongs to the process that made it: make one in this process",
            ));
        }
        let mut course = self.course();
        if !course.fresh {
            course.position = Position { epoch: course.position.epoch + 1, samples: 0 };
        }
        course.fresh = false;
        course.iterators += 1;
        let Position { epoch, samples } = course.position;
        let job = Job {
            loader: self.loader.clone(),
            pool: self.pool.clone(),
            buffers: self.buffers.clone(),
            form: self.form.clone(),
            order: if self.shuffle { EpochOrder::Shuffled { seed: self.seed, epoch } } else { EpochOrder::Sequential },
            step_samples: self.step_samples(),
            rank: self.rank,
            world_size: self.world_size,
            positions: samples..self.end_from(samples),
        };
        Epoch::start(job, (self.as_torch, self.pin_memory), self.course.clone(), course.iterators)
    }

    /// Index of the current epoch, from 0. Between two epochs, it is the index of the next epoch.
    #[getter]
    fn epoch(&self) -> u64 {
        self.course().position.epoch
    }

    /// Which cache was chosen, and why.
    #[getter]
    fn cache(&self) -> &str {
        self.loader.why()
    }

    /// Makes the next iterator start epoch `epoch`.
    fn set_epoch(&self, #[pyo3(from_py_with = natural)] epoch: u64) {
        self.move_to(Position { epoch, samples: 0 });
    }

    /// Returns where the loader is after the last batch that it gave: a dict of numbers and texts. You can call this
    /// at any time, also within an epoch. The dict is the same on all ranks.
    fn state_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let Position { epoch, samples } = self.course().position;
        let dict = PyDict::new(py);
        dict.set_item("set_id", self.loader.set().manifest().set_id.to_string())?;
        dict.set_item("seed", self.seed)?;
        dict.set_item("shuffle", self.shuffle)?;
        dict.set_item("epoch", epoch)?;
        dict.set_item("samples", samples)?;
        Ok(dict)
    }

    /// Makes the next iterator continue where `state` was taken. It then gives exactly the samples of the epoch that
    /// were not given yet. Batch size, layout, cache, threads and the number of ranks may differ.
    ///
    /// Raises:
    ///     IncompatibleError: if `state` is of another set.
    ///     ValueError: if `state` is not a state of a loader, or has another seed or another value of shuffle.
    fn load_state_dict(&self, state: &Bound<'_, PyDict>) -> PyResult<()> {
        let get =
            |key: &str| state.get_item(key)?.ok_or_else(|| refused("state", &format!("a value for {key}"), "none"));
        check_id(self.loader.set(), &get("set_id")?.extract::<String>()?)?;
        let number = |key| natural(&get(key)?);
        let (seed, shuffle): (u64, bool) = (number("seed")?, get("shuffle")?.extract()?);
        if seed != self.seed {
            return Err(refused("seed of the state", &self.seed.to_string(), seed));
        }
        if shuffle != self.shuffle {
            return Err(refused("shuffle of the state", &self.shuffle.to_string(), shuffle));
        }
        let position = Position { epoch: number("epoch")?, samples: number("samples")? };
        let most = self.loader.set().len();
        if position.samples > most {
            return Err(refused("samples of the state", &format!("at most {most}"), position.samples));
        }
        self.move_to(position);
        Ok(())
    }

    fn __repr__(&self) -> String {
        let BatchForm { shape, steps, layout, .. } = &self.form;
        let (dir, batches) = (self.loader.set().dir().display().to_string(), self.__len__());
        let dir = printable(&dir);
        let most = self.loader.set().manifest().totals.max_frames as usize;
        let dims = |layout: &Layout| layout.batch_dims(self.batch_size, steps.unwrap_or(most), *shape);
        let form = layout.as_ref().map_or("SparseBatch".into(), |layout| format!("{:?}", dims(layout)));
        let form = if steps.is_some() { form } else { format!("at most {form}") };
        format!("<Loader {dir}: {batches} batches of {form} per epoch; cache {}>", self.cache())
    }
}

impl Loader {
    fn course(&self) -> MutexGuard<'_, Course> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn move_to(&self, position: Position) {
        let mut course = self.course();
        (course.position, course.fresh) = (position, true);
        course.iterators += 1; // from now on, no running iterator changes the position
    }

    /// Number of samples that all ranks together take in a step.
    fn step_samples(&self) -> usize {
        self.batch_size.saturating_mul(self.world_size)
    }

    /// Returns the position in the epoch after its last sample. With `drop_last`, a last step with too few samples
    /// doesn't count. The first step begins at the position `samples`.
    fn end_from(&self, samples: u64) -> u64 {
        let all = self.loader.set().len();
        let left = all.saturating_sub(samples);
        if self.drop_last { all - left % self.step_samples() as u64 } else { all }
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        // A forked process has neither the threads of the pool nor those that fetch from a URL. So it must not tell
        // them to end.
        if self.process != std::process::id() {
            std::mem::forget((self.pool.clone(), self.loader.clone()));
        }
    }
}

/// Reads the augmentation: a dict with the content of its file, or the path of the file.
fn augmentation(augment: &Bound<'_, PyAny>, shuffle: bool) -> PyResult<Augmentation> {
    if !shuffle {
        return Err(refused("augment", "shuffle=True, as an epoch of training has", "shuffle=False"));
    }
    let read = match augment.cast::<PyDict>() {
        Ok(dict) => Augmentation::parse(&toml_of(dict)?),
        Err(_) => Augmentation::read(&augment.extract::<PathBuf>()?),
    };
    read.map_err(|error| exception(error.into()))
}

/// Writes a dict with the steps of an augmentation as TOML. Texts, numbers, booleans and lists are the same in JSON and
/// in TOML.
fn toml_of(dict: &Bound<'_, PyDict>) -> PyResult<String> {
    let dumps = dict.py().import("json")?.getattr("dumps")?;
    let json = |value: &Bound<'_, PyAny>| dumps.call1((value,))?.extract::<String>();
    if dict.len() != 1 || !dict.contains("transform")? {
        return Err(refused("augment", "a dict with the key \"transform\", a list of steps", dict.keys()));
    }
    let steps: Vec<Bound<'_, PyDict>> = dict.as_any().get_item("transform")?.extract()?;
    let mut text = "transform = []\n".repeat(usize::from(steps.is_empty()));
    for step in steps {
        text += "[[transform]]\n";
        for (key, value) in step {
            text += &format!("{} = {}\n", json(&key)?, json(&value)?);
        }
    }
    Ok(text)
}

/// Returns whether torch has a GPU. If it has none, warns the user.
fn has_gpu(py: Python<'_>) -> PyResult<bool> {
    let has_gpu = py.import("torch")?.getattr("cuda")?.call_method0("is_available")?.is_truthy()?;
    if !has_gpu {
        let text = c"pin_memory: torch has no GPU, so memory is not page-locked";
        PyErr::warn(py, &py.get_type::<PyUserWarning>(), text, 1)?;
    }
    Ok(has_gpu)
}

fn at_least_one(what: &str, number: i64) -> PyResult<usize> {
    usize::try_from(number).ok().filter(|&number| number > 0).ok_or_else(|| refused(what, "1 or more", number))
}
