//! Several ranks that train one run: checks that they can, and that all have the same program, sets and options.

use tonic_base::interrupt;
use tonic_ranks::{Ranks, Traffic};
use tonic_shard::ShardSet;

use crate::engine::EngineChoice;
use crate::error::{BaseFault, Error, Result};
use crate::learner::stops;
use crate::run::options::FitOptions;
use crate::run::sets::Sets;
use crate::run::training::Training;
use crate::run::training_options::word;

/// Returns an error if several ranks cannot train what the options ask for, or differ in their options or sets.
pub(super) fn check_ranks(fit: &FitOptions, sets: &Sets) -> Result<()> {
    let ranks = fit.backend.ranks;
    if ranks.is_solo() {
        return Ok(());
    }
    ranks.check_same(&fit.settings(sets)?)?;
    if fit.backend.engine == EngineChoice::Reference {
        let why = format!("{} ranks train together, which only our own kernels can", ranks.size());
        return Err(Error::unavailable("engine reference", why));
    }
    fit.backend.check_gpus()
}

/// Calls `work` on rank 0, and returns its result there. The other ranks wait for rank 0, and return `None`.
///
/// While `work` waits for something, it must call its argument again and again: each call tells the other ranks that
/// rank 0 is alive. The argument returns an error if any rank was asked to stop. `on_root` then returns this error on
/// all ranks.
pub(super) fn on_root<T>(
    ranks: Ranks,
    work: impl FnOnce(&mut dyn FnMut() -> Result<()>) -> Result<T>,
) -> Result<Option<T>> {
    // Returns on all ranks whether rank 0 still works. `works` says so on rank 0, and is `None` on other ranks.
    let beat = |works: Option<bool>| -> Result<bool> {
        stops(ranks);
        interrupt::check("nothing was changed")?;
        Ok(ranks.from_root(works))
    };
    if ranks.is_root() {
        let done = work(&mut || beat(Some(true)).map(|_| ()))?;
        beat(Some(false))?;
        return Ok(Some(done));
    }
    while beat(None)? {}
    Ok(None)
}

impl FitOptions {
    /// Returns everything that must be the same on all ranks: names and texts.
    fn settings(&self, sets: &Sets) -> Result<Vec<(&'static str, String)>> {
        // Without `..`, so that a new option is not forgotten here.
        let FitOptions {
            train: _,
            valid: _,
            test: _,
            run,
            epochs,
            batch_size,
            drop_last,
            layers,
            frames: _,
            hidden,
            theta,
            gain,
            reestimate_norm,
            min_v_mem,
            lr,
            seed,
            class_weights,
            training,
            backend,
            pad,
            cache: _,
            pin: _,
            existing,
            tensorboard: _,
            open: _,
            frame_seconds: _,
            verbosity: _,
            warn: _,
        } = self;
        let sum = |bytes: &[u8]| blake3::hash(bytes).to_hex()[..16].to_string();
        let program = std::env::current_exe().and_then(std::fs::read);
        let program = program.map_or("unknown".into(), |bytes| sum(&bytes));
        let id = |set: Option<&ShardSet>| set.map(|set| format!("the set {}", set.manifest().set_id));
        let run = std::path::absolute(run).unwrap_or_else(|_| run.clone());
        let options = [
            ("program", Some(format!("{} with the BLAKE3 sum {program}", env!("CARGO_PKG_VERSION")))),
            ("train", id(Some(&sets.train))),
            ("valid", id(sets.valid.as_ref())),
            ("test", id(sets.test.as_ref())),
            ("output", Some(run.display().to_string())),
            ("existing", word(Some(existing))),
            ("epochs", word(*epochs)),
            ("batch_size", word(*batch_size)),
            ("drop_last", word(Some(drop_last))),
            (
                "network",
                layers.as_ref().map(|layers| format!("layers with the BLAKE3 sum {}", sum(layers.text().as_bytes()))),
            ),
            ("hidden", word(hidden.as_ref())),
            ("theta", word(*theta)),
            ("gain", word(*gain)),
            ("reestimate_norm", word(Some(reestimate_norm))),
            ("min_v_mem", word(*min_v_mem)),
            ("lr", word(*lr)),
            ("seed", word(*seed)),
            ("class_weights", word(*class_weights)),
            ("engine", word(Some(backend.engine))),
            ("device", word(Some(backend.arithmetic()))),
            ("matmul_precision", word(Some(backend.precision))),
            ("pad", word(*pad)),
            ("init", training.init_sum()?),
            ("augment", training.augmentation()?.map(|augmentation| format!("{:?}", augmentation.steps))),
            ("patience", word(training.patience)),
        ];
        let given = options.into_iter().chain(training.words());
        Ok(given.map(|(name, value)| (name, value.unwrap_or_else(|| "no value".into()))).collect())
    }
}

impl Training<'_> {
    /// Prints what several ranks have sent each other while this process trained, and how long they waited.
    pub(super) fn say_traffic(&self, batches: u64, seconds: f64) {
        let ranks = self.fit.backend.ranks;
        if ranks.is_solo() {
            return;
        }
        let Traffic { sent, waited } = ranks.traffic();
        let own = [waited, self.learner.exchange_time()].map(|time| time.as_secs_f64() / seconds);
        let [sent, waiting, exchanging] = ranks.fold_array([0.0; 3], |[most, waiting, exchanging]| {
            *most = (sent as f64).max(*most);
            *waiting += own[0];
            *exchanging += own[1];
        });
        self.fit.say(|| {
            let per_batch = tonic_base::human_bytes((sent / batches.max(1) as f64) as u64);
            let [waiting, exchanging] = [waiting, exchanging].map(|sum| sum / ranks.size() as f64 * 100.0);
            let gpus = match self.fit.backend.device {
                Some(_) => format!(", {exchanging:.1}% adding up through host memory"),
                None => String::new(),
            };
            format!("ranks    at most {per_batch} sent per rank and batch, {waiting:.1}% of the time waiting for others{gpus}")
        });
    }
}
