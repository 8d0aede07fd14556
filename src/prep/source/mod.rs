//! Reads recordings from files of various layouts.
//!
//! A file of any layout is opened as a [`Recording`], which reads the raw events of each of its samples. Some files are
//! datasets of many labelled samples. Files of cameras, texts, MATLAB and NumPy files hold one recording each, which is opened as an
//! `EventStream`. The recording becomes one sample or is cut into many. The label of such a sample comes from the name
//! of the folder that the file is in, from a table of [`labels`], from the file itself or from the caller.
//!
//! ```text
//! layout, options              the names of layouts; the caller's options
//! reading                      counts the work on recordings, for a progress bar
//! raw, notes                   raw events; the recordings that a note is about
//! filler                       equal events at the start or at the end of a sample
//! packed                       files in gzip, and members of zip archives
//! placing                      how x and y of a file become pixels
//! columns                      the arrays of a file, the roles of their fields, the numbers in them
//! memory, spooled              events that a program has in memory; samples in a temporary file
//! commands                     Python commands that save a recording in a form that this crate reads
//! formats, marks               recognise file formats: any, to name it in an error; those of cameras
//! hdf, heap, numpy, matlab     read the file formats; hdf also checks that no data is missing
//! recording, unlabelled        an open recording; events in no sample
//! labels                       tables of labels, the list of classes
//! times                        how times are read: unit, clock
//! fields                       which fields of a file are t, x, y and p
//! text                         texts with a row of cells for each event
//! stream, stored, sorted       one recording as a sequence of events; its events in a temporary file, also sorted
//! target, huge_pages           where decoded events go; long columns in memory
//! kept                         keeps the temporary files of packed recordings until they are read
//! vetting, check               check the times; check the columns, coordinates and polarities
//! layouts, cameras             open files by their layout: HDF5, NumPy, MATLAB and text; the file formats of cameras
//! detect                       detects the layout of a file, and calls the code that opens it
//! samples                      one recording as one sample or many
//! together, twins              checks the time unit of recordings together; finds recordings that occur twice
//! folders, open                opens a folder, with its classes; opens a file or a folder
//! synth                        makes synthetic recordings
//! ```

mod cameras;
mod check;
mod columns;
mod commands;
mod detect;
mod fields;
mod filler;
mod folders;
mod formats;
mod hdf;
mod heap;
mod huge_pages;
mod kept;
mod labels;
mod layout;
mod layouts;
mod marks;
mod matlab;
mod memory;
mod notes;
mod numpy;
mod open;
mod options;
mod packed;
mod placing;
mod raw;
mod reading;
mod recording;
mod samples;
mod sorted;
mod spooled;
mod stored;
mod stream;
mod synth;
mod target;
mod text;
mod times;
mod together;
mod twins;
mod unlabelled;
mod vetting;

pub(crate) use check::check_unknown_sensor;
pub(crate) use columns::{FAR_PIXEL, NO_PIXEL};
pub use columns::{Numbers, TakenColumns};
pub use detect::decode_camera;
pub(crate) use detect::events_of;
pub(crate) use fields::{listed, odd_polarities};
pub(crate) use folders::SYSTEM_FOLDERS;
pub use hdf::LinkedPath;
pub use heap::VlenRows;
pub use labels::{ClassList, ListedFiles, Row, number_classes, read_labels};
pub(crate) use labels::{ListedFile, MAX_NAMELESS_CLASSES, alike};
pub use layout::Layout;
pub use layouts::COCHLEA;
pub(crate) use layouts::DIGITS;
pub use memory::EventColumns;
pub(crate) use memory::{ADDED, open_columns};
pub(crate) use notes::{Kind, Kinds};
pub use options::{Cut, Digits, LabelSource, Map, SourceOptions, TableColumns};
pub(crate) use packed::{
    MOST_MEMBERS, MOST_RATIO, Raw, bytes_to_read, failed, fill, most_unpacked, open_zip, raw, without_gz,
};
pub(crate) use raw::MAX_SAMPLE_EVENTS;
pub use raw::{Coordinates, RawSamples, Times};
pub(crate) use reading::{count, watch};
pub use recording::Recording;
pub(crate) use recording::{BLOCK_EVENTS, LARGE_SAMPLE};
pub(crate) use spooled::Spool;
pub use synth::synth;
pub(crate) use together::{compare_files, odd_unit, vet_together};
pub(crate) use twins::twins;
pub(crate) use unlabelled::{Unlabelled, ask_unit};
pub(crate) use vetting::{TOO_SHORT, implausible};
