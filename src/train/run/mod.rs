//! Training runs and evaluations, and the run folder with everything that a run writes.
//!
//! ```text
//! options          the options of a run
//! training_options options for training: optimiser, schedule, selection of an epoch
//! training_config  the table [training] of config.toml, made from training_options
//! options_file     reads options from a TOML file
//! network_file     network files and presets: layers, and options that go with them
//! sets             opens the sets of a run, checks that they fit together, and stores their paths
//! configure        makes the configuration from the options, or for a resumed run from the run folder
//! fit, training    trains a network: the checks before it, and the epochs
//! failure          what stops training early: values that diverge, interruptions
//! ending           what follows the last epoch: the selected epoch, the test
//! reestimate       computes the running statistics of norms again
//! eval             evaluates the network of a run on a set
//! predict          writes the logits of every sample of a set
//! folder           the run folder: names of its files, its lock
//! frames           tells the user if the frames are not those that the network is made for
//! config           config.toml: everything that the result depends on
//! checkpoint       the state from which a run continues
//! saved_networks   checks the networks in the folder of a resumed run
//! sums             BLAKE3 sums of the files of a run
//! metrics          metrics of each epoch, and their curves
//! export           the network as arrays of NumPy
//! events           the event file of TensorBoard
//! times, machine   how long each process trained the run, and on which hardware
//! activity         how often neurons spike
//! initial          the network before the first batch
//! ranks            several processes that train one run
//! health           whether training learns nothing or diverges
//! ```

mod activity;
mod checkpoint;
mod config;
mod configure;
mod ending;
mod eval;
mod events;
mod export;
mod failure;
mod fit;
mod folder;
mod frames;
mod health;
mod initial;
mod machine;
mod metrics;
mod network_file;
mod options;
mod options_file;
mod predict;
mod ranks;
mod reestimate;
mod saved_networks;
mod sets;
mod sums;
mod times;
mod training;
mod training_config;
mod training_options;

pub use activity::LayerActivity;
pub use checkpoint::Checkpoint;
pub use config::{Config, DataConfig, NetworkConfig};
pub(crate) use eval::Trained;
pub use eval::{EvalOptions, eval};
pub use export::{export_npz, model_file};
pub use fit::{Fitted, check_options, fit};
pub(crate) use folder::{BEST, MODEL, REPORT, TEST, holds_run};
pub use metrics::EpochMetrics;
pub(crate) use metrics::read_all as read_metrics;
pub use network_file::{NetworkFile, resized};
pub use options::FitOptions;
pub use options_file::{RunOption, read_options};
pub(crate) use options_file::{options_of, read_toml, table_at};
pub use predict::{PredictOptions, Predicted, predict};
pub use reestimate::Reestimated;
pub(crate) use saved_networks::read_network;
pub use sets::SetPaths;
pub(crate) use sums::check_results;
pub(crate) use times::{ProcessTime, read as read_times};
pub use training_config::{LrChange, TrainingConfig};
pub use training_options::{OptimiserName, ScheduleName, TrainingOptions};
