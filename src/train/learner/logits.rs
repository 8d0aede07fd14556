//! The logits of all samples of a set.

use crate::error::{KernelError, Result};
use crate::kernel::loss;

/// Logits and labels of all samples of a set, in the order of the set.
#[derive(Clone, Debug, PartialEq)]
pub struct Logits {
    /// Number of classes.
    pub classes: usize,
    /// Logits of all samples, (samples, classes).
    pub values: Vec<f32>,
    /// Class of each sample, (samples,), or [`NO_LABEL`](tonic_shard::NO_LABEL).
    pub labels: Vec<u32>,
}

impl Logits {
    pub(super) fn new(classes: usize) -> Logits {
        Logits { classes, values: Vec::new(), labels: Vec::new() }
    }

    /// Adds the logits of a batch, (batch, classes). Returns an error if a logit is NaN or infinite.
    pub(super) fn add(&mut self, batch: &[f32]) -> Result<()> {
        if batch.iter().any(|logit| !logit.is_finite()) {
            return Err(KernelError::NonFiniteLoss { loss: f64::NAN }.into());
        }
        self.values.extend_from_slice(batch);
        Ok(())
    }

    /// Iterates over the samples: the logits, (classes,), the label, and the class with the largest logit.
    pub fn samples(&self) -> impl Iterator<Item = (&[f32], u32, usize)> {
        let rows = self.values.chunks_exact(self.classes);
        rows.zip(&self.labels).map(|(logits, &label)| (logits, label, loss::predicted(logits)))
    }
}
