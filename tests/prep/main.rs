//! Tests of `tonic-prep`, its library and the shard format, in one binary that doesn't need libtorch.
//!
//! What a set promises (src/shard/README.md), and the tests of each promise:
//!
//! | promise | tests |
//! |---|---|
//! | the same bytes for any number of threads, after a kill and a resume, on any machine | `promises::threads_…`, `promises::nothing_of_the_machine_…`, `kills`, `interrupt`, `joins` (parts), `frozen` |
//! | the same set from every copy of a recording | `identity` |
//! | two hashes for each chunk; ids of content, recipe and geometry | `promises::an_identity_…`, `promises::stored_bytes_…`, `shards::every_flipped_byte_…` |
//! | a reader sees a complete set or an error; a resume keeps every complete shard | `kills`, `interrupt`, `disk` |
//! | a conversion that loses many events warns or fails | `loss`, `left_out` |
//! | a ledger that balances | `accounts` (every source), `ledger`, `goldens` |
//! | a set says what it was made from; different sets are not mixed | `promises::a_set_says_…`, `promises::sets_that_do_not_…`, `convert::labels_…`, tests/train/faults.rs |
//! | frames of any shape, counts of any size | `widths`, `convert::counts_…`, `promises::threads_…` |
//! | one changed recording changes one chunk | `promises::a_changed_sample_…` |
//! | damaged or hostile bytes give an error | `shards`, `hostile`, `heap`, `hostile_sources`, and tests/fuzz |
//! | a specification that is enough to write a reader | `widths` (a second reader), `format` (a reader in Python) |
//!
//! The other modules, by what they test:
//!
//! ```text
//! columns, column_data, column_refusals, column_values, left_over, not_events, stored_values    which data of a file is read
//! storage, storage_rows, virtual_data, healthy    how HDF5 and NumPy files store it
//! units, unit_evidence, mixed_units, time_fields  the unit of the times
//! clocks, clock_rows, bad_rows, disorder, scatter, filler    times and events that are wrong
//! camera_formats, rosbags, texts, packed           files as cameras write them, bags of ROS, texts; gzip and zip
//! presets                                         data sets by name
//! matlab, matlab_hdf5                             MATLAB files of version 5, and of 7.3
//! sources, convert, cutting, large, job, resumed_options    conversions
//! folder, classes, class_lists, tables            classes and labels
//! recipes, framings, transforms, refusals, bench  what a recipe makes of events
//! tools, show, subsets, repair, cards             tools for finished sets
//! advice, faults, printed, completions, command_lines    what the program prints and parses
//! real, camera_real                               real recordings
//! recording, camera, camera_files, matlab_files, bag_files, made, seal, tonic    helpers: they write recordings and sets, and read goldens
//! ```

mod accounts;
mod advice;
mod bad_rows;
mod bag_files;
mod bench;
mod camera;
mod camera_files;
mod camera_formats;
mod camera_headers;
mod camera_real;
mod cards;
mod class_lists;
mod classes;
mod clock_rows;
mod clocks;
mod column_data;
mod column_refusals;
mod column_values;
mod columns;
mod command_lines;
mod completions;
mod convert;
mod cutting;
mod disk;
mod disorder;
mod faults;
mod filler;
mod folder;
mod format;
mod framings;
mod frozen;
mod goldens;
mod healthy;
mod heap;
mod hostile;
mod hostile_sources;
mod identity;
mod interrupt;
mod job;
mod joins;
mod kills;
mod large;
mod ledger;
mod left_out;
mod left_over;
mod loss;
mod made;
mod matlab;
mod matlab_files;
mod matlab_hdf5;
mod mixed_units;
mod not_events;
mod packed;
mod preset_notes;
mod presets;
mod printed;
mod promises;
mod real;
mod recipes;
mod recording;
mod refusals;
mod repair;
mod resumed_options;
mod rosbags;
mod scatter;
mod seal;
mod shards;
mod show;
mod sources;
mod storage;
mod storage_rows;
mod stored_values;
mod subsets;
mod tables;
mod texts;
mod time_fields;
mod tonic;
mod tools;
mod transforms;
mod unit_evidence;
mod units;
mod virtual_data;
mod widths;
