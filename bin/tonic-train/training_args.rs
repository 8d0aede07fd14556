//! Arguments of `fit` for how a run trains: optimiser, schedule of the learning rate, selection of an epoch.

use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use tonic_base::{BaseFault, Error as BaseError};
use tonic_train::learner::Select;
use tonic_train::run::{OptimiserName, ScheduleName, TrainingOptions};

use crate::values::positive;

/// Options that choose something, such as a schedule. Each has a list of companions: options that only some choices
/// use. If the command line and a file with options make different choices, the companions in the file are ignored.
pub(crate) const COMPANIONS: [(&str, &[&str]); 3] = [
    ("schedule", &["warmup_epochs", "warmup_start", "step_epochs", "lr_factor", "lr_patience", "min_lr"]),
    ("optimiser", &["momentum", "nesterov", "weight_decay"]),
    ("spike_rate", &["spike_rate_weight"]),
];

#[derive(Args)]
#[command(next_help_heading = "How it trains")]
pub(crate) struct TrainingArgs {
    /// Optimiser, with PyTorch's formulas [default: adam]
    #[arg(long, alias = "optimizer", value_name = "NAME", value_parser = optimiser())]
    optimiser: Option<OptimiserName>,
    /// Momentum of SGD. 0.9 is usual. --schedule one-cycle moves any momentum above 0 between 0.85 and 0.95 instead
    /// [default: 0]
    #[arg(long, value_name = "M", value_parser = share)]
    momentum: Option<f64>,
    /// Look one step ahead along SGD's momentum (Nesterov)
    #[arg(long)]
    nesterov: bool,
    /// Weight decay of the weight matrices. Biases, norms and constants of neurons have none [default: 0.01 with
    /// adamw, 0 with the others]
    #[arg(long, value_name = "D", value_parser = not_negative)]
    weight_decay: Option<f64>,
    /// Scale the gradients of all parameters down so that their common norm is at most this. 1 tames the steps of
    /// recurrent networks [default: no limit]
    #[arg(long, value_name = "NORM", value_parser = positive::<f64>)]
    clip_norm: Option<f64>,
    /// How the learning rate changes: constant; cosine (from --lr down to --min-lr, batch by batch); one-cycle (up to
    /// --lr and down again, with a momentum that goes the other way); step (times --lr-factor after every
    /// --step-epochs); plateau (times --lr-factor after --lr-patience epochs without a better validation score). cosine
    /// and one-cycle end with the last of the --epochs that the run starts with. constant also turns off the schedule
    /// of a preset or a network file, with the options that belong to this schedule [default: constant]
    #[arg(long, value_name = "NAME", value_parser = schedule())]
    schedule: Option<ScheduleName>,
    /// Number of epochs at the start in which the learning rate rises to --lr, batch by batch [default: 0]
    #[arg(long, value_name = "N")]
    warmup_epochs: Option<u64>,
    /// Share of --lr at which the warm-up starts [default: 1/3]
    #[arg(long, value_name = "SHARE", value_parser = share_above_0)]
    warmup_start: Option<f64>,
    /// Number of epochs with the same learning rate, for --schedule step
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    step_epochs: Option<u64>,
    /// Factor of the learning rate in each step or cut, for --schedule step and plateau [default: 0.1]
    #[arg(long, value_name = "F", value_parser = share_above_0)]
    lr_factor: Option<f64>,
    /// Number of epochs without a better validation score that --schedule plateau accepts. Better means by 0.01% of the
    /// best score [default: 10]
    #[arg(long, value_name = "N")]
    lr_patience: Option<u64>,
    /// Smallest learning rate, for --schedule cosine and plateau [default: 0]
    #[arg(long, value_name = "LR", value_parser = not_negative)]
    min_lr: Option<f64>,
    /// Label smoothing: this share of the target belongs to all classes alike, in the loss of training [default: 0]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    label_smoothing: Option<f64>,
    /// Penalise hidden neurons with fewer or more spikes per time step: 0.01,0.5 wants at least one spike in 100 steps
    /// and at most one in two. The penalty is the mean square of what is missing or too much, for each sample and layer
    /// [default: no penalty]
    #[arg(long, value_name = "MIN,MAX", value_parser = bounds)]
    spike_rate: Option<Bounds>,
    /// Factor of the penalty of --spike-rate in the loss [default: 1]
    #[arg(long, value_name = "W", value_parser = positive::<f64>)]
    spike_rate_weight: Option<f64>,
    /// Select the epoch with the best score on the validation set, and test its network, which is in best.safetensors.
    /// plateau and --patience compare epochs by the same score. The test set is never used for it. With none, the
    /// network of the last epoch is tested, also if a preset or a network file selects one [default: none; epochs are
    /// compared by valid-accuracy]
    #[arg(long, value_name = "SCORE", value_parser = select())]
    select: Option<Selection>,
    /// Stop early after this many epochs without a better validation score. It can be changed when a run is resumed
    /// [default: never]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    patience: Option<u64>,
    /// Parts of the network that keep their initial values: names of tensors in model.safetensors, such as 0.weight, or
    /// of layers, such as 0,2. The running statistics of a norm follow the batches nevertheless, as in PyTorch
    #[arg(long, value_name = "NAME[,NAME...]", value_delimiter = ',')]
    freeze: Vec<String>,
    /// Start from the parameters in a safetensors file, such as another run's model.safetensors. Names and shapes are
    /// checked; parts that the file doesn't have are random. The file is not copied: keep it until the run has begun
    #[arg(long, value_name = "FILE")]
    init: Option<PathBuf>,
    /// TOML file with random changes of the training samples. Each change is a table [[transform]] with a name and its
    /// parameters. As in Tonic: DropEvent, DropEventByTime, DropEventByArea, UniformNoise, SpatialJitter, TimeJitter
    /// (std in frames), RandomFlipLR, RandomFlipUD, RandomFlipPolarity, RandomCrop, RandomTimeReversal. Not in Tonic:
    /// ChannelShift, TimeShift. The changes are saved in the run [default: none]
    #[arg(long, value_name = "FILE.toml")]
    augment: Option<PathBuf>,
}

/// First bytes of a file in HDF5.
const HDF5: &[u8] = b"\x89HDF\r\n\x1a\n";

impl TrainingArgs {
    /// Refuses a graph of NIR as the file of --init.
    pub(crate) fn check_init(&self) -> Result<(), BaseError> {
        let Some(path) = &self.init else { return Ok(()) };
        let mut start = Vec::new();
        let read = std::fs::File::open(path).and_then(|file| file.take(HDF5.len() as u64).read_to_end(&mut start));
        // Other faults of the file are found when its parameters are read.
        if read.is_err() || start != HDF5 {
            return Ok(());
        }
        let words = "a safetensors file, which tonic-train import GRAPH -o FILE.safetensors --steps N makes of a graph (it \
                     prints the network for --network)";
        Err(BaseError::usage("init", words, format!("{}: a graph in HDF5", path.display())))
    }
}

impl From<TrainingArgs> for TrainingOptions {
    fn from(args: TrainingArgs) -> TrainingOptions {
        TrainingOptions {
            optimiser: args.optimiser,
            momentum: args.momentum,
            nesterov: args.nesterov,
            weight_decay: args.weight_decay,
            clip_norm: args.clip_norm,
            schedule: args.schedule,
            warmup_epochs: args.warmup_epochs,
            warmup_start: args.warmup_start,
            step_epochs: args.step_epochs,
            lr_factor: args.lr_factor,
            lr_patience: args.lr_patience,
            min_lr: args.min_lr,
            label_smoothing: args.label_smoothing,
            spike_rate: args.spike_rate.map(|bounds| bounds.0),
            spike_rate_weight: args.spike_rate_weight,
            select: args.select.map(|selection| selection.0),
            patience: args.patience,
            // A list of one in a file ends with a comma.
            freeze: args.freeze.into_iter().filter(|name| !name.is_empty()).collect(),
            init: args.init,
            augment: args.augment,
        }
    }
}

/// Minimum and maximum number of spikes per time step.
#[derive(Clone)]
struct Bounds([f64; 2]);

fn bounds(text: &str) -> Result<Bounds, String> {
    let numbers: Option<Vec<f64>> = text.split(',').map(|number| number.parse().ok()).collect();
    match numbers.as_deref() {
        Some(&[min, max]) if 0.0 <= min && min <= max && max.is_finite() => Ok(Bounds([min, max])),
        _ => Err("expected two numbers of spikes per time step, MIN,MAX, with MIN of at most MAX".into()),
    }
}

fn optimiser() -> impl TypedValueParser<Value = OptimiserName> {
    named([("adam", OptimiserName::Adam), ("adamw", OptimiserName::AdamW), ("sgd", OptimiserName::Sgd)])
}

fn schedule() -> impl TypedValueParser<Value = ScheduleName> {
    named([
        ("constant", ScheduleName::Constant),
        ("cosine", ScheduleName::Cosine),
        ("one-cycle", ScheduleName::OneCycle),
        ("step", ScheduleName::Step),
        ("plateau", ScheduleName::Plateau),
    ])
}

/// The score that selects an epoch; `None` for the last epoch.
#[derive(Clone, Copy)]
struct Selection(Option<Select>);

fn select() -> impl TypedValueParser<Value = Selection> {
    let scores = [Select::ValidAccuracy, Select::ValidLoss].map(|select| (select.name(), Selection(Some(select))));
    let [accuracy, loss] = scores;
    named([accuracy, loss, ("none", Selection(None))])
}

/// Returns a parser that accepts the names in `values`. The parser returns the value that belongs to the name.
fn named<T: Copy + Send + Sync + 'static, const N: usize>(
    values: [(&'static str, T); N],
) -> impl TypedValueParser<Value = T> {
    let names = PossibleValuesParser::new(values.map(|(name, _)| PossibleValue::new(name)));
    names.try_map(move |given| {
        let value = values.iter().find(|(name, _)| *name == given).map(|&(_, value)| value);
        value.ok_or("expected one of the names")
    })
}

fn number(text: &str, expected: &str, is_valid: impl Fn(f64) -> bool) -> Result<f64, String> {
    text.parse().ok().filter(|&value: &f64| value.is_finite() && is_valid(value)).ok_or_else(|| expected.into())
}

fn not_negative(text: &str) -> Result<f64, String> {
    number(text, "expected a number of at least 0", |value| value >= 0.0)
}

fn share(text: &str) -> Result<f64, String> {
    number(text, "expected a number from 0 to below 1", |value| (0.0..1.0).contains(&value))
}

fn share_above_0(text: &str) -> Result<f64, String> {
    number(text, "expected a number above 0, of at most 1", |value| value > 0.0 && value <= 1.0)
}
