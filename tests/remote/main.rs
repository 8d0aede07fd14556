//! Tests of sets at URLs: sets are pushed, pulled, read and pruned, on file servers and on web servers that make
//! mistakes.

mod bench;
mod cards;
mod faults;
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
