//! Shows progress on Python's stderr.

use pyo3::prelude::*;
use tonic_base::{Printer, Verbosity, print_with};

/// Shows progress on Python's stderr from now on: on a terminal, in a notebook, or in a log.
pub(crate) fn show_in_python(py: Python<'_>) -> PyResult<()> {
    print_with(printer(py)?);
    Ok(())
}

/// Returns a printer for Python's stderr. `None` if Python's stderr is the stderr of the process.
fn printer(py: Python<'_>) -> PyResult<Option<Printer>> {
    let stderr = py.import("sys")?.getattr("stderr")?;
    let number = stderr.call_method0("fileno").and_then(|number| number.extract::<i32>());
    if number.is_ok_and(|number| number == 2) {
        return Ok(None);
    }
    let replaces = stderr.get_type().module()?.to_cow()?.starts_with("ipykernel"); // a notebook
    Ok(Some(Printer { write: write_in_python, replaces }))
}

/// Writes text to Python's stderr.
fn write_in_python(text: &str) {
    let write = |py: Python<'_>| {
        let stderr = py.import("sys")?.getattr("stderr")?;
        if !stderr.is_none() {
            stderr.call_method1("write", (text,))?;
            stderr.call_method0("flush")?;
        }
        PyResult::Ok(())
    };
    // A notebook that takes no more lines is no reason to stop.
    let _ = Python::try_attach(write);
}

/// Shows how many samples are done, while a `with` statement runs.
#[pyclass(module = "tonic_shards._native")]
pub(crate) struct Progress(Option<tonic_base::Progress>);

#[pymethods]
impl Progress {
    #[new]
    fn new(py: Python<'_>, label: &str, samples: u64, quiet: bool) -> PyResult<Progress> {
        show_in_python(py)?;
        let verbosity = if quiet { Verbosity::Quiet } else { Verbosity::Normal };
        Ok(Progress(Some(tonic_base::Progress::start(verbosity, label, samples, "samples"))))
    }

    /// Counts one more sample as done.
    fn add(&self) {
        if let Some(progress) = &self.0 {
            progress.add(1);
        }
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __exit__(&mut self, kind: &Bound<'_, PyAny>, _error: &Bound<'_, PyAny>, _trace: &Bound<'_, PyAny>) {
        match self.0.take() {
            Some(progress) if kind.is_none() => drop(progress.finish()),
            progress => drop(progress),
        }
    }
}
