//! Augmentation: random changes of the samples of a shuffled epoch.
//!
//! ```text
//! step     the steps: names, parameters, and what they do
//! events   the events of one sample
//! draws    random numbers from counters
//! ```

mod draws;
mod events;
mod step;

use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tonic_base::{BaseFault, Error as BaseError};
use tonic_shard::{FrameShape, Result, SparseFrames, Width, Widths};

use crate::augment::draws::Draws;
use crate::augment::events::Events;
use crate::batch::Batch;

pub use step::{Amount, Step};

/// Random changes of the samples of an epoch: a list of steps that are applied in order.
///
/// ```
/// use tonic_loader::Augmentation;
///
/// let text = "[[transform]]\nname = \"DropEvent\"\np = [0.0, 0.2]\n[[transform]]\nname = \"TimeJitter\"\nstd = 1.5\n";
/// let augmentation = Augmentation::parse(text).unwrap();
/// assert_eq!(augmentation.steps.len(), 2);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Augmentation {
    /// The steps, in order.
    pub steps: Vec<Step>,
}

impl Augmentation {
    /// Reads the file of an augmentation: TOML with a table `[[transform]]` for each step.
    ///
    /// # Errors
    /// [`Io`](BaseError::Io); [`Usage`](BaseError::Usage) with the file and the step.
    pub fn read(path: &Path) -> Result<Augmentation, BaseError> {
        let text = std::fs::read_to_string(path).map_err(BaseError::io(path, "read the augmentation"))?;
        Augmentation::parse(&text).map_err(|error| match error {
            BaseError::Usage { what, expected, got } => {
                BaseError::Usage { what: format!("{}: {what}", path.display()), expected, got }
            }
            other => other,
        })
    }

    /// Reads an augmentation from its text.
    ///
    /// # Errors
    /// [`Usage`](BaseError::Usage) with the step.
    pub fn parse(text: &str) -> Result<Augmentation, BaseError> {
        let mut table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error.span().map_or(0, |span| text[..span.start.min(text.len())].matches('\n').count()) + 1;
            BaseError::usage(format!("line {line}"), "TOML", error.message())
        })?;
        let steps = match table.remove("transform") {
            Some(toml::Value::Array(steps)) => steps,
            other => {
                let got = other.map_or("none", |value| value.type_str());
                return Err(BaseError::usage("transform", "steps, each as [[transform]] with a name", got));
            }
        };
        if let Some(key) = table.keys().next() {
            return Err(BaseError::usage(key, "[[transform]] and nothing else", "another key"));
        }
        let step = |(number, value): (usize, toml::Value)| {
            value.try_into().map_err(|error: toml::de::Error| {
                let place = format!("transform {number}");
                BaseError::usage(place, "a random transform with its parameters", error.message())
            })
        };
        Ok(Augmentation { steps: (1..).zip(steps).map(step).collect::<Result<_, _>>()? })
    }

    /// Checks that every step can change frames of the shape `shape`, and that the frames hold counts, not float32
    /// values.
    ///
    /// # Errors
    /// [`Usage`](BaseError::Usage) with the step.
    pub fn check(&self, shape: FrameShape, widths: Widths) -> Result<(), BaseError> {
        if widths.counts == Width::F32 && !self.steps.is_empty() {
            return Err(BaseError::usage(
                "augment",
                "a set of frames with counts",
                "one with values, such as surfaces",
            ));
        }
        for (number, step) in (1..).zip(&self.steps) {
            step.check(shape)
                .map_err(|(expected, got)| BaseError::usage(format!("augment: transform {number}"), expected, got))?;
        }
        Ok(())
    }

    /// Replaces the content of `out` with changed copies of the samples of `stored`. `shape` is the shape of their
    /// frames. The random numbers depend on the key of the sample and on the index of the step. The changed counts are
    /// of type u32.
    pub fn apply(&self, stored: &Batch, shape: FrameShape, out: &mut Batch) {
        let samples = stored.samples();
        let changed: Vec<SparseFrames> = samples
            .par_iter()
            .zip(&stored.keys)
            .map(|(sample, &key)| {
                let mut events = Events::of(*sample, shape);
                for (number, step) in self.steps.iter().enumerate() {
                    step.apply(&mut events, &mut Draws::new(key, number));
                }
                let mut frames = SparseFrames::new(Widths { counts: Width::U32, ..stored.frames.widths() });
                events.append_to(&mut frames);
                frames
            })
            .collect();
        out.frames = SparseFrames::new(Widths { counts: Width::U32, ..stored.frames.widths() });
        changed.iter().for_each(|frames| out.frames.push_sample(frames.sample(0)));
        out.labels.clone_from(&stored.labels);
        out.keys.clone_from(&stored.keys);
    }
}

#[cfg(test)]
mod tests;
