//! Tests of sets at URLs, on file servers and on web servers that make mistakes.
//!
//! ```text
//! push, pull, repair             single commands
//! together                       commands that run at the same time
//! faults, hostile                bad servers, full disks and kills
//! secrets                        credentials are never printed or stored
//! fetch                          downloads of data sets
//! cards, locks                   cards of sets, and lock files
//! train                          training from a URL
//! real, services                 real servers
//! bench, server, bad_line        helpers: a folder with a set; a web server and a proxy that make mistakes
//! ```

mod bad_line;
mod bench;
mod cards;
mod faults;
mod fetch;
mod hostile;
mod locks;
mod pull;
mod push;
mod real;
mod repair;
mod secrets;
mod server;
mod services;
mod together;
#[cfg(feature = "train")]
mod train;
