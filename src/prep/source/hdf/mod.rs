//! Reads HDF5 files: opens them, lists their datasets, reads ranges of columns, and makes errors that name the cause.
//!
//! Every dataset whose numbers are used is opened by [`dataset`], [`events`] or [`optional`]. These functions check
//! that no data of the dataset is missing.
//!
//! ```text
//! file, cause                  opens files; errors
//! tree, objects, types         lists the datasets of a file; describes their types
//! column, member, checked      opens datasets and checks their data; columns, members of records
//! scale                        finds scale factors; refuses numbers that have an offset
//! matlab                       classes, texts, empty arrays and cells of MATLAB
//! number_type                  the types that numbers are read as
//! links, search                soft and external links; where libhdf5 looks for other files
//! storage, absent              checks chunks, raw files and virtual datasets
//! sources, pieces              the sources of virtual datasets; which source fills which entries
//! coverage                     finds the rows of a dataset that have no data
//! sys                          calls libhdf5 directly for what the crate `hdf5` cannot read
//! ```

mod absent;
mod cause;
mod checked;
mod column;
mod coverage;
mod file;
mod links;
mod matlab;
mod member;
mod number_type;
mod objects;
mod pieces;
mod scale;
mod search;
mod sources;
mod storage;
mod sys;
mod tree;
mod types;

pub(crate) use cause::{damaged, last_words};
pub(crate) use checked::{File, dataset, events, optional};
pub(crate) use column::NumberColumn;
pub(crate) use file::{describe, descriptor, open, open_cached, strings, text_bytes, unreadable};
pub use links::LinkedPath;
pub(crate) use matlab::{class_of, letters};
pub(crate) use scale::scaled;
pub(crate) use tree::Tree;
