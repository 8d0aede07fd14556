#![doc = include_str!("README.md")]

// source, transform, framing    recordings to events, events to events, events to frames
// recipe, signature             lists of transforms with a framing; their parameters and defaults
// convert                       recordings to sets
// datasets                      the data sets that Tonic knows
// events, disk_sort             events in columns; sorts more items than fit in memory
// time_unit, event_range        units of time; a range of a recording's events
// bench                         measures training input without a set
// error, fault, reason, remedy  errors of recordings and recipes, why they occur, and what the user can do about them

mod bench;
mod convert;
mod datasets;
mod disk_sort;
mod error;
mod event_range;
mod events;
mod fault;
mod framing;
mod reason;
mod recipe;
mod remedy;
mod signature;
mod source;
mod time_unit;
mod transform;

pub use bench::{NaiveMeasured, bench};
pub use convert::{
    AddedLabel, AddedSamples, ChunkFailure, ChunkMaker, Conversion, Converted, Division, Estimate, Inputs, Job, LEVEL,
    RecipeChoice, SHARD_SIZE, TaskShare, convert, convert_added, hash_linked,
};
pub use datasets::{ByHand, Dataset, DatasetSplit, Download, Unpacked, dataset_source, is_archive, unpack};
pub use error::{Error, Result};
pub use event_range::EventRange;
pub use events::{Admitted, Events, RawEvent, SensorSize, admit};
pub use fault::{Checked, Fault};
pub use framing::{FramedSample, Framer, Framing};
pub use reason::{Absence, FolderKind};
pub use recipe::{Recipe, catalogue};
pub use remedy::{ClockRemedy, ClockTimes, Remedy, RowEvents};
pub use signature::{Catalogue, IfAbsent, Kind, Parameter, Signature};
pub use source::{
    COCHLEA, ClassList, Coordinates, Cut, Digits, EventColumns, LabelSource, Layout, LinkedPath, ListedFiles, Map,
    Numbers, RawSamples, Recording, Row, SourceOptions, TableColumns, TakenColumns, Times, VlenRows, decode_camera,
    number_classes, read_labels, synth,
};
pub use time_unit::TimeUnit;
pub use transform::Transform;
