//! Reports and pictures: the report of a run as a web page, and the spikes and the readout of single samples.
//!
//! ```text
//! trace        rasters of a sample and of the hidden layers; the readout over time
//! show         one sample: input, spikes of each layer, readout over time
//! survey       all samples of a set: predictions, losses, times, spikes
//! report       reads the run, surveys a set, writes the page
//! page         the sections of the page
//! sample_page  the sections of the page about single samples
//! ```

mod page;
mod report;
mod sample_page;
mod show;
mod survey;
mod trace;

pub use page::Surveyed;
pub use report::{ReportOptions, Reported, report};
pub use show::{ShowOptions, Shown, show};
