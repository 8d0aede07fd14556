//! Divides a conversion among the tasks of a cluster, and estimates what each task reads and how long it takes.

use serde_json::{Value, json};
use tonic_base::{BaseFault, human_bytes};
use tonic_shard::Part;

use crate::convert::estimate::Estimate;
use crate::convert::job::Job;
use crate::error::{Error, Result};

/// Assumed speed at which a task reads its recordings, in bytes per second. Few disks and networks are slower.
const READ_SPEED: f64 = 100e6;

/// The part of a conversion that one task of a cluster makes.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// The part of the set.
    pub part: Part,
    /// Number of samples in the part.
    pub samples: u64,
    /// Number of recordings that the samples come from.
    pub recordings: u64,
    /// Total size in bytes of the recordings that the samples come from. The task reads and hashes all of it.
    pub source_bytes: u64,
    /// Estimated duration in seconds.
    pub seconds: f64,
}

/// A conversion, divided into parts.
#[derive(Clone, Debug)]
pub struct Division {
    /// The part that each task makes, in order.
    pub shares: Vec<Share>,
    estimate: Estimate,
}

impl Division {
    /// Divides a conversion into `parts` parts, and estimates how long each takes. For this, converts a few samples in
    /// memory, with [`Conversion::threads`](crate::Conversion::threads) threads on this machine.
    ///
    /// # Errors
    /// [`tonic_base::Error::Usage`] if the set has fewer chunks than parts; errors of [`Job::estimate`].
    pub fn new(job: &Job<'_>, parts: u32) -> Result<Division> {
        let chunks = job.chunks();
        if u64::from(parts) > chunks {
            return Err(Error::usage("parts", format!("at most {chunks} parts, a chunk each"), parts));
        }
        let estimate = job.estimate()?;
        let shares = (1..=parts).map(|index| {
            let part = Part { index, of: parts };
            let range = job.samples_of(part);
            let (recordings, source_bytes) = job.inputs.size_of(&range)?;
            let samples = range.end - range.start;
            let converting = estimate.seconds * samples as f64 / estimate.samples.max(1) as f64;
            Ok(Share {
                part,
                samples,
                recordings,
                source_bytes,
                seconds: converting + source_bytes as f64 / READ_SPEED,
            })
        });
        Ok(Division { shares: shares.collect::<Result<_>>()?, estimate })
    }

    /// Returns the estimated duration in seconds of the part that takes longest.
    pub fn longest_seconds(&self) -> f64 {
        self.shares.iter().map(|share| share.seconds).fold(0.0, f64::max)
    }

    /// Returns the division as one JSON object.
    pub fn json(&self) -> Value {
        let share = |share: &Share| {
            json!({
                "part": share.part.index, "of": share.part.of, "samples": share.samples,
                "recordings": share.recordings, "source_bytes": share.source_bytes, "seconds": share.seconds,
            })
        };
        json!({
            "samples": self.estimate.samples, "stored_bytes": self.estimate.bytes,
            "parts": self.shares.iter().map(share).collect::<Vec<_>>(),
        })
    }

    /// Returns the division as a table for people.
    pub fn text(&self, job: &Job<'_>) -> String {
        let mut rows = vec![["part", "samples", "recordings", "to read", "seconds"].map(String::from)];
        rows.extend(self.shares.iter().map(|share| {
            let Share { part, samples, recordings, source_bytes, seconds } = share;
            [
                part.index.to_string(),
                samples.to_string(),
                recordings.to_string(),
                human_bytes(*source_bytes),
                format!("{seconds:.0}"),
            ]
        }));
        let widths: Vec<usize> = (0..5).map(|c| rows.iter().map(|row| row[c].len()).max().unwrap_or(0)).collect();
        let line = |row: &[String; 5]| {
            let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:>width$}")).collect();
            cells.join("  ") + "\n"
        };
        let table: String = rows.iter().map(line).collect();
        let (samples, bytes) = (self.estimate.samples, human_bytes(self.estimate.bytes));
        let threads = job.conversion.threads;
        format!(
            "{table}\nset of {samples} samples, about {bytes}\nseconds as measured on a few samples here, with {threads} \
             threads, and for reading at 100 MB/s\n"
        )
    }
}
