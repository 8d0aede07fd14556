//! Evaluation: loss, accuracy, and which classes are taken for which.

use std::fmt::Write;

use serde::Serialize;

use super::config::Pad;
use super::kernel::KernelError;
use super::kernel::loss::{cross_entropy, predicted};
use super::loader::{EpochOrder, Loader};
use super::metrics::{RunningScore, Score};
use super::snn::device::Outcome;
use super::snn::{Engine, Network};
use crate::error::{Error, Result};
use crate::interrupt;
use crate::plot::{Picture, confusion};
use crate::progress::Progress;
use crate::shard::ShardSet;

/// Samples that are evaluated together.
const BATCH: usize = 128;

/// How a model does on a set.
#[derive(Clone, Debug, Serialize)]
pub struct Evaluation {
    /// Mean loss and accuracy.
    #[serde(flatten)]
    pub score: Score,
    /// How many samples.
    pub samples: u64,
    /// Each class in turn.
    pub classes: Vec<ClassScore>,
    /// Samples of true class (row) and predicted class (column).
    pub confusion: Vec<Vec<u64>>,
}

/// How a model does on one class.
#[derive(Clone, Debug, Serialize)]
pub struct ClassScore {
    /// Its name.
    pub name: String,
    /// Its samples.
    pub samples: u64,
    /// Share of its samples that were found.
    pub recall: f64,
    /// Share of those taken for it that are it.
    pub precision: f64,
}

/// How samples are fed to the network.
#[derive(Clone, Copy, Debug)]
pub struct Feed {
    /// What they are padded to.
    pub pad: Pad,
    /// The fixed number of steps.
    pub steps: usize,
}

impl Feed {
    /// The steps that are asked for of every sample; none for those of the batch's longest.
    pub fn asked(self) -> Option<usize> {
        match self.pad {
            Pad::Fixed => Some(self.steps),
            Pad::Batch => None,
        }
    }

    /// The steps of a batch whose longest sample has `longest` frames.
    pub fn steps(self, longest: usize) -> usize {
        self.asked().unwrap_or(longest)
    }
}

/// Refuses a set that is not labelled throughout, or that has no sample.
///
/// # Errors
/// [`Error::Usage`].
pub fn check_labelled(set: &ShardSet) -> Result<()> {
    let labelled: u64 = set.manifest().totals.class_samples.iter().sum();
    if !set.is_empty() && labelled == set.len() {
        return Ok(());
    }
    let got = format!("{labelled} labels, {} samples", set.len());
    Err(Error::usage(format!("set {}", set.dir().display()), "samples, each with a label", got))
}

/// Ends an evaluation that is interrupted.
///
/// # Errors
/// [`Error::Interrupted`].
pub fn go_on() -> Result<()> {
    if interrupt::requested() {
        return Err(Error::Interrupted { saved: "the evaluation is not complete".into() });
    }
    Ok(())
}

/// Evaluates a network on all samples of a set, in order.
///
/// # Errors
/// [`Error::Usage`] for a set without labels, [`Error::Corrupt`], [`Error::Kernel`], [`Error::Interrupted`].
pub fn evaluate(
    engine: &mut Engine,
    network: &Network,
    loader: &Loader,
    feed: Feed,
    progress: &Progress,
) -> Result<Evaluation> {
    check_labelled(loader.set())?;
    let classes = network.shape().classes;
    let mut tested = Vec::with_capacity(loader.set().len() as usize);
    let mut unused = vec![0.0; classes];
    loader.epoch(EpochOrder::Sequential, BATCH, 0, |batch| {
        go_on()?;
        engine.evaluate(network, &batch.samples(), &batch.labels, feed.steps(batch.longest()))?;
        tested.extend(engine.logits().chunks_exact(classes).zip(&batch.labels).map(|(logits, &label)| Outcome {
            loss: cross_entropy(logits, label as usize, 1.0, &mut unused),
            predicted: predicted(logits) as u32,
            label,
        }));
        progress.add(batch.len() as u64);
        Ok(true)
    })?;
    Evaluation::of(loader.set(), tested)
}

impl Evaluation {
    /// Of all samples of a set, in order.
    ///
    /// # Errors
    /// [`Error::Kernel`] for a loss that is not finite.
    pub fn of(set: &ShardSet, tested: impl IntoIterator<Item = Outcome>) -> Result<Evaluation> {
        let names = &set.manifest().description.classes;
        let mut running = RunningScore::default();
        let mut confusion = vec![vec![0_u64; names.len()]; names.len()];
        for outcome in tested {
            let Outcome { loss, predicted, label } = outcome;
            if !loss.is_finite() {
                return Err(KernelError::NonFiniteLoss { loss }.into());
            }
            running.add(loss, usize::from(outcome.is_correct()), 1);
            confusion[label as usize][predicted as usize] += 1;
        }
        let share = |part: u64, of: u64| if of == 0 { 0.0 } else { part as f64 / of as f64 };
        let class = |(i, name): (usize, &String)| {
            let (found, samples) = (confusion[i][i], confusion[i].iter().sum());
            let taken = confusion.iter().map(|row| row[i]).sum();
            ClassScore { name: name.clone(), samples, recall: share(found, samples), precision: share(found, taken) }
        };
        let classes = names.iter().enumerate().map(class).collect();
        Ok(Evaluation { score: running.score(), samples: running.samples, classes, confusion })
    }

    /// A table for people.
    pub fn text(&self) -> String {
        let width = self.classes.iter().map(|c| c.name.chars().count()).max().unwrap_or(0).max(5);
        let mut out = String::new();
        let Score { loss, accuracy } = self.score;
        let _ = writeln!(out, "accuracy {:.2}%  loss {loss:.4}  ({} samples)\n", accuracy * 100.0, self.samples);
        let _ = writeln!(out, "{:<width$}  samples   recall  precision", "class");
        for class in &self.classes {
            let (recall, precision) = (class.recall * 100.0, class.precision * 100.0);
            let _ = writeln!(out, "{:<width$}  {:>7}  {recall:>6.1}%    {precision:>6.1}%", class.name, class.samples);
        }
        out
    }

    /// For machines: one JSON object, and the end of its line.
    ///
    /// # Panics
    /// Never: an evaluation is JSON.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("an evaluation is JSON") + "\n"
    }

    /// The confusion matrix.
    ///
    /// # Errors
    /// [`Error::Plot`].
    pub fn picture(&self) -> Result<Picture> {
        let names: Vec<String> = self.classes.iter().map(|c| c.name.clone()).collect();
        let title = format!("Confusion: {:.1}% of {} right", self.score.accuracy * 100.0, self.samples);
        confusion(&title, &names, &self.confusion)
    }
}
