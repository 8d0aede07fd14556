//! Synthetic recordings in the Heidelberg layout. Their statistics are similar to those of SSC, and a network can learn
//! their classes.
//!
//! A class is a set of formants that move over 700 channels. Each speaker shifts and stretches the formants. Classes
//! and speakers do not depend on the seed, so two files with different seeds can be the train set and the test set of
//! one task.

use std::path::Path;
use tonic_base::{Draft, Progress};

use half::f16;
use hdf5::types::{FixedAscii, VarLenArray};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::weighted::WeightedIndex;
use rand_distr::{Beta, Distribution, Normal, Uniform};

use crate::error::{BaseFault, Error, Result};
use crate::source::hdf::last_words;

const CHANNELS: f64 = 700.0;
const FORMANTS: usize = 4;
const SPEAKERS: u64 = 200;
/// Number of samples written at a time.
const BATCH: usize = 256;

/// A formant: a band of spikes that moves over the channels.
struct Formant {
    from: f64,
    to: f64,
    bend: f64,
    onset: f64,
    duration: f64,
}

/// The formants of a class, and the share of the class's spikes that each formant makes.
struct Class {
    formants: Vec<Formant>,
    weights: WeightedIndex<f64>,
}

/// How a speaker changes the formants of a class: by a shift in channels, a stretch in time, and a pitch in Hz.
struct Speaker {
    shift: f64,
    stretch: f64,
    pitch: f64,
}

/// Writes a synthetic recording of `samples` samples with `classes` classes. `seed` determines the samples, and which
/// class and speaker each of them has.
///
/// # Errors
/// [`tonic_base::Error::Usage`] for 0 samples, 0 classes or more than 65,535 classes; [`tonic_base::Error::Exists`];
/// [`tonic_base::Error::Io`].
pub fn synth(path: &Path, samples: u64, classes: u32, seed: u64, progress: &Progress) -> Result<()> {
    if samples == 0 {
        return Err(Error::usage("samples", "at least 1", samples));
    }
    if !(1..=65_535).contains(&classes) {
        return Err(Error::usage("classes", "1 to 65535", classes));
    }
    if path.exists() {
        return Err(Error::exists(path, "give another name, or remove it first"));
    }
    let draft = Draft::create(path)?;
    write(draft.path(), samples as usize, classes, seed, progress)
        .map_err(|e| Error::io(path, "write the recording")(std::io::Error::other(last_words(&e))))?;
    Ok(draft.publish()?)
}

fn write(path: &Path, samples: usize, classes: u32, seed: u64, progress: &Progress) -> hdf5::Result<()> {
    let kinds: Vec<Class> = (0..classes).map(Class::draw).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let labels: Vec<u16> = (0..samples).map(|_| rng.random_range(0..classes) as u16).collect();
    let speakers: Vec<u16> = (0..samples).map(|_| rng.random_range(0..SPEAKERS) as u16).collect();

    let file = hdf5::File::create(path)?;
    let spikes = file.create_group("spikes")?;
    let times = spikes.new_dataset::<VarLenArray<f16>>().shape(samples).create("times")?;
    let units = spikes.new_dataset::<VarLenArray<u16>>().shape(samples).create("units")?;
    for start in (0..samples).step_by(BATCH) {
        let end = (start + BATCH).min(samples);
        let mut rows: (Vec<VarLenArray<f16>>, Vec<VarLenArray<u16>>) = Default::default();
        for i in start..end {
            let speaker = Speaker::draw(speakers[i].into());
            let (t, x) = kinds[usize::from(labels[i])].sample(&speaker, &mut rng);
            rows.0.push(VarLenArray::from_slice(&t));
            rows.1.push(VarLenArray::from_slice(&x));
        }
        times.write_slice(&rows.0, start..end)?;
        units.write_slice(&rows.1, start..end)?;
        progress.add((end - start) as u64);
    }
    file.new_dataset_builder().with_data(&labels).create("labels")?;
    let extra = file.create_group("extra")?;
    extra.new_dataset_builder().with_data(&speakers).create("speaker")?;
    let keys: Vec<FixedAscii<16>> =
        (0..classes).map(|c| FixedAscii::from_ascii(format!("class{c:02}").as_bytes()).unwrap_or_default()).collect();
    extra.new_dataset_builder().with_data(&keys).create("keys")?;
    file.close()
}

impl Class {
    /// Draws the formants of class number `label`, the same in every file.
    fn draw(label: u32) -> Class {
        let mut rng = ChaCha8Rng::seed_from_u64(1000 + u64::from(label));
        let mut onsets: Vec<f64> = (0..FORMANTS).map(|_| rng.random_range(0.05..0.55)).collect();
        onsets.sort_by(f64::total_cmp);
        let formants: Vec<Formant> = onsets
            .into_iter()
            .map(|onset| Formant {
                from: rng.random_range(40.0..660.0),
                to: rng.random_range(40.0..660.0),
                bend: rng.random_range(-150.0..150.0),
                onset,
                duration: rng.random_range(0.15..0.4),
            })
            .collect();
        let weights = WeightedIndex::new(formants.iter().map(|f| f.duration * rng.random_range(0.6..1.4)));
        Class { formants, weights: weights.expect("durations are positive") }
    }

    /// Draws one sample: the times of its spikes in seconds, and their channels, in order of time.
    fn sample(&self, speaker: &Speaker, rng: &mut ChaCha8Rng) -> (Vec<f16>, Vec<u16>) {
        let normal = |mean: f64, deviation: f64| Normal::new(mean, deviation).expect("a finite deviation");
        let total: f64 = rng.random_range(0.8..1.2);
        let n = normal(8000.0, 1800.0).sample(rng).clamp(2500.0, 15000.0) as usize;
        let noise = n / 8;
        let along = Beta::new(1.3, 1.3).expect("positive shapes");
        let width = normal(0.0, 14.0);
        let mut spikes: Vec<(f64, f64)> = Vec::with_capacity(n);
        for _ in noise..n {
            let f = &self.formants[self.weights.sample(rng)];
            let u: f64 = along.sample(rng);
            let t = (f.onset + u * f.duration) * speaker.stretch * total;
            let phase = std::f64::consts::TAU * speaker.pitch * t;
            let x = f.from + (f.to - f.from) * u + f.bend * (std::f64::consts::PI * u).sin() + speaker.shift;
            spikes.push((t + 0.25 / speaker.pitch * phase.sin(), x + width.sample(rng)));
        }
        let (any_time, any_channel) = (
            Uniform::new(0.0, total).expect("a positive length"),
            Uniform::new(0.0, CHANNELS).expect("a positive width"),
        );
        spikes.extend((0..noise).map(|_| (any_time.sample(rng), any_channel.sample(rng))));
        spikes.retain(|&(t, x)| (0.0..=total).contains(&t) && (0.0..CHANNELS).contains(&x));
        spikes.sort_by(|a, b| a.0.total_cmp(&b.0));
        spikes.into_iter().map(|(t, x)| (f16::from_f64(t), x as u16)).unzip()
    }
}

impl Speaker {
    /// Draws the properties of speaker number `number`, the same in every file.
    fn draw(number: u64) -> Speaker {
        let mut rng = ChaCha8Rng::seed_from_u64(5000 + number);
        let shift = Normal::new(0.0, 12.0).expect("a finite deviation").sample(&mut rng);
        Speaker { shift, stretch: rng.random_range(0.9..1.1), pitch: rng.random_range(90.0..220.0) }
    }
}
