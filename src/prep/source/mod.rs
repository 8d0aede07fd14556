//! Sources read recordings from files of various layouts.
//!
//! A file of any layout is opened as a [`Recording`], which reads the raw events of each of its samples. Some files are
//! datasets of many labelled samples ([`hsd`], [`ntidigits`]). Files of cameras and NumPy files hold one recording
//! each, which is opened as an `EventStream`. The recording becomes one sample or is cut into many ([`cut`]). The label
//! of such a sample comes from the name of the [`folder`] that the file is in, from a table ([`labels`]), from the file
//! itself or from the caller.
//!
//! ```text
//! open, detect, formats        opens a file or a folder; recognises a file's layout, or a format that is not read
//! layout, options, unit        layouts, the caller's options, units of time
//! timeline, told_unit          how times are read: their unit, wraps
//! event_range                  the range of events that is used
//! vet, clock, trouble, order   whether times fit the layout, and what is wrong with their clock or order
//! rows                         checks of the times in each row of speech
//! recording, raw               an open recording, and the raw events that it gives
//! hsd, ntidigits               layouts with many labelled samples
//! camera, npy_files            layouts with one recording per file; it is an EventStream (stream, check, polarities)
//! columns, survey, guess       which fields of a file are t, x, y and p (array_info, unusable, unnamed)
//! field_text, names            names of fields in a map; lists of names in messages
//! left_over                    which arrays of a file are not used
//! long, cut, labels            one recording as one sample or many, and the classes of the samples
//! mended, heidelberg_mended    commands that save a copy of a file in which something is mended
//! unnamed                      what to type for a file whose arrays have no usual names
//! unlabelled                   which events of a recording are in no interval of a table of labels
//! folder, listing, unread      a folder of recordings, and files in it that are not read
//! class_folders, class_list    which folders are classes; the caller's list of classes
//! text_events                  texts with a row for each event, and the NumPy command that converts them
//! text, file_names             tables: their text and cells, and the recordings that they name
//! hdf, heap, numpy             reading the file formats; hdf also checks that the data is there
//! numbers, shape               columns of numbers of any type, in arrays of any shape
//! synth                        makes up recordings
//! ```

mod array_info;
mod camera;
mod check;
mod class_folders;
mod class_list;
mod clock;
mod columns;
mod cut;
mod detect;
mod event_range;
mod field_text;
mod file_names;
mod folder;
mod formats;
mod guess;
mod hdf;
mod heap;
mod heidelberg_mended;
mod hsd;
mod labels;
mod layout;
mod left_over;
mod listing;
mod long;
mod mended;
mod names;
mod npy_files;
mod ntidigits;
mod numbers;
mod numpy;
mod open;
mod options;
mod order;
mod polarities;
mod raw;
mod recording;
mod rows;
mod shape;
mod sorted;
mod stream;
mod survey;
mod synth;
mod text;
mod text_events;
mod timeline;
mod told_unit;
mod trouble;
mod unit;
mod unlabelled;
mod unnamed;
mod unread;
mod unusable;
mod vet;
mod vet_blocks;

pub(crate) use check::check_unknown_sensor;
pub use class_list::ClassList;
pub use columns::TakenColumns;
pub(crate) use detect::events_of;
pub use event_range::EventRange;
pub use hdf::LinkedPath;
pub use heap::VlenRows;
pub use hsd::COCHLEA;
pub(crate) use labels::alike;
pub use labels::{Row, number_classes, read_labels};
pub use layout::Layout;
pub(crate) use names::{and_more, some_of};
pub(crate) use numbers::{FAR_PIXEL, NO_PIXEL};
pub use options::{Cut, Digits, LabelSource, Map, SourceOptions, TableColumns};
pub(crate) use polarities::{listed, odd_polarities};
pub(crate) use raw::MAX_SAMPLE_EVENTS;
pub use raw::{Coordinates, RawSamples, Times};
pub use recording::Recording;
pub(crate) use recording::{BLOCK_EVENTS, LARGE_SAMPLE};
pub use synth::synth;
pub use unit::TimeUnit;
pub(crate) use unlabelled::{Unlabelled, ask_unit};
pub(crate) use vet::implausible;
