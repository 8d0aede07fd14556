//! The command `tonic-train fit` and its arguments.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use tonic_base::{BaseFault, Error as BaseError, Verbosity, printable, printable_json};
use tonic_loader::CacheChoice;
use tonic_ranks::Ranks;
use tonic_sets::frame_seconds;
use tonic_shard::Existing;
use tonic_train::engine::EngineChoice;
use tonic_train::learner::{Backend, ClassWeights, Pad};
use tonic_train::network::HiddenSizes;
use tonic_train::run::{Config, FitOptions, Fitted, NetworkFile, RunOption, SetPaths, fit};
use tonic_train::{Error, MatmulPrecision, Result};

use crate::advice;
#[cfg(feature = "remote")]
use crate::cache_args::CacheArgs;
use crate::device_args::DeviceArgs;
use crate::existing_args::ExistingArgs;
use crate::lock_args::{LockArgs, open_locked};
use crate::options_file::with_files;
use crate::output_args::OutputArgs;
use crate::ranks_args::RanksArgs;
use crate::training_args::TrainingArgs;
use crate::values::{batch_size, class_weights, engine, finite, hidden, pad, positive, preset};

#[derive(Args)]
pub(crate) struct FitArgs {
    /// Training set. A resumed run can leave it out: it then continues with its own training set and, unless --valid or
    /// --test names another one, with its own validation and test sets
    #[arg(long, value_name = "DIR", required_unless_present_any = ["options", "resume"])]
    train: Option<PathBuf>,
    /// Validation set, evaluated after every epoch
    #[arg(long, value_name = "DIR")]
    valid: Option<PathBuf>,
    /// Test set, evaluated once, after the last epoch
    #[arg(long, value_name = "DIR")]
    test: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) lock: LockArgs,
    /// Run folder: settings, metrics, checkpoint and networks are written there
    #[arg(long, short, value_name = "RUN", required_unless_present = "options")]
    output: Option<PathBuf>,
    /// TOML file with options of this command: keys are names of flags, such as epochs = 24, hidden = [256, 128] or
    /// drop-last = true. Flags on the command line win over the file. Paths are relative to the working directory, as
    /// on the command line
    #[arg(long, value_name = "FILE.toml")]
    options: Option<PathBuf>,
    /// Number of epochs. It can be changed when a run is resumed [default: 20, or that of the resumed run]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    epochs: Option<u64>,
    /// Number of samples per batch [default: 128]
    #[arg(long, value_name = "N", value_parser = batch_size)]
    batch_size: Option<usize>,
    /// Leave out the last batch of an epoch if it is smaller than the others
    #[arg(long)]
    drop_last: bool,
    /// Network file: a list of layers, as `tonic-train presets NAME` prints it, and options of training in a table
    /// [training]. Flags on the command line win over that table
    #[arg(long, value_name = "FILE.toml")]
    network: Option<PathBuf>,
    /// Network with a name, and its options of training: see `tonic-train presets`
    #[arg(long, value_name = "NAME", conflicts_with = "network", value_parser = preset())]
    preset: Option<String>,
    /// Number of neurons in every hidden layer, or a list with the number for each layer: 256,128 makes two layers, and
    /// 256, (with a comma) makes one. One number keeps the number of layers of --network or --preset, and makes three
    /// layers without them. A list needs hidden layers that are alike [default: 128]
    #[arg(long, value_name = "N[,N...]", value_parser = hidden)]
    hidden: Option<HiddenSizes>,
    /// Spike threshold. A lower one makes silent neurons spike [default: 1]
    #[arg(long, value_name = "V", value_parser = positive::<f32>)]
    theta: Option<f32>,
    /// Factor for the initial weights of the hidden layers. A larger one makes silent neurons spike. It is refused where
    /// norms undo it [default: 1]
    #[arg(long, value_name = "G", value_parser = positive::<f64>)]
    gain: Option<f64>,
    /// Lower bound of the membrane potential [default: none]
    #[arg(long, value_name = "V", allow_negative_numbers = true, value_parser = finite)]
    min_v_mem: Option<f32>,
    /// Learning rate, which --schedule changes. It can be changed when a run is resumed [default: 0.001, or that of the
    /// resumed run]
    #[arg(long, value_parser = positive::<f64>)]
    lr: Option<f64>,
    /// Seed of the initial weights and of the order of samples [default: 0]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Weights of the classes in the training loss. With balanced, all classes count the same: the weight is N /
    /// (classes * samples of the class) for N samples in all, as in scikit-learn [default: none]
    #[arg(long, value_name = "W", value_parser = class_weights())]
    class_weights: Option<ClassWeights>,
    /// After the last epoch, compute the running statistics of norms again: from the whole training set, without
    /// dropout. On small sets, the old statistics lag behind the weights. The new networks are evaluated on the
    /// validation set
    #[arg(long)]
    reestimate_norm: bool,
    #[command(flatten)]
    training: TrainingArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// Refuse to train if a second run on the same device could give other bits. Only --engine reference on a GPU
    /// could; our own kernels always give the same bits
    #[arg(long)]
    deterministic: bool,
    /// Where samples are kept between epochs: device (memory of the GPU), host (memory), stream (nowhere: the shards
    /// are read in every epoch), or auto: device if the set fits into half of the GPU's free memory and one rank trains,
    /// else stream if --remote-cache keeps the set on disk, else host if it fits into half of the free memory, else stream
    #[arg(long, default_value = "auto")]
    cache: CacheChoice,
    /// Lock the pages of streamed shards in memory. If the limit on locked memory (ulimit -l) is too low, training is
    /// refused
    #[arg(long)]
    pin: bool,
    /// Also write the metrics of each epoch to an event file in the run folder, which TensorBoard reads: tensorboard
    /// --logdir RUN. A resumed run with this flag writes its earlier epochs too. A resumed run that has such a file
    /// continues this file, also without the flag
    #[arg(long)]
    tensorboard: bool,
    #[command(flatten)]
    ranks: RanksArgs,
    /// What computes a training step: fused (our kernels), or reference (libtorch's autograd: slow, for comparison)
    /// [default: fused]
    #[arg(long, value_parser = engine())]
    engine: Option<EngineChoice>,
    /// Padding of samples: fixed (all to one number of time steps) or batch (to the longest sample of the batch, as
    /// Tonic's PadTensors) [default: fixed]
    #[arg(long, value_parser = pad())]
    pad: Option<Pad>,
    #[cfg(feature = "remote")]
    #[command(flatten)]
    remote_cache: CacheArgs,
    #[cfg(not(feature = "remote"))]
    #[arg(long, hide = true)]
    remote_cache: Option<PathBuf>,
    #[cfg(not(feature = "remote"))]
    #[arg(long, hide = true)]
    remote_cache_limit: Option<String>,
    #[command(flatten)]
    existing: ExistingArgs,
    #[command(flatten)]
    output_args: OutputArgs,
}

impl FitArgs {
    /// Converts the arguments to the options of a run in the folder `run`. Fails if no training set is given.
    fn into_options(self, run: PathBuf, backend: Backend) -> Result<FitOptions> {
        let (layers, frames) = self.network_file()?.map(|file| (file.layers, file.frames)).unzip();
        self.training.check_init()?;
        Ok(FitOptions {
            layers,
            frames: frames.flatten(),
            reestimate_norm: self.reestimate_norm,
            train: self.train.ok_or_else(|| missing("train", "the training set"))?,
            valid: self.valid,
            test: self.test,
            run,
            epochs: self.epochs,
            batch_size: self.batch_size,
            drop_last: self.drop_last,
            hidden: self.hidden,
            theta: self.theta,
            gain: self.gain,
            min_v_mem: self.min_v_mem,
            lr: self.lr,
            seed: self.seed,
            class_weights: self.class_weights,
            training: self.training.into(),
            backend,
            pad: self.pad,
            cache: self.cache,
            pin: self.pin,
            existing: self.existing.existing(),
            tensorboard: self.tensorboard,
            open: open_locked,
            frame_seconds,
            verbosity: self.output_args.verbosity(),
            warn: if self.output_args.json { |_| () } else { |warning| advice::show(warning, advice::for_training) },
        })
    }

    /// Reads the network file or the preset of the arguments.
    fn network_file(&self) -> Result<Option<NetworkFile>> {
        NetworkFile::chosen(self.network.as_deref(), self.preset.as_deref())
    }

    /// Returns the path of the network file or the name of the preset, and the options of training in it. `None` for a
    /// resumed run, which has its own options. All ranks call this function together.
    fn training(&self, ranks: Ranks) -> Result<Option<(PathBuf, Vec<RunOption>)>> {
        let resumes = || self.output.as_ref().is_some_and(|output| self.resumes(output));
        let resumes = ranks.from_root(ranks.is_root().then(resumes));
        let file = self.network_file()?.filter(|_| !resumes);
        let name = self.network.clone().or(self.preset.as_ref().map(PathBuf::from));
        Ok(name.zip(file.map(|file| file.training)))
    }

    /// If the arguments name a network file or a preset with options, says that a resumed run doesn't use them.
    fn say_unused(&self) -> Result<()> {
        if self.output_args.verbosity() != Verbosity::Normal {
            return Ok(());
        }
        let Some(file) = self.network_file()?.filter(|file| !file.training.is_empty()) else { return Ok(()) };
        let names: Vec<String> = file.training.iter().map(RunOption::key).collect();
        let place = self.network.as_ref().map_or(self.preset.clone(), |path| Some(path.display().to_string()));
        let (names, place) = (names.join(", "), place.unwrap_or_default());
        let words = format!("options  the resumed run keeps its own {names}: [training] of {place} isn't used");
        eprintln!("{}", printable(&words));
        Ok(())
    }

    fn resumes(&self, output: &Path) -> bool {
        let existing = self.existing.existing();
        existing == Existing::Resume || existing == Existing::Auto && Config::is_in(output)
    }

    /// Returns the configuration of the run to resume, and its sets if the arguments name none.
    fn stored(&self, output: &Path) -> Result<(Option<Config>, Option<SetPaths>)> {
        let resumes = self.resumes(output);
        let config = resumes.then(|| Config::read(output)).transpose()?;
        let paths = (resumes && self.train.is_none()).then(|| SetPaths::read(output)).transpose()?;
        Ok((config, paths))
    }

    /// Converts the arguments to options that are checked but not used for training. Opens no GPU. Makes
    /// [`open_locked`] use the lock file of these arguments.
    pub(crate) fn into_planned(self) -> anyhow::Result<FitOptions> {
        self.lock.choose()?;
        let backend = Backend::cpu(self.engine.unwrap_or_default(), MatmulPrecision::default());
        Ok(self.into_options(PathBuf::new(), backend)?)
    }
}

fn missing(what: &str, meaning: &str) -> BaseError {
    BaseError::usage(what, format!("{meaning}, from the flag or from the file of --options"), "none")
}

pub(crate) fn run(args: FitArgs) -> anyhow::Result<()> {
    let mut args = with_files(args.options.as_deref(), |args: &FitArgs| Ok(args.training(args.ranks.join()?)?))?;
    let output = args.output.clone().ok_or_else(|| missing("output", "the run folder"))?;
    let ranks = args.ranks.join()?;
    args.output_args.use_threads()?;
    #[cfg(feature = "remote")]
    args.remote_cache.choose();
    #[cfg(not(feature = "remote"))]
    if args.remote_cache.is_some() || args.remote_cache_limit.is_some() {
        return Err(crate::set_place::without_remote("--remote-cache").into());
    }
    args.lock.choose()?;
    let (run, paths) = ranks.from_root(ranks.is_root().then(|| args.stored(&output)).transpose()?);
    if run.is_some() && ranks.is_root() {
        args.say_unused()?;
    }
    if let Some(SetPaths { train, valid, test }) = paths {
        (args.train, args.valid, args.test) = (Some(train), args.valid.or(valid), args.test.or(test));
    }
    let engine = args.engine.or(run.as_ref().map(|run| run.engine)).unwrap_or_default();
    let backend = args.device.choose_resumed(engine, run.map(|run| run.matmul_precision).unwrap_or_default(), ranks)?;
    if args.deterministic && backend.engine == EngineChoice::Reference && backend.device.is_some() {
        let why = "libtorch's own kernels add in an order that may change; use --device cpu or --engine fused";
        return Err(Error::unavailable("deterministic", why).into());
    }
    let json = args.output_args.json;
    let fitted = fit(&args.into_options(output, backend)?)?;
    if !ranks.is_root() {
        return Ok(());
    }
    let mut out = std::io::stdout().lock();
    if json {
        let Fitted { epochs, reestimated, test, seconds, warnings } = fitted;
        let mut report = serde_json::json!({"epochs": epochs, "test": test, "seconds": seconds});
        if let Some(reestimated) = reestimated {
            report["reestimated"] = serde_json::json!(reestimated);
        }
        if !warnings.is_empty() {
            report["warnings"] = serde_json::json!(warnings);
        }
        writeln!(out, "{}", printable_json(&report.to_string()))?;
    } else if let Some(test) = &fitted.test {
        write!(out, "{}", test.text())?;
    }
    Ok(())
}
