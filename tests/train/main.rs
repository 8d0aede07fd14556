//! Tests of the training wing, in one binary.

mod engines;
mod goldens;
mod kernels;
mod model_file;
mod random;
