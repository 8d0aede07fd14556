//! Training runs and evaluations, and the run folder with everything that a run writes.

mod activity;
mod checkpoint;
mod config;
mod eval;
mod fit;
mod folder;
mod health;
mod metrics;
mod options;
mod saved_networks;
mod sets;
mod settings;
mod training;

pub use activity::LayerActivity;
pub use checkpoint::Checkpoint;
pub use config::{Config, DataConfig, LrChange, NetworkConfig};
pub use eval::{EvalOptions, eval};
pub use fit::{Fitted, check_options, fit};
pub(crate) use folder::{BEST, MODEL, TEST, holds_run};
pub use metrics::EpochMetrics;
pub(crate) use metrics::read_all as read_metrics;
pub use options::FitOptions;
