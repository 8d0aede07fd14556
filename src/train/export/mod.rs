//! Ways out of the run folder: the network in formats that others read.

pub mod safetensors;
