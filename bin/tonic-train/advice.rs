//! What to type next after an error or a warning of training.

use std::io::ErrorKind;

use tonic_base::{Error as BaseError, printable, say};
use tonic_shard::Error as ShardError;
use tonic_train::learner::{Knobs, Warning};
use tonic_train::{Divergence, Error, KernelError};

use crate::quoted::quoted_path;

/// Returns what to type next after an error of training. `None` if there is no advice.
pub(crate) fn advice(error: &Error) -> Option<String> {
    match error {
        Error::DeviceMemory { .. } => Some("a smaller --batch-size or --hidden, or --cache host, takes less".into()),
        Error::Diverged { cause: Divergence::LearningRate { lr, of_batch }, .. } => {
            let scheduled = match lr == of_batch {
                true => String::new(),
                false => format!(", of which the schedule makes {of_batch:.4e} at this batch"),
            };
            Some(format!("continue from it with --resume and an --lr below {lr:?}{scheduled}"))
        }
        Error::Diverged { cause: Divergence::InitialWeights { loss, gain, theta }, .. } => {
            let gain = gain.map(|gain| format!("a --gain below {gain:?}"));
            let theta = theta.map(|theta| format!("a --theta above {theta:?}"));
            let changes = [gain, theta].into_iter().flatten().collect::<Vec<_>>().join(" or ");
            let changes = if changes.is_empty() { "readout = \"leaky\" in the network file".into() } else { changes };
            Some(format!("the initial weights give {loss:.4e} already: start again with --overwrite and {changes}"))
        }
        Error::Diverged { cause: Divergence::Unstable { layer }, .. } => Some(format!(
            "start again with --overwrite and a = [0.0, 1.0] in the neurons of hidden layer {layer} in the network file: \
             with a negative a, potentials can grow without bound"
        )),
        Error::Unlabelled { samples: 0, .. } => Some("name a set that has samples".into()),
        Error::Unlabelled { labels: 0, .. } => Some(
            "convert the recordings again, with --labels TABLE.csv or from a folder that has a sub-folder for each \
             class"
                .into(),
        ),
        Error::Unlabelled { path, .. } => {
            Some(format!("tonic-prep subset NEW {} --classes NAME,... takes those with labels", quoted_path(path)))
        }
        Error::Base(BaseError::Io { path, source, .. })
            if source.kind() == ErrorKind::NotFound && path.ends_with("config.toml") =>
        {
            Some("name the run folder that tonic-train fit wrote; without --resume, fit starts a new one".into())
        }
        Error::Base(BaseError::Io { path, source, .. })
            if source.kind() == ErrorKind::NotFound && path.ends_with("best.safetensors") =>
        {
            Some("without a validation set, a run has no best epoch: leave --best out".into())
        }
        Error::Base(BaseError::Unavailable { what, why }) => missing(what, why).map(String::from),
        Error::Kernel(
            KernelError::NonFiniteLoss { .. } | KernelError::HugeLoss { .. } | KernelError::NonFiniteGradient { .. },
        ) => Some("train again with a smaller --lr".into()),
        Error::Kernel(KernelError::NonFinitePotential { .. }) => Some(
            "train again with a smaller --lr, or with a = [0.0, 1.0] in the network file if its neurons have a".into(),
        ),
        Error::Kernel(_) => Some("tonic-prep verify SET tells whether the set is whole".into()),
        Error::Base(BaseError::Corrupt { path, .. }) if path.ends_with("sums.json") => {
            Some("put it back from a copy, or remove it to continue without a check of the run's files".into())
        }
        Error::Base(BaseError::Corrupt { path, .. }) if path.ends_with("model.safetensors") => Some(
            "put it back from a copy; tonic-train fit --resume writes it again from the checkpoint of its \
                  epoch"
                .into(),
        ),
        Error::Base(BaseError::Corrupt { path, .. })
            if ["best.safetensors", "checkpoint.safetensors", "metrics.jsonl", "config.toml"]
                .iter()
                .any(|name| path.ends_with(name)) =>
        {
            Some("put it back from a copy, or train the run again with --overwrite in place of --resume".into())
        }
        Error::Model { .. } => {
            Some("name the run folder that tonic-train fit wrote, or put the file back from a copy".into())
        }
        Error::Cuda { .. } => Some("tonic-train check tests the GPU; --device cpu does without".into()),
        _ => None,
    }
}

/// Returns what to type next if an option contradicts the settings of the resumed run. `None` for other errors.
pub(crate) fn contradiction(error: &Error, flag: impl Fn(&str) -> String) -> Option<String> {
    let Error::Shard(ShardError::Mismatch { field, .. }) = error else { return None };
    let flag = flag(field);
    if matches!(flag.as_str(), "--valid" | "--test") {
        return Some(format!(
            "continue with {flag} DIR, the set that the run began with (tonic-prep info DIR shows its id), or name \
             another --output to start a new run"
        ));
    }
    flag.starts_with("--")
        .then(|| format!("leave {flag} out to continue the run as it is, or name another --output to start a new one"))
}

/// Returns advice on a warning of `fit`. `None` if there is no advice.
pub(crate) fn for_training(warning: &Warning) -> Option<String> {
    Some(match warning {
        Warning::NoEvents { .. } => {
            "tonic-prep info SET tells where they were lost: mend that and convert again".into()
        }
        Warning::OneClass { .. } => "use a set whose samples have at least two classes".into(),
        Warning::MissingClasses { .. } => {
            "they cannot be learned; split the recordings so that each part has them".into()
        }
        Warning::Imbalanced { weighted: false, .. } => {
            "--class-weights balanced lets all classes count the same".into()
        }
        // In networks with norms, a factor for weights or inputs has no effect, because the norm undoes it. The scale
        // of a norm is learned.
        Warning::SilentLayers { knobs: Knobs { gain: false, .. }, .. } => {
            "start a new run with a larger --lr, or with --spike-rate 0.01,1 and surrogate = \"arctan\" in the network \
             file, with which silent neurons learn to spike"
                .into()
        }
        Warning::SaturatedLayers { knobs: Knobs { gain: false, .. }, .. } => {
            "start a new run with a smaller --lr, or with --spike-rate 0,0.5".into()
        }
        Warning::SilentLayers { knobs, .. } => retuned(*knobs, ["above", "below", "longer", "more"]),
        Warning::SaturatedLayers { knobs, .. } => retuned(*knobs, ["below", "above", "shorter", "fewer"]),
        Warning::AtChance { knobs, .. } => {
            let spikes = match knobs {
                Knobs { gain: true, theta: true } => "a --gain or --theta",
                Knobs { gain: true, theta: false } => "a --gain",
                Knobs { gain: false, .. } => "--spike-rate bounds",
            };
            format!(
                "try another --lr, more --epochs, {spikes} with which neurons are neither silent nor saturated, or \
                 another recipe"
            )
        }
        _ => return None,
    })
}

/// Returns what changes how often neurons spike.
fn retuned(knobs: Knobs, [gain, theta, window, events]: [&str; 4]) -> String {
    let theta = if knobs.theta { format!(" or a --theta {theta} 1") } else { String::new() };
    format!(
        "start a new run with a --gain {gain} 1{theta}, or convert with a {window} time window, so that frames have \
         {events} events"
    )
}

/// Returns advice on a warning of `eval`. `None` if there is no advice.
pub(crate) fn for_evaluation(warning: &Warning) -> Option<String> {
    match warning {
        Warning::OneClass { .. } => Some("use a set whose samples have at least two classes".into()),
        Warning::Imbalanced { .. } => Some("macro averages let all classes count the same".into()),
        _ => None,
    }
}

/// Prints a warning on stderr, followed by the advice on it.
pub(crate) fn show(warning: &Warning, advice: fn(&Warning) -> Option<String>) {
    let advice = advice(warning).map_or(String::new(), |advice| format!("; {advice}"));
    say(&format!("warning  {}{advice}", printable(&warning.to_string())));
}

/// Returns how to get a missing library or feature. `what` and `why` are from [`BaseError::Unavailable`].
fn missing(what: &str, why: &str) -> Option<&'static str> {
    if what.starts_with("NVRTC") && why.starts_with("no libnvrtc") {
        Some("scripts/setup --nvrtc brings it")
    } else if what.starts_with("engine reference") && why.contains("built without libtorch") {
        Some("scripts/setup --libtorch && cargo build --release --features libtorch")
    } else if what == "NIR" {
        Some("cargo build --release --features train,nir")
    } else if what.starts_with("libtorch") && why.ends_with("no libtorch_cuda.so") {
        Some("scripts/setup --cuda brings it; --libtorch DIR names a libtorch that has it")
    } else if why.starts_with("the kernels of a GPU ") {
        Some("--device cpu trains with it")
    } else if what.starts_with("libtorch") {
        Some("--libtorch DIR names a libtorch that has it")
    } else {
        None
    }
}
