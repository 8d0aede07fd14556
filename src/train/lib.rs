#![doc = include_str!("README.md")]

pub mod bench;
pub mod check;
pub mod engine;
mod error;
pub mod feed;
pub mod gpu;
pub mod kernel;
pub mod learner;
pub mod network;
pub mod run;

pub use error::{Error, KernelError, ModelError, Result};
