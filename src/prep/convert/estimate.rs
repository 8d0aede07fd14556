//! Estimates the size and the duration of a conversion. Checks that the disk has room for the set.

use std::time::Instant;

use serde_json::{Value, json};
use tonic_base::{bytes_in, check_space, free_space, human_bytes, printable};
use tonic_shard::{Ledger, Width};

use crate::convert::chunks::ChunkFailure;
use crate::convert::job::Job;
use crate::convert::loss::Losses;
use crate::error::Result;
use crate::source::Layout;

/// Maximum number of samples that are converted at each of `ESTIMATE_PLACES` places in the set.
const ESTIMATE_SAMPLES: u64 = 16;
const ESTIMATE_PLACES: u64 = 4;

/// Estimated size and duration of a conversion, extrapolated from a few samples.
#[derive(Clone, Debug)]
pub struct Estimate {
    /// Number of samples that the conversion makes.
    pub samples: u64,
    /// Mean number of events per sample, including events that a transform emits.
    pub events_per_sample: f64,
    /// Size of the set in bytes.
    pub bytes: u64,
    /// Duration in seconds, if the recordings are in the page cache.
    pub seconds: f64,
    /// Free bytes on the output disk. `None` if the system doesn't report them.
    pub free: Option<u64>,
    /// Seconds that one thread takes for a sample.
    seconds_per_sample: f64,
    /// Sum of the ledgers of the samples that were converted for the estimate.
    pub ledger: Ledger,
    losses: Losses,
    /// Number of samples that were converted for the estimate.
    looked_at: u64,
}

impl Estimate {
    /// Returns the estimate as one JSON object. The object includes `notes`, the notes for the user.
    pub fn json(&self, job: &Job<'_>, notes: &[String]) -> Value {
        json!({
            "samples": self.samples, "events_per_sample": self.events_per_sample, "stored_bytes": self.bytes,
            "seconds": self.seconds, "free_bytes": self.free, "recipe": job.recipe.to_toml(),
            "layout": Layout::names(&job.inputs.layouts), "columns": job.inputs.columns.json(),
            "sample_ledger": self.ledger, "notes": notes,
        })
    }

    /// Returns the estimate as text for people.
    pub fn text(&self, job: &Job<'_>) -> String {
        let output = job.conversion.output.display().to_string();
        let (bytes, output) = (human_bytes(self.bytes), printable(&output));
        let free = self.free.map_or(String::new(), |free| format!("{} free at {output}\n", human_bytes(free)));
        let columns = job.inputs.columns.text();
        let columns = printable(&columns);
        format!(
            "columns: {columns}\n{} samples of about {:.0} events\nabout {bytes} and {:.1} s\n{free}\nrecipe\n  {}\n",
            self.samples,
            self.events_per_sample,
            self.seconds,
            job.recipe.to_toml().trim().replace('\n', "\n  ")
        )
    }
}

impl Job<'_> {
    /// Returns notes for the user:
    ///
    /// - how the recordings were opened
    /// - what a conversion would lose, and why
    /// - what was found in the recordings
    ///
    /// Losses and findings are those of the samples that were converted for `estimate`.
    ///
    /// # Errors
    /// [`crate::Error::TooMuchLost`]; errors of reading a sample again.
    pub fn foretell(&self, estimate: &Estimate) -> Result<Vec<String>> {
        let description = self.describe(Vec::new(), self.recipe.frames.values());
        let scope = match estimate.looked_at {
            all if all == estimate.samples => String::new(),
            some => format!(" (of {some} samples that were looked at)"),
        };
        let mut notes = self.inputs.notes.clone();
        notes.extend(self.loss_notes(&description, &estimate.losses, &scope, false)?);
        notes.extend(self.inputs.found());
        Ok(notes)
    }

    /// Converts a few samples in memory, and extrapolates the size and the duration of the conversion.
    ///
    /// # Errors
    /// Errors of converting these samples.
    pub fn estimate(&self) -> Result<Estimate> {
        let samples = self.describe(Vec::new(), self.recipe.frames.values()).samples;
        let mut counts = self.recipe.frames.values();
        loop {
            let description = self.describe(Vec::new(), counts);
            let mut maker = self.maker(&description)?;
            let (mut made, mut bytes, mut ledger) = (0_u64, 0_u64, Ledger::default());
            let started = Instant::now();
            let mut failure = None;
            let mut looked_at = 0;
            for place in 0..ESTIMATE_PLACES {
                let start = (samples * place / ESTIMATE_PLACES).max(looked_at);
                let end = (start + ESTIMATE_SAMPLES.min(description.chunk_samples.into())).min(samples);
                looked_at = end;
                if start == end {
                    continue;
                }
                match maker.make_samples(start / u64::from(description.chunk_samples), start..end) {
                    Ok((totals, encoded)) => {
                        made += end - start;
                        bytes += encoded.stored.len();
                        ledger += totals.ledger;
                    }
                    Err(ChunkFailure::TooNarrow(count)) => failure = Some(count),
                    Err(ChunkFailure::Error(error)) => return Err(error),
                }
            }
            if let Some(count) = failure {
                counts = Width::holding(count);
                continue;
            }
            let scale = samples as f64 / made.max(1) as f64;
            let seconds_per_sample = started.elapsed().as_secs_f64() / made.max(1) as f64;
            return Ok(Estimate {
                samples,
                events_per_sample: ledger.events_in as f64 / made.max(1) as f64,
                bytes: (bytes as f64 * scale) as u64,
                seconds: self.converting(seconds_per_sample, samples),
                seconds_per_sample,
                free: free_space(&self.conversion.output),
                ledger,
                losses: maker.take_losses(),
                looked_at: made,
            });
        }
    }

    /// Seconds that all threads together take to convert `samples` samples: at least the time for one chunk.
    fn converting(&self, seconds_per_sample: f64, samples: u64) -> f64 {
        let chunk_samples = self.chunk_samples().clamp(1, samples.max(1));
        let chunks = samples as f64 / chunk_samples as f64;
        let rounds = (chunks / self.conversion.threads as f64).max(1.0);
        seconds_per_sample * chunk_samples as f64 * rounds
    }

    /// Seconds that all threads together take to convert a part with `samples` samples.
    pub(super) fn seconds_of(&self, estimate: &Estimate, samples: u64) -> f64 {
        self.converting(estimate.seconds_per_sample, samples)
    }

    /// Checks that the disk has room for the set. Space that the output directory already uses counts as free.
    ///
    /// # Errors
    /// [`tonic_base::Error::NoSpace`]; errors of [`Job::estimate`].
    pub fn check_space(&self) -> Result<()> {
        let output = &self.conversion.output;
        let Some(free) = free_space(output) else { return Ok(()) };
        // A set of counts is much smaller than its recordings. If there is room for the recordings, skip the estimate.
        let counts = self.recipe.frames.values() != Width::F32 && !self.recipe.frames.overlaps();
        if counts && free > self.inputs.bytes()?.saturating_mul(2) {
            return Ok(());
        }
        let there = bytes_in(output);
        Ok(check_space(output, self.estimate()?.bytes, there)?)
    }
}
