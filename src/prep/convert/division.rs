//! Divides a conversion among the tasks of a cluster. Estimates what each task reads and how long it takes.

use std::io::Read;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tonic_base::{BaseFault, human_bytes};
use tonic_shard::Part;

use crate::convert::estimate::Estimate;
use crate::convert::inputs::size;
use crate::convert::job::Job;
use crate::error::{Error, Result};
use crate::source::raw;

/// How many bytes of the recordings are read to measure the speed of reading and hashing.
const MEASURED: u64 = 64 << 20;
/// Assumed speed in bytes per second if the recordings are too small to measure it.
const ASSUMED: f64 = 100e6;

/// The part of a conversion that one task of a cluster makes.
#[derive(Clone, Copy, Debug)]
pub struct TaskShare {
    /// Which part of the set the task makes.
    pub part: Part,
    /// Number of samples in the part.
    pub samples: u64,
    /// Number of recordings that the samples come from.
    pub recordings: u64,
    /// Size in bytes of the recordings that the samples come from. The task reads and hashes all these bytes.
    pub source_bytes: u64,
    /// Estimated duration in seconds.
    pub seconds: f64,
}

/// A conversion, divided into parts.
#[derive(Clone, Debug)]
pub struct Division {
    /// One share for each task, in the order of the parts.
    pub shares: Vec<TaskShare>,
    estimate: Estimate,
    /// Speed of reading and hashing, in bytes per second.
    read_speed: f64,
}

impl Division {
    /// Divides a conversion into `parts` parts. Converts a few samples to estimate the duration of each part.
    ///
    /// # Errors
    /// [`tonic_base::Error::Usage`] if the set has fewer chunks than parts; errors of [`Job::estimate`].
    pub fn new(job: &Job<'_>, parts: u32) -> Result<Division> {
        let chunks = job.chunks();
        if u64::from(parts) > chunks {
            return Err(Error::usage("parts", format!("at most {chunks} parts, a chunk each"), parts));
        }
        let estimate = job.estimate()?;
        let read_speed = read_speed(job)?;
        let shares = (1..=parts).map(|index| {
            let part = Part { index, of: parts };
            let range = job.samples_of(part);
            let (recordings, source_bytes) = job.inputs.size_of(&range)?;
            let linked = job.inputs.linked(&range).iter().map(|file| size(&file.path)).sum::<Result<u64>>()?;
            let samples = range.end - range.start;
            let converting = job.seconds_of(&estimate, samples);
            Ok(TaskShare {
                part,
                samples,
                recordings,
                source_bytes,
                seconds: job.opening.as_secs_f64() + converting + (source_bytes + linked) as f64 / read_speed,
            })
        });
        Ok(Division { shares: shares.collect::<Result<_>>()?, estimate, read_speed })
    }

    /// Estimated duration in seconds of the part that takes longest.
    pub fn longest_seconds(&self) -> f64 {
        self.shares.iter().map(|share| share.seconds).fold(0.0, f64::max)
    }

    /// Returns the division as one JSON object.
    pub fn json(&self) -> Value {
        let share = |share: &TaskShare| {
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
            let TaskShare { part, samples, recordings, source_bytes, seconds } = share;
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
        let (threads, read_speed) = (job.conversion.threads, human_bytes(self.read_speed as u64));
        format!(
            "{table}\nset of {samples} samples, about {bytes}\nseconds as measured on a few samples here, with \
             {threads} threads, and for reading at {read_speed}/s, as measured here\n"
        )
    }
}

/// Measures how fast the recordings are read, and how fast they are hashed. Returns the lower speed, in bytes per
/// second.
fn read_speed(job: &Job<'_>) -> Result<f64> {
    const PIECE: u64 = 4 << 20;
    let (mut reading, mut hashing, mut bytes) = (Duration::ZERO, Duration::ZERO, 0);
    let (mut piece, mut hash) = (Vec::new(), blake3::Hasher::new());
    for recording in job.inputs.recordings() {
        if bytes >= MEASURED {
            break;
        }
        let read = |e| Error::io(&recording.path, "read the recording")(e);
        let opened = Instant::now();
        let mut file = raw(&recording.path)?.bytes;
        reading += opened.elapsed();
        while bytes < MEASURED {
            piece.clear();
            let started = Instant::now();
            let got = (&mut file).take(PIECE).read_to_end(&mut piece).map_err(read)?;
            let between = Instant::now();
            hash.update_rayon(&piece);
            (reading, hashing) = (reading + (between - started), hashing + between.elapsed());
            bytes += got as u64;
            if got == 0 {
                break;
            }
        }
    }
    let seconds = reading.max(hashing).as_secs_f64();
    Ok(if bytes < PIECE || seconds == 0.0 { ASSUMED } else { bytes as f64 / seconds })
}
