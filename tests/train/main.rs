//! Tests of the training wing, in one binary.

mod agreement;
mod bench;
mod engines;
mod faults;
mod goldens;
mod hostile;
mod kernels;
mod loader;
mod model_file;
mod nvrtc;
mod random;
mod run;
mod runs;
mod sets;
