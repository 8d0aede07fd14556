//! A training run and its folder.

mod checkpoint;
mod config;
mod eval;
mod fit;
mod folder;
mod metrics;
mod options;
mod training;

pub use checkpoint::Checkpoint;
pub use config::{Config, DataConfig, LrChange, NetworkConfig};
pub use eval::{EvalOptions, eval};
pub use fit::{Fitted, fit};
pub use metrics::EpochMetrics;
pub use options::FitOptions;
