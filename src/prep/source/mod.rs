//! Sources read recordings from files of various layouts.
//!
//! A file of any layout is opened as a [`Recording`], which reads the raw events of each of its samples. Some files are
//! datasets of many labelled samples. Files of cameras and NumPy files hold one recording each, which is opened as an
//! `EventStream`. The recording becomes one sample or is cut into many. The label of such a sample comes from the name
//! of the folder that the file is in, from a table of [`labels`], from the file itself or from the caller.
//!
//! ```text
//! open, detect, formats        opens a file or a folder; recognises a file's layout, or a format that is not read
//! layout, options              the names of layouts; the caller's options
//! layouts                      opens files by their layout: many samples, recordings of cameras, NumPy files
//! recording, raw               an open recording, and the raw events that it gives
//! stream, check                one recording as a sequence of events, and the checks before it is used
//! long, sorted                 one recording as one sample or many; its events in a sorted temporary file
//! columns                      which fields of a file are t, x, y and p, and the numbers in them
//! times                        units of time, and what is wrong with a clock
//! labels                       tables of labels, and the cuts of a recording into samples
//! folders                      folders of recordings, and their classes
//! commands                     commands in Python that save a copy of a file in which something is mended
//! hdf, heap, numpy             reading the file formats; hdf also checks that the data is there
//! together, twins, filler      the unit of small recordings; recordings that are there twice; equal events in a row
//! notes                        the recordings that a note is about
//! synth                        makes up recordings
//! ```

mod check;
mod columns;
mod commands;
mod detect;
mod filler;
mod folders;
mod formats;
mod hdf;
mod heap;
mod labels;
mod layout;
mod layouts;
mod long;
mod notes;
mod numpy;
mod open;
mod options;
mod raw;
mod recording;
mod sorted;
mod stream;
mod synth;
mod times;
mod together;
mod twins;

pub(crate) use check::check_unknown_sensor;
pub use columns::TakenColumns;
pub(crate) use columns::{FAR_PIXEL, NO_PIXEL};
pub(crate) use columns::{listed, odd_polarities};
pub(crate) use detect::events_of;
pub use folders::ClassList;
pub use hdf::LinkedPath;
pub use heap::VlenRows;
pub(crate) use labels::alike;
pub use labels::{Row, number_classes, read_labels};
pub(crate) use labels::{Unlabelled, ask_unit};
pub use layout::Layout;
pub use layouts::COCHLEA;
pub(crate) use notes::note_on;
pub use options::{Cut, Digits, LabelSource, Map, SourceOptions, TableColumns};
pub(crate) use raw::MAX_SAMPLE_EVENTS;
pub use raw::{Coordinates, RawSamples, Times};
pub use recording::Recording;
pub(crate) use recording::{BLOCK_EVENTS, LARGE_SAMPLE};
pub use synth::synth;
pub use times::EventRange;
pub use times::TimeUnit;
pub(crate) use times::{TOO_SHORT, implausible};
pub(crate) use together::{compare_files, odd_unit, vet_together};
pub(crate) use twins::twins;
