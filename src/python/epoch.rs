//! An iterator over the batches of an epoch. A thread makes batches ahead of Python.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use rayon::ThreadPool;
use tonic_loader::{EpochOrder, Loader, Share};
use tonic_shard::Result;

use crate::arrays::{Buffers, array, column};
use crate::batch::{Batch, BatchForm, Frames};
use crate::error::exception;
use crate::threads::{lost, receive};

/// Position of a loader: the epoch, and how many samples of this epoch the loader has given to all ranks together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) epoch: u64,
    pub(crate) samples: u64,
}

/// The position of a loader. The loader and all its iterators share it. Only the newest iterator changes it.
#[derive(Debug)]
pub(crate) struct Course {
    pub(crate) position: Position,
    /// Whether no iterator has begun at `position` yet.
    pub(crate) fresh: bool,
    /// Number of iterators made so far. It is also the number of the newest iterator. A call of `set_epoch` or
    /// `load_state_dict` also adds 1. After such a call, no running iterator counts as the newest.
    pub(crate) iterators: u64,
}

/// What the thread of an epoch needs to make its batches.
pub(crate) struct Job {
    pub(crate) loader: Arc<Loader>,
    pub(crate) pool: Arc<ThreadPool>,
    pub(crate) buffers: Arc<Buffers>,
    pub(crate) form: BatchForm,
    pub(crate) order: EpochOrder,
    /// Number of samples that all ranks together take in a step.
    pub(crate) step_samples: usize,
    pub(crate) rank: usize,
    pub(crate) world_size: usize,
    /// The samples that were not given yet, as positions in the epoch.
    pub(crate) positions: Range<u64>,
}

/// A batch, and the position in the epoch of the first sample after this step.
type Made = Result<(Batch, u64)>;

/// Returns which samples of a step a rank gets: the index of the first one in the step, and the index after the last
/// one. The step has `samples` samples. All ranks get the same number of them. Only a last step with fewer than
/// `step_samples` samples is divided among the ranks as `tonic-train` divides it.
#[pyfunction]
pub(crate) fn part_of_step(samples: usize, step_samples: usize, rank: usize, world_size: usize) -> (usize, usize) {
    if samples < step_samples {
        let Range { start, end } = Share::of_rank(samples, rank, world_size);
        return (start, end);
    }
    let each = samples / world_size;
    (rank * each, (rank + 1) * each)
}

impl Job {
    /// Makes batch after batch. Stops at the end of the epoch, after an error, or when the receiver of the batches is
    /// dropped.
    fn run(&self, out: &Sender<Made>) {
        self.loader.read(self.order, self.step_samples, self.positions.clone(), |windows| {
            let mut position = self.positions.start;
            while position < self.positions.end {
                let samples = self.step_samples.min((self.positions.end - position) as usize);
                let (start, end) = part_of_step(samples, self.step_samples, self.rank, self.world_size);
                position += samples as u64;
                let made = self.pool.install(|| self.form.make(windows, start..end, self.order, &self.buffers));
                let failed = made.is_err();
                if out.send(made.map(|batch| (batch, position))).is_err() || failed {
                    return;
                }
            }
        });
    }
}

/// The batches of an epoch, an iterator over pairs (frames, labels).
#[pyclass(frozen, module = "tonic_shards._native")]
pub(crate) struct Epoch {
    running: Mutex<Option<Running>>,
    form: BatchForm,
    as_torch: bool,
    pin_memory: bool,
    course: Arc<Mutex<Course>>,
    /// Number of this iterator. If it equals [`Course::iterators`], this is the newest iterator of its loader.
    number: u64,
    /// Id of the process in which the thread runs.
    process: u32,
}

struct Running {
    made: Receiver<Made>,
    thread: JoinHandle<()>,
}

impl Epoch {
    /// Starts the thread that makes the batches. `number` is the number of the new iterator.
    pub(crate) fn start(
        job: Job,
        (as_torch, pin_memory): (bool, bool),
        course: Arc<Mutex<Course>>,
        number: u64,
    ) -> PyResult<Epoch> {
        // The channel has no room: one finished batch waits in the thread. More batches would take memory, also in the
        // processor's cache.
        let (out, made) = bounded(0);
        let form = job.form.clone();
        let thread = std::thread::Builder::new().name("tonic_shards epoch".into());
        let thread = thread.spawn(move || job.run(&out));
        let thread = thread.map_err(|e| PyRuntimeError::new_err(format!("cannot start a thread: {e}")))?;
        let running = Mutex::new(Some(Running { made, thread }));
        Ok(Epoch { running, form, as_torch, pin_memory, course, number, process: std::process::id() })
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that the samples before `position` have been given. Does nothing if this is not the newest iterator, or
    /// if another thread has recorded the end of the epoch.
    fn move_to(&self, position: u64) {
        let mut course = self.course.lock().unwrap_or_else(PoisonError::into_inner);
        if course.iterators == self.number && !course.fresh {
            // Two threads that take batches of one iterator may get here in any order.
            course.position.samples = course.position.samples.max(position);
        }
    }

    /// Records that the epoch is over. Does nothing if this is not the newest iterator.
    fn finish(&self) {
        let mut course = self.course.lock().unwrap_or_else(PoisonError::into_inner);
        if course.iterators == self.number {
            (course.position, course.fresh) = (Position { epoch: course.position.epoch + 1, samples: 0 }, true);
        }
    }

    fn arrays<'py>(&self, py: Python<'py>, batch: Batch) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        static SPARSE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        static FROM_NUMPY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let samples = batch.labels.len();
        let labels = array(py, batch.labels, &[samples])?;
        let (shape, steps) = (self.form.shape, batch.steps);
        let torch = |array: Bound<'py, PyAny>| match self.as_torch {
            true => {
                let tensor = FROM_NUMPY.import(py, "torch", "from_numpy")?.call1((array,))?;
                if self.pin_memory { tensor.call_method0("pin_memory") } else { Ok(tensor) }
            }
            false => Ok(array),
        };
        let frames = match batch.frames {
            Frames::Dense(buffer, layout) => torch(buffer.into_array(py, &layout.batch_dims(samples, steps, shape))?)?,
            Frames::Sparse(rows) => {
                let (rows_len, entries) = (rows.indptr.len(), rows.indices.len());
                let indptr = array(py, rows.indptr, &[rows_len])?;
                let indices = array(py, rows.indices, &[entries])?;
                let [p, h, w] = shape.dims();
                let whole = (samples, steps, p, h, w);
                let class = SPARSE.import(py, "tonic_shards.sparse", "SparseBatch")?;
                let batch = class.call1((indptr, indices, column(py, rows.values)?, whole))?;
                if self.as_torch { batch.call_method0("to_torch")? } else { batch }
            }
        };
        Ok((frames, torch(labels)?))
    }
}

#[pymethods]
impl Epoch {
    fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<(Bound<'py, PyAny>, Bound<'py, PyAny>)>> {
        if self.process != std::process::id() {
            return Err(PyRuntimeError::new_err("an iterator of a Loader belongs to the process that made it"));
        }
        let Some(made) = self.running().as_ref().map(|running| running.made.clone()) else { return Ok(None) };
        match receive(py, &made)? {
            Some(Ok((batch, position))) => {
                let arrays = self.arrays(py, batch)?;
                self.move_to(position);
                Ok(Some(arrays))
            }
            Some(Err(error)) => {
                self.stop(py);
                Err(exception(error))
            }
            None => match self.stop(py) {
                Some(true) => Err(lost()),
                Some(false) => {
                    self.finish();
                    Ok(None)
                }
                None => Ok(None),
            },
        }
    }
}

impl Epoch {
    /// Ends the thread, and waits until it has ended. This takes at most as long as making a batch. Returns whether the
    /// thread panicked. `None` if another call has ended the thread, or if this is a forked process.
    fn stop(&self, py: Python<'_>) -> Option<bool> {
        let Running { made, thread } = self.running().take()?;
        if self.process != std::process::id() {
            std::mem::forget((made, thread)); // a forked process doesn't have the thread
            return None;
        }
        drop(made);
        Some(py.detach(|| thread.join().is_err()))
    }
}

impl Drop for Epoch {
    fn drop(&mut self) {
        Python::attach(|py| self.stop(py));
    }
}
