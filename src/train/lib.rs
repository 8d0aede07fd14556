#![doc = include_str!("README.md")]

pub mod bench;
pub mod check;
pub mod engine;
mod error;
pub mod feed;
pub mod gpu;
pub(crate) mod kernel;
pub mod learner;
pub mod network;
pub mod nir;
#[cfg(test)]
#[allow(dead_code)] // tests/ uses the rest
#[path = "../../tests/train/random.rs"]
mod random;
pub mod run;
pub mod sweep;
pub mod view;

#[cfg(test)]
extern crate self as tonic_train; // random.rs, which tests/ also uses, needs this name

pub use error::{Divergence, Error, KernelError, ModelError, Result};
pub use kernel::batch_source::BatchSource;
pub use kernel::isa::Isa;
pub use kernel::program::{MatmulPrecision, Program};
pub use kernel::{Group, Moments, Optimiser, OptimiserConfig, Rule};
