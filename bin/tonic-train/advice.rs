//! What to type next after an error or a warning of training.

use std::io::ErrorKind;

use tonic_base::{Error as BaseError, printable};
use tonic_shard::Error as ShardError;
use tonic_train::learner::Warning;
use tonic_train::{Divergence, Error, KernelError};

use crate::quoted::quoted_path;

/// Returns what to type next after an error of training. `None` if there is no advice.
pub(crate) fn advice(error: &Error) -> Option<String> {
    match error {
        Error::DeviceMemory { .. } => Some("a smaller --batch-size or --hidden, or --cache host, takes less".into()),
        Error::Diverged { cause: Divergence::LearningRate(lr), .. } => {
            Some(format!("continue from it with --resume and an --lr below {lr:?}"))
        }
        Error::Diverged { cause: Divergence::InitialWeights { loss, gain, theta }, .. } => Some(format!(
            "the initial weights give {loss:.4e} already: start again with --overwrite and a --gain below {gain:?}{}",
            theta.map_or(String::new(), |theta| format!(" or a --theta above {theta:?}"))
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
        Error::Base(BaseError::Unavailable { what, why }) => missing(what, why).map(String::from),
        Error::Kernel(KernelError::NonFiniteLoss { .. } | KernelError::HugeLoss { .. }) => {
            Some("train again with a smaller --lr or --gain".into())
        }
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
pub(crate) fn for_training(warning: &Warning) -> Option<&'static str> {
    match warning {
        Warning::NoEvents { .. } => Some("tonic-prep info SET tells where they were lost: mend that and convert again"),
        Warning::OneClass { .. } => Some("use a set whose samples have at least two classes"),
        Warning::MissingClasses { .. } => {
            Some("they cannot be learned; split the recordings so that each part has them")
        }
        Warning::Imbalanced { weighted: false, .. } => Some("--class-weights balanced lets all classes count the same"),
        Warning::SilentLayers { .. } => Some(
            "start a new run with a --gain above 1 or a --theta below 1, or convert with a longer time window, so that \
             frames have more events",
        ),
        Warning::SaturatedLayers { .. } => Some(
            "start a new run with a --gain below 1 or a --theta above 1, or convert with a shorter time window, so \
             that frames have fewer events",
        ),
        Warning::AtChance { .. } => Some(
            "try another --lr, more --epochs, a --gain or --theta with which neurons are neither silent nor saturated, \
             or another recipe",
        ),
        _ => None,
    }
}

/// Returns advice on a warning of `eval`. `None` if there is no advice.
pub(crate) fn for_evaluation(warning: &Warning) -> Option<&'static str> {
    match warning {
        Warning::OneClass { .. } => Some("use a set whose samples have at least two classes"),
        Warning::Imbalanced { .. } => Some("macro averages let all classes count the same"),
        _ => None,
    }
}

/// Prints a warning on stderr, followed by the advice on it.
pub(crate) fn show(warning: &Warning, advice: fn(&Warning) -> Option<&'static str>) {
    let advice = advice(warning).map_or(String::new(), |advice| format!("; {advice}"));
    eprintln!("warning  {}{advice}", printable(&warning.to_string()));
}

/// Returns how to get a missing library or feature. `what` and `why` are from [`BaseError::Unavailable`].
fn missing(what: &str, why: &str) -> Option<&'static str> {
    if what.starts_with("NVRTC") && why.starts_with("no libnvrtc") {
        Some("scripts/setup --nvrtc brings it")
    } else if what.starts_with("engine reference") && why.contains("built without libtorch") {
        Some("scripts/setup --libtorch && cargo build --release --features libtorch")
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
