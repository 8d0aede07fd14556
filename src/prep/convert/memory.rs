//! Checks whether there is enough memory for the largest samples, if the recipe needs all their events at once.

use std::cmp::Reverse;
use std::ops::Range;

use tonic_base::human_bytes;

use crate::convert::inputs::Inputs;
use crate::error::{Error, Result};
use crate::recipe::Recipe;
use crate::source::{LARGE_SAMPLE, MAX_SAMPLE_EVENTS, Recording};

/// Assumed bytes of memory per event of a sample that is in memory as a whole. Measured with a camera: up to 43 bytes.
const EVENT_BYTES: u64 = 44;
/// The user gets a note if the samples need more bytes of memory than this.
const NOTABLE: u64 = 1 << 30;

/// A sample that has to be in memory as a whole.
struct Whole<'a> {
    recording: &'a Recording,
    /// Index of the sample in the recording.
    sample: u64,
    events: u64,
}

/// Checks whether the largest samples in `range`, one per thread, fit together in `free` bytes of memory. Returns a
/// note if they need more than [`NOTABLE`] bytes.
///
/// # Errors
/// If the samples don't fit, or if one of them has more than [`MAX_SAMPLE_EVENTS`] events.
pub(super) fn check_memory(
    inputs: &Inputs,
    range: Range<u64>,
    recipe: &Recipe,
    threads: usize,
    free: Option<u64>,
) -> Result<Option<String>> {
    let Some(step) = recipe.needs_whole_samples(inputs.sensor) else { return Ok(None) };
    let large = |sample| {
        let (recording, sample) = inputs.find(sample)?;
        let events = recording.sample_events(sample).filter(|&events| events > LARGE_SAMPLE)?;
        Some(Whole { recording, sample, events })
    };
    let mut large: Vec<Whole<'_>> = range.filter_map(large).collect();
    large.sort_by_key(|whole| Reverse(whole.events));
    large.truncate(threads.max(1));
    let Some(&Whole { recording, sample, events }) = large.first() else { return Ok(None) };
    if events > MAX_SAMPLE_EVENTS {
        let (path, most, got) = (recording.path.clone(), MAX_SAMPLE_EVENTS, events);
        return Err(Error::SampleTooLarge { path, sample, most, got, step });
    }
    let bytes = large.iter().map(|whole| whole.events).sum::<u64>().saturating_mul(EVENT_BYTES);
    let needed = human_bytes(bytes);
    if let Some(free) = free.filter(|&free| free < bytes) {
        let (path, free) = (recording.path.clone(), human_bytes(free));
        return Err(Error::TooLittleMemory { path, sample, events, samples: large.len(), step, needed, free });
    }
    let free = free.map_or(String::new(), |free| format!("; {} are free", human_bytes(free)));
    let at_once = if large.len() > 1 { format!(", {} such samples at once", large.len()) } else { String::new() };
    Ok((bytes > NOTABLE).then(|| {
        format!(
            "about {needed} of memory are needed, because {step} needs all events of a sample at once: sample {sample} \
             of {} has {events}{at_once}{free}",
            recording.name
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::SensorSize;
    use crate::source::SourceOptions;
    use std::io::Write;

    #[test]
    fn what_is_needed_is_said_or_refused_before_anything_is_read() {
        let path = std::env::temp_dir().join(format!("tonic-prep-memory-{}.npy", std::process::id()));
        let sensor = SensorSize { width: 4, height: 4, polarities: 2 };
        let options = SourceOptions { sensor: Some(sensor), ..SourceOptions::default() };
        let open = |events: u64| {
            let descr = "[('t', '<i8'), ('x', 'u1'), ('y', 'u1'), ('p', 'u1')]";
            let head = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': ({events},)}}\n");
            let mut file = std::fs::File::create(&path).unwrap();
            file.write_all(b"\x93NUMPY\x01\x00").unwrap();
            file.write_all(&(head.len() as u16).to_le_bytes()).unwrap();
            file.write_all(head.as_bytes()).unwrap();
            // Zeros that take no room on the disk, and a last event with a later time and with the polarity 1.
            file.set_len(10 + head.len() as u64 + events * 11 - 11).unwrap();
            std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0)).unwrap();
            file.write_all(&9_000_000_i64.to_le_bytes()).unwrap();
            file.write_all(&[0, 0, 1]).unwrap();
            Inputs::open(std::slice::from_ref(&path), &options).unwrap()
        };
        let recipe = |text: &str| Recipe::parse(None, text).unwrap();
        let windows = recipe("[frames]\ntime_window = 10000");
        let denoise = recipe("[[transform]]\nname = \"Denoise\"\nfilter_time = 5.0\n[frames]\ntime_window = 10000");
        let bins = recipe("[frames]\nn_time_bins = 10");
        let cases: [(u64, &Recipe, u64, Result<&str, &str>); 7] = [
            (100_000_000, &windows, 1, Ok("")),
            (400_000_000, &windows, 1, Ok("")),
            (1 << 22, &denoise, 1, Ok("")),
            (5_000_000, &denoise, 1 << 30, Ok("")),
            (100_000_000, &bins, 9_000_000_000, Ok("about 4.4 GB of memory are needed, because ToFrame needs all")),
            (100_000_000, &denoise, 2_100_000_000, Err("expected about 4.4 GB of free memory, because Denoise needs")),
            (400_000_000, &denoise, 1 << 60, Err("at most 134217728, because Denoise needs all of them at once")),
        ];
        for (events, recipe, free, expected) in cases {
            let checked = check_memory(&open(events), 0..1, recipe, 4, Some(free));
            match (checked, expected) {
                (Ok(note), Ok(words)) => {
                    let note = note.unwrap_or_default();
                    assert!(note.contains(words) && note.is_empty() == words.is_empty(), "{note}");
                }
                (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
                (checked, expected) => panic!("{events}: {checked:?}, not {expected:?}"),
            }
        }
        std::fs::remove_file(path).unwrap();
    }
}
