#![doc = include_str!("README.md")]

// place                         a directory or a URL; a set that is open, also after a fork
// set, sample, chunk_cache      an open set; a sample; decoded chunks, of which a bounded amount is kept
// loader, epoch, batch          options and state; the thread that makes batches ahead; one batch
// form, arrays                  layouts and types of numbers; arrays whose memory is used again
// conversion, options           conversions; their options
// progress                      progress on a terminal, in a notebook, in a log
// writer                        a set that is made from arrays of events
// threads                       thread pools, also after a fork; waiting that Ctrl-C ends
// error                         errors as Python exceptions

mod arrays;
mod batch;
mod chunk_cache;
mod conversion;
mod epoch;
mod error;
mod form;
mod loader;
mod options;
mod place;
mod progress;
mod sample;
mod set;
mod threads;
mod writer;

use pyo3::prelude::*;

/// Runs a command line of tonic-prep, given as its words. Returns the exit code.
#[pyfunction]
fn main(py: Python<'_>, words: Vec<std::ffi::OsString>) -> u8 {
    py.detach(|| tonic_prep_cli::main(words))
}

/// The Rust part of the package tonic_shards. Use its classes and functions through the package.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("CorruptError", py.get_type::<error::CorruptError>())?;
    module.add("IncompatibleError", py.get_type::<error::IncompatibleError>())?;
    module.add_class::<set::ShardSet>()?;
    module.add_class::<sample::Sample>()?;
    module.add_class::<loader::Loader>()?;
    module.add_class::<epoch::Epoch>()?;
    module.add_class::<writer::AddedSet>()?;
    module.add_class::<progress::Progress>()?;
    module.add_function(wrap_pyfunction!(main, module)?)?;
    module.add_function(wrap_pyfunction!(conversion::convert, module)?)?;
    module.add_function(wrap_pyfunction!(conversion::catalogue, module)?)?;
    module.add_function(wrap_pyfunction!(conversion::check_recipe, module)?)?;
    module.add_function(wrap_pyfunction!(epoch::part_of_step, module)?)?;
    module.add_function(wrap_pyfunction!(set::epoch_order, module)?)?;
    module.add_function(wrap_pyfunction!(set::check_id, module)?)?;
    module.add_function(wrap_pyfunction!(set::check_sample_form, module)?)?;
    module.add_function(wrap_pyfunction!(set::reopen, module)?)
}
