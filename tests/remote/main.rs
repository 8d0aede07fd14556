//! Sets at URLs: pushed, pulled, read and pruned, over file servers and web servers that misbehave.

mod bench;
mod pull;
mod push;
mod server;
#[cfg(feature = "train")]
mod train;
