//! A set that is made from arrays of events.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use numpy::{Element, PyArray1, PyArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use tonic_prep::{AddedLabel, AddedSamples, Conversion, EventColumns, Numbers};

use crate::conversion::{check_output, report, run, say_opening};
use crate::error::prep_exception;
use crate::options::{EventArgs, RecipeArgs, WriteArgs};

/// The native part of Writer: keeps samples in a temporary file, and makes a set from them.
#[pyclass(frozen, module = "tonic_shards._native")]
pub(crate) struct AddedSet {
    quiet: bool,
    /// `None` after the set is finished or given up.
    open: Mutex<Option<(AddedSamples, Conversion)>>,
}

#[derive(FromPyObject)]
enum Label {
    Number(i64),
    Name(String),
}

#[pymethods]
impl AddedSet {
    /// Checks the options and the recipe. `options` has a value for each field of EventArgs, RecipeArgs and WriteArgs.
    #[new]
    fn new(output: PathBuf, options: &Bound<'_, PyDict>) -> PyResult<AddedSet> {
        let source = options.extract::<EventArgs>()?.options()?;
        let write = options.extract::<WriteArgs>()?;
        let (quiet, lenient) = (write.quiet(), write.lenient());
        check_output(&write, &output)?;
        let conversion =
            write.conversion(options.py(), Vec::new(), output, source.clone(), options.extract::<RecipeArgs>()?)?;
        if let (tonic_prep::RecipeChoice::Recipe(recipe), Some(sensor)) = (&conversion.recipe, source.sensor) {
            recipe.check_sensor(sensor).map_err(prep_exception)?;
        }
        let added = AddedSamples::new(source, lenient).map_err(prep_exception)?;
        Ok(AddedSet { quiet, open: Mutex::new(Some((added, conversion))) })
    }

    fn __len__(&self) -> usize {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.as_ref().map_or(0, |(added, _)| added.samples() as usize)
    }

    /// Adds a sample. `columns` are pairs of the name of a column and an array of one dimension.
    fn add(
        &self,
        py: Python<'_>,
        columns: Vec<(String, Bound<'_, PyAny>)>,
        label: Option<Label>,
        extras: Vec<(String, i64)>,
    ) -> PyResult<()> {
        let numbers = |(name, array)| PyResult::Ok((name, self::numbers(&array)?));
        let columns: EventColumns = columns.into_iter().map(numbers).collect::<PyResult<_>>()?;
        let label = match &label {
            None => AddedLabel::None,
            Some(Label::Name(name)) => AddedLabel::Name(name),
            Some(Label::Number(number)) => AddedLabel::Number(u32::try_from(*number).map_err(|_| {
                PyValueError::new_err(format!("label: expected a class from 0, or None, got {number}"))
            })?),
        };
        let added = py.detach(|| {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.as_mut().map(|(added, _)| added.add(columns, label, &extras))
        });
        added.ok_or_else(closed)?.map_err(prep_exception)
    }

    /// Makes the set.
    fn finish(&self, py: Python<'_>) -> PyResult<()> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner).take();
        let ((added, conversion), quiet) = (open.ok_or_else(closed)?, self.quiet);
        let work = move || tonic_prep::convert_added(&conversion, added, |inputs| say_opening(inputs, quiet));
        report(py, &run(py, "the set is not finished; make it anew with overwrite=True", work)?, quiet)
    }

    /// Discards the samples.
    fn give_up(&self) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

fn closed() -> PyErr {
    PyValueError::new_err("the Writer is closed: make another one")
}

/// Copies the numbers of a contiguous array.
fn numbers(array: &Bound<'_, PyAny>) -> PyResult<Numbers> {
    fn copied<T: Element + Copy>(array: &Bound<'_, PyAny>) -> Option<Vec<T>> {
        // `as_slice` accepts only contiguous arrays. A field of a structured array can have strides that ndarray
        // doesn't support.
        array.cast::<PyArray1<T>>().ok()?.readonly().as_slice().ok().map(<[T]>::to_vec)
    }
    let array = array.as_any();
    let found = None
        .or_else(|| copied(array).map(Numbers::U8))
        .or_else(|| copied(array).map(Numbers::I8))
        .or_else(|| copied(array).map(Numbers::U16))
        .or_else(|| copied(array).map(Numbers::U32))
        .or_else(|| copied(array).map(Numbers::U64))
        .or_else(|| copied(array).map(Numbers::I64))
        .or_else(|| copied(array).map(Numbers::F64));
    found.ok_or_else(|| PyTypeError::new_err("expected a contiguous array of numbers"))
}
