//! Tests that the ledger accounts for every event. The expected ledgers come from a slow and simple conversion in
//! this file.

use half::f16;
use proptest::prelude::*;
use tonic_toolkit::base::Verbosity;
use tonic_toolkit::prep::{COCHLEA, Conversion, Error, LEVEL, RecipeChoice, SourceOptions, convert};
use tonic_toolkit::shard::{Existing, FLAG_EMPTY, FLAG_SORTED, Ledger, ShardSet};

use super::recording::{Recording, Sample, Times, Units, faults, reference_recipe, samples, scratch};

/// Generates times in seconds: usual, invalid, and on the bounds of windows and of the crop.
fn seconds() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => (0..300_u32).prop_map(|n| f64::from(n) * 0.004),
        6 => (0..1_200_000_u32).prop_map(|us| f64::from(us) / 1e6),
        1 => prop::sample::select(vec![-0.5, -1e-7, 0.0, 1.0, 1.000_000_9, 1.000_001]),
        1 => prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e13, -1e13, 9.3e12, 1e300]),
    ]
}

fn units() -> impl Strategy<Value = i64> {
    prop_oneof![
        12 => 0..700_i64,
        1 => prop::sample::select(vec![-1, 700, -700, 65_535, 65_536 + 3, i64::MIN, i64::MAX]),
    ]
}

fn recordings() -> impl Strategy<Value = Recording> {
    let sample = prop::collection::vec((seconds(), units()), 0..40);
    (prop::collection::vec(sample, 1..9), prop::sample::select(vec![Times::F32, Times::F64]), any::<bool>()).prop_map(
        |(mut samples, times, sort)| {
            if sort {
                samples.iter_mut().for_each(|s| s.sort_by(|a, b| a.0.total_cmp(&b.0)));
            }
            Recording { times_as: times, units_as: Units::I64, ..Recording::of(samples) }
        },
    )
}

/// Applies the reference recipe to the events of one sample, step by step.
fn plainly(times: &[f64], units: &[i64], label: u32, speaker: i64) -> Sample {
    let mut ledger = Ledger { events_in: times.len() as u64, ..Ledger::default() };
    let mut events: Vec<(i64, usize)> = Vec::new();
    for (&t, &x) in times.iter().zip(units) {
        let us = t * 1e6;
        if !us.is_finite() || us.abs() >= 2.0_f64.powi(63) {
            ledger.non_finite += 1;
        } else if !(0..700).contains(&x) {
            ledger.outside += 1;
        } else {
            events.push((us.trunc() as i64, (x as f64 * (100.0 / 700.0)).trunc() as usize));
        }
    }
    let arrived = events.clone();
    events.sort_by_key(|e| e.0);
    let mut flags = if arrived == events { 0 } else { FLAG_SORTED };
    let before = events.len();
    events.retain(|&(t, _)| (0..=1_000_000).contains(&t));
    ledger.cropped = (before - events.len()) as u64;
    let mut frames = 1;
    if let (Some(first), Some(last)) = (events.first(), events.last()) {
        let duration = (last.0 - first.0) as f64;
        frames = (((duration - 4000.0) / 4000.0).ceil() as i64 + 1).max(1) as usize;
    } else {
        flags |= FLAG_EMPTY;
    }
    let mut dense = vec![0; frames * 100];
    for &(t, x) in &events {
        let frame = ((t - events[0].0) / 4000) as usize;
        if frame < frames {
            dense[frame * 100 + x] += 1;
            ledger.binned += 1;
        } else {
            ledger.cut += 1;
        }
    }
    Sample { shape: [frames, 1, 1, 100], dense, label, flags, ledger, extras: vec![speaker] }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn every_event_of_any_recording_is_accounted_for(mut recording in recordings()) {
        let dir = scratch();
        let file = recording.write(&dir.join("a.h5"));
        let conversion = Conversion {
            inputs: vec![file],
            output: dir.join("set"),
            recipe: RecipeChoice::Recipe(reference_recipe()),
            // Times in random order may look like a clock that wraps, which is an error without this option.
            source: SourceOptions { sensor: Some(COCHLEA), allow_clock_trouble: true, ..SourceOptions::default() },
            limit: None,
            part: None,
            threads: 2,
            level: LEVEL,
            chunk_samples: Some(3),
            shard_bytes: 1,
            existing: Existing::Refuse,
            lenient: true,
            max_loss: None,
            command: Vec::new(),
            verbosity: Verbosity::Quiet,
        };
        let manifest = convert(&conversion, |_| ()).unwrap().manifest;
        if recording.times_as == Times::F32 {
            recording.times.iter_mut().flatten().for_each(|t| *t = f64::from(*t as f32));
        }
        let found = samples(&conversion.output);
        prop_assert_eq!(found.len(), recording.times.len());
        let mut sum = Ledger::default();
        for (i, found) in found.iter().enumerate() {
            let expected = plainly(&recording.times[i], &recording.units[i], i as u32 % 3, 100 + i as i64);
            prop_assert_eq!(found, &expected, "sample {}", i);
            prop_assert!(found.ledger.balances());
            sum += found.ledger;
        }
        prop_assert_eq!(manifest.totals.ledger, sum);
        let set = ShardSet::open(&conversion.output).unwrap();
        prop_assert!(faults(&set).is_empty());

        // If `lenient` is false, the first event outside the sensor is an error that names this event.
        let outside = found.iter().position(|s| s.ledger.outside > 0);
        let strict = Conversion { lenient: false, output: dir.join("strict"), threads: 1, ..conversion };
        match (convert(&strict, |_| ()), outside) {
            (Ok(_), None) => {}
            (Err(Error::OutsideSensor { sample, .. } | Error::NoPixel { sample, .. }), Some(first)) => prop_assert_eq!(sample, first as u64),
            (result, _) => prop_assert!(false, "{:?} where the first sample outside is {:?}", result, outside),
        }
    }
}

/// Computes trunc(t * 10^6) of a float16 time t in integers only. Returns `None` if t isn't finite.
fn exact_microseconds(half: u16) -> Option<i64> {
    let (exponent, fraction) = (i32::from(half >> 10 & 31), i128::from(half & 1023));
    let (mantissa, power) = match exponent {
        31 => return None,
        0 => (fraction, -24),
        e => (fraction + 1024, e - 25),
    };
    let scaled = (mantissa * 1_000_000) << 40;
    let magnitude = if power < 0 { scaled >> -power } else { scaled << power } >> 40;
    Some(if half >> 15 == 1 { -magnitude } else { magnitude } as i64)
}

#[test]
fn every_half_becomes_its_microseconds() {
    let dir = scratch();
    let halves = |n: u16| f16::from_bits(n).to_f64();
    let mut recording = Recording::of((0..=u16::MAX).map(|n| vec![(halves(n), 5)]).collect());
    recording.speakers = None;
    let file = recording.write(&dir.join("halves.h5"));
    let spikes =
        tonic_toolkit::prep::Recording::open(&file, &SourceOptions::default()).unwrap()[0].read(0..1 << 16).unwrap();
    let mut finite = 0;
    for half in 0..=u16::MAX {
        let admitted = spikes.admit(half.into(), COCHLEA);
        let expected = exact_microseconds(half);
        assert_eq!(admitted.events.t.first().copied(), expected, "half {half:#06x}");
        assert_eq!(admitted.non_finite, u64::from(expected.is_none()), "half {half:#06x}");
        finite += usize::from(expected.is_some());
    }
    assert_eq!(finite, 2 * 31 * 1024);
}
