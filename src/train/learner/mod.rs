//! Training and evaluation of whole epochs, on any engine.
//!
//! ```text
//! backend        the choice between CPU, GPU and libtorch; makes learners
//! epoch          the trait Learner: training, with the same interface on every device
//! host           a learner with an engine that takes batches from host memory (CPU, libtorch)
//! gpu            a learner on a GPU: network and optimiser stay in GPU memory
//! gpu_evaluator  evaluation on a GPU
//! recorded       a step as a CUDA graph, recorded once and replayed
//! schedule       the learning rate of each batch
//! memory         refuses what is too large for the free memory
//! padding        how many time steps a sample runs for
//! select         which epoch is the best
//! score          loss and accuracy of batches, added up
//! balance        class sizes of a set, and class weights
//! logits         the logits of all samples of a set
//! evaluation     loss, accuracy and confusion matrix of a set
//! warning        what a user must know about a result
//! ```

mod backend;
mod balance;
mod epoch;
mod evaluation;
mod gpu;
mod gpu_evaluator;
mod host;
mod logits;
mod memory;
mod padding;
mod recorded;
mod schedule;
mod score;
mod select;
mod warning;

pub use backend::Backend;
pub(crate) use backend::cpu_engine;
pub(crate) use balance::ClassBalance;
pub use balance::ClassWeights;
pub use epoch::{Epoch, Learner, Room, TrainState};
pub(crate) use evaluation::check_labelled;
pub use evaluation::{ClassScore, Evaluation};
pub(crate) use host::{EVALUATION_BATCH, HostLearner, check_stop, each_batch, stops};
pub use logits::Logits;
pub(crate) use memory::{check_frames, check_parameters, check_step, check_steps};
pub use padding::{Pad, Padding, longest_steps};
pub(crate) use schedule::ONE_CYCLE_MOMENTUM;
pub use schedule::{Curve, Plateau, Rates, Schedule, WARMUP_START};
pub use score::{MacroScore, RunningScore, Score};
pub use select::{Select, Selected};
pub use warning::{Knobs, Warning};
