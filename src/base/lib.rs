#![doc = include_str!("README.md")]
#![forbid(unsafe_code)]

// error                      errors that any crate can meet
// names, printable           lists of names in messages; text from files, safe for a terminal
// free_name                  a name for a new file
// progress, interrupt        progress of long tasks; signals that ask to stop
// publish, lock              writes that are atomic; a lock on a directory
// disk, memory, cores, spill free space, free memory, processors; bytes in a temporary file
// share                      how many processes of a program share the processors and the memory of this machine
// cgroup                     the control groups of a job, with their limits
// workers                    parallel work with results in order

mod cgroup;
mod cores;
mod disk;
mod error;
mod free_name;
pub mod interrupt;
mod lock;
mod memory;
mod names;
mod printable;
mod progress;
mod publish;
mod share;
mod spill;
mod temporary;
mod workers;

pub use cores::cores;
pub use disk::{check_space, free_space};
pub use error::{BaseFault, Error, Result};
pub use free_name::free_name;
pub use lock::DirLock;
pub use memory::free_memory;
pub use names::{and_more, first_of, some_of};
pub use printable::{printable, printable_json, printable_lines};
pub use progress::{
    Printer, Progress, Verbosity, human_bytes, human_time, parse_bytes, parse_range, print_line, print_with, say,
};
pub use publish::{Draft, bytes_in, drafted, is_abandoned, publish, remove_abandoned, remove_file};
pub use share::share_machine;
pub use spill::Spill;
pub use temporary::TemporaryFile;
pub use workers::{gather, in_order};
