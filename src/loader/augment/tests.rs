//! Tests each step on small samples and by its statistics, and tests that the random numbers depend only on the seed,
//! the epoch, the sample and the step.

use tonic_base::Error as BaseError;
use tonic_shard::{Column, FrameShape, SparseFrames, Width, Widths};

use super::Augmentation;
use crate::batch::Batch;
use crate::epoch_order::EpochOrder;

const CAMERA: FrameShape = FrameShape { polarities: 2, height: 3, width: 4 };
const COCHLEA: FrameShape = FrameShape { polarities: 1, height: 1, width: 20 };

/// An entry: frame, [p, y, x], count.
type At = (u32, [u32; 3], u32);

fn batch(shape: FrameShape, frames: u32, entries: &[At]) -> Batch {
    let cell = |[p, y, x]: [u32; 3]| (p * shape.height + y) * shape.width + x;
    let mut entries: Vec<(u32, u32, u32)> = entries.iter().map(|&(t, at, count)| (t, cell(at), count)).collect();
    entries.sort_unstable();
    let sizes: Vec<u32> = (0..frames).map(|t| entries.iter().filter(|entry| entry.0 == t).count() as u32).collect();
    let cells: Vec<u32> = entries.iter().map(|entry| entry.1).collect();
    let counts: Vec<u32> = entries.iter().map(|entry| entry.2).collect();
    let mut samples = SparseFrames::new(Widths::of(shape, Width::U16));
    samples.push(&sizes, &cells, Column::U32(&counts)).unwrap();
    Batch::of(samples, vec![1])
}

fn entries(shape: FrameShape, batch: &Batch) -> Vec<At> {
    let sample = batch.frames.sample(0);
    sample.iter().map(|(t, cell, count)| (t as u32, shape.coordinates(cell), count as u32)).collect()
}

fn parsed(text: &str) -> Augmentation {
    let text: String = text.split(';').map(|step| format!("[[transform]]\n{}\n", step.replace(',', "\n"))).collect();
    Augmentation::parse(&text.replace('|', ",")).unwrap()
}

/// Augments the sample `from` in epoch `epoch`.
fn augmented(steps: &str, shape: FrameShape, from: &Batch, epoch: u64) -> Vec<At> {
    let augmentation = parsed(steps);
    augmentation.check(shape, from.frames.widths()).unwrap();
    let from = &Batch { keys: vec![EpochOrder::Shuffled { seed: 7, epoch }.key(0)], ..from.clone() };
    let mut out = Batch::new(from.frames.widths());
    augmentation.apply(from, shape, &mut out);
    assert_eq!((out.labels.as_slice(), &out.keys), (&[1][..], &from.keys));
    assert_eq!(out.frames.sample(0).frames(), from.frames.sample(0).frames(), "the number of frames");
    let got = entries(shape, &out);
    assert!(got.is_sorted(), "{got:?}");
    assert!(got.iter().all(|entry| entry.2 > 0));
    got
}

fn total(entries: &[At]) -> u64 {
    entries.iter().map(|entry| u64::from(entry.2)).sum()
}

#[test]
fn certain_steps_move_events_as_tonic_does() {
    let from = batch(CAMERA, 6, &[(1, [0, 0, 0], 2), (1, [1, 2, 3], 1), (4, [0, 1, 1], 5)]);
    let case = |steps: &str, expected: &[At]| assert_eq!(augmented(steps, CAMERA, &from, 0), expected, "{steps}");
    case("name = 'RandomFlipLR',p = 1.0", &[(1, [0, 0, 3], 2), (1, [1, 2, 0], 1), (4, [0, 1, 2], 5)]);
    case("name = 'RandomFlipUD',p = 1", &[(1, [0, 2, 0], 2), (1, [1, 0, 3], 1), (4, [0, 1, 1], 5)]);
    case("name = 'RandomFlipPolarity',p = 1.0", &[(1, [0, 2, 3], 1), (1, [1, 0, 0], 2), (4, [1, 1, 1], 5)]);
    let reversed = [(0, [0, 1, 1], 5), (3, [0, 0, 0], 2), (3, [1, 2, 3], 1)];
    case("name = 'TimeReversal',p = 1.0,flip_polarities = false", &reversed);
    let flipped = [(0, [1, 1, 1], 5), (3, [0, 2, 3], 1), (3, [1, 0, 0], 2)];
    case("name = 'RandomTimeReversal',p = 1.0", &flipped);
    let same = [(1, [0, 0, 0], 2), (1, [1, 2, 3], 1), (4, [0, 1, 1], 5)];
    case("name = 'RandomFlipLR',p = 1.0;name = 'RandomFlipLR',p = 1.0", &same);
    for nothing in
        ["name = 'RandomFlipLR',p = 0.0", "name = 'DropEvent',p = 0", "name = 'RandomCrop',target_size = [4| 3]"]
    {
        case(nothing, &same);
    }
    case("name = 'DropEvent',p = 1.0", &[]);
}

#[test]
fn probabilities_are_those_of_the_file() {
    let from = batch(CAMERA, 1, &[(0, [0, 0, 0], 1)]);
    let flipped =
        (0..4000).filter(|&epoch| augmented("name = 'RandomFlipLR',p = 0.3", CAMERA, &from, epoch)[0].1[2] == 3);
    let share = flipped.count() as f64 / 4000.0;
    assert!((share - 0.3).abs() < 0.025, "{share}");
}

#[test]
fn drop_event_drops_a_share_and_chooses_every_event_alike() {
    let from = batch(COCHLEA, 4, &[(0, [0, 0, 1], 7), (2, [0, 0, 5], 1), (3, [0, 0, 19], 12)]);
    let mut kept = [0; 3];
    for epoch in 0..2000 {
        let got = augmented("name = 'DropEvent',p = 0.33", COCHLEA, &from, epoch);
        assert_eq!(total(&got), 20 - 7, "0.33 * 20 + 0.5, rounded down, are dropped");
        for (t, _, count) in got {
            kept[[0, 0, 1, 2][t as usize]] += count;
        }
    }
    for (kept, of) in kept.into_iter().zip([7.0, 1.0, 12.0]) {
        let share = f64::from(kept) / of / 2000.0;
        assert!((share - 13.0 / 20.0).abs() < 0.04, "{share} of {of}");
    }
    let totals = (0..500).map(|epoch| total(&augmented("name = 'DropEvent',p = [0.0| 0.5]", COCHLEA, &from, epoch)));
    let totals: std::collections::BTreeSet<u64> = totals.collect();
    assert!(totals.iter().all(|n| (10..=20).contains(n)) && totals.len() == 11, "{totals:?}");
}

#[test]
fn drops_by_time_and_area_leave_a_hole() {
    let all: Vec<At> = (0..20).flat_map(|t| (0..20).map(move |x| (t, [0, 0, x], 1))).collect();
    let from = batch(COCHLEA, 20, &all);
    let mut starts = std::collections::BTreeSet::new();
    for epoch in 0..300 {
        let got = augmented("name = 'DropEventByTime',duration_ratio = 0.25", COCHLEA, &from, epoch);
        let dropped: Vec<u32> = (0..20).filter(|t| got.iter().all(|entry| entry.0 != *t)).collect();
        assert!(dropped.len() == 5 && dropped.windows(2).all(|pair| pair[1] == pair[0] + 1), "{dropped:?}");
        assert_eq!(got.len(), 15 * 20);
        starts.insert(dropped[0]);
    }
    assert_eq!(starts.len(), 16);
    let camera: Vec<At> = (0..3).flat_map(|y| (0..4).map(move |x| (0, [1, y, x], 2))).collect();
    let camera = batch(CAMERA, 1, &camera);
    let mut places = std::collections::BTreeSet::new();
    for epoch in 0..300 {
        let got = augmented("name = 'DropEventByArea',area_ratio = 0.7", CAMERA, &camera, epoch);
        assert_eq!(got.len(), 12 - 2 * 2, "a box of 2 by 2");
        places.insert(got);
        let channels = augmented("name = 'DropEventByArea'", COCHLEA, &from, epoch);
        assert_eq!(channels.len(), 20 * 16, "4 of 20 channels, in all frames");
    }
    assert_eq!(places.len(), 3 * 2);
}

#[test]
fn crops_and_shifts_keep_what_stays_inside() {
    let all: Vec<At> = (0..3).flat_map(|y| (0..4).map(move |x| (0, [0, y, x], 1))).collect();
    let from = batch(CAMERA, 1, &all);
    let crops: std::collections::BTreeSet<Vec<At>> =
        (0..200).map(|epoch| augmented("name = 'RandomCrop',target_size = [3| 2]", CAMERA, &from, epoch)).collect();
    assert!(crops.len() == 4 && crops.iter().all(|crop| crop.len() == 6), "{crops:?}");
    let from = batch(COCHLEA, 10, &[(5, [0, 0, 1], 3), (9, [0, 0, 10], 1)]);
    let mut shifts = std::collections::BTreeSet::new();
    for epoch in 0..300 {
        let got = augmented("name = 'ChannelShift',max = 3", COCHLEA, &from, epoch);
        let by = got.last().unwrap().1[2] as i64 - 10;
        assert_eq!(got.len(), if by < -1 { 1 } else { 2 }, "channel 1 leaves the frame");
        shifts.insert(by);
    }
    assert_eq!(shifts.into_iter().collect::<Vec<_>>(), [-3, -2, -1, 0, 1, 2, 3]);
    let times: std::collections::BTreeSet<usize> = (0..300)
        .map(|epoch| augmented("name = 'TimeShift',max = 2", COCHLEA, &from, epoch))
        .inspect(|got| assert!(got[0].0.abs_diff(5) <= 2 && got[0].2 == 3))
        .map(|got| got.len())
        .collect();
    assert_eq!(times.into_iter().collect::<Vec<_>>(), [1, 2], "the last frame leaves at the end");
}

#[test]
fn noise_is_uniform_from_the_first_to_the_last_event() {
    let from = batch(CAMERA, 9, &[(2, [0, 0, 0], 1), (5, [1, 2, 3], 1)]);
    let mut frames = [0u32; 9];
    let mut cells = [0u32; 24];
    for epoch in 0..200 {
        let got = augmented("name = 'UniformNoise',n = 30", CAMERA, &from, epoch);
        assert_eq!(total(&got), 32);
        for (t, [p, y, x], count) in got {
            frames[t as usize] += count;
            cells[((p * 3 + y) * 4 + x) as usize] += count;
        }
    }
    assert_eq!(frames.iter().filter(|&&count| count > 0).count(), 4, "{frames:?}");
    assert!(frames[2..=5].iter().all(|&count| count.abs_diff(1500 + 100) < 250), "{frames:?}");
    assert!(cells[1..23].iter().all(|&count| count.abs_diff(250) < 80), "{cells:?}");
    let empty = batch(CAMERA, 9, &[]);
    assert!(augmented("name = 'UniformNoise',n = 30", CAMERA, &empty, 0).is_empty(), "as Tonic");
}

#[test]
fn jitters_have_their_moments() {
    let wide = FrameShape { polarities: 1, height: 200, width: 200 };
    let from = batch(wide, 200, &[(100, [0, 100, 100], 4000)]);
    let moments = |values: &[f64]| {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        (mean, values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64)
    };
    let events = |entries: Vec<At>, of: fn(&At) -> u32| -> Vec<f64> {
        entries.iter().flat_map(|entry| vec![f64::from(of(entry)); entry.2 as usize]).collect()
    };
    let got = augmented("name = 'SpatialJitter',var_x = 16.0,var_y = 25.0,sigma_xy = 10", wide, &from, 0);
    assert_eq!(total(&got), 4000);
    let (x, y) = (events(got.clone(), |entry| entry.1[2]), events(got, |entry| entry.1[1]));
    let ((mean_x, var_x), (mean_y, var_y)) = (moments(&x), moments(&y));
    // Coordinates are truncated, as in Tonic, so the mean is half a cell lower.
    assert!((mean_x - 99.5).abs() < 0.3 && (mean_y - 99.5).abs() < 0.35, "{mean_x} {mean_y}");
    assert!((var_x - 16.0).abs() < 1.5 && (var_y - 25.0).abs() < 2.5, "{var_x} {var_y}");
    let both = x.iter().zip(&y).map(|(x, y)| (x - mean_x) * (y - mean_y)).sum::<f64>() / 4000.0;
    assert!((both - 10.0).abs() < 1.5, "{both}");
    let got = augmented("name = 'TimeJitter',std = 3.0", wide, &from, 0);
    let (mean, variance) = moments(&events(got, |entry| entry.0));
    // The uniform time within the frame, and rounding to whole frames, add 1/12 each to the variance.
    assert!((mean - 100.0).abs() < 0.2 && (variance - 9.0).abs() < 0.8, "{mean} {variance}");
    let edge = batch(COCHLEA, 3, &[(0, [0, 0, 0], 1000)]);
    let got = total(&augmented("name = 'TimeJitter',std = 3.0", COCHLEA, &edge, 0));
    assert!(got < 700, "{got}: events that leave the frames are dropped");
}

#[test]
fn draws_depend_on_seed_epoch_sample_and_step_alone() {
    let one = batch(COCHLEA, 50, &(0..50).map(|t| (t, [0, 0, t % 20], 3)).collect::<Vec<_>>());
    let with = |samples: &[u64], (seed, epoch)| {
        let mut many = Batch::new(one.frames.widths());
        for &index in samples {
            many.frames.push_sample(one.frames.sample(0));
            many.labels.push(index as u32);
            many.keys.push(EpochOrder::Shuffled { seed, epoch }.key(index));
        }
        many
    };
    let many = |counters| with(&[4, 9, 2, 4], counters);
    let steps = "name = 'DropEvent',p = 0.1;name = 'TimeJitter',std = 1;name = 'UniformNoise',n = [1| 9]";
    let augmentation = parsed(steps);
    let run = |threads: usize, batch: &Batch| {
        let mut out = Batch::new(batch.frames.widths());
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| augmentation.apply(batch, COCHLEA, &mut out));
        out
    };
    let all = run(1, &many((3, 1)));
    assert_eq!(all, run(4, &many((3, 1))));
    assert_eq!(all.frames.sample(0), all.frames.sample(3), "the same sample, in another place of the batch");
    assert_ne!(all.frames.sample(0), all.frames.sample(1), "another sample");
    assert_eq!(run(2, &with(&[9], (3, 1))).frames.sample(0), all.frames.sample(1), "in another batch");
    for other in [(3, 2), (4, 1)] {
        assert_ne!(run(1, &many(other)).frames, all.frames, "{other:?}");
    }
}

#[test]
fn files_with_faults_are_refused_by_step() {
    let refused = |text: &str, place: &str, words: &str| {
        let checked = Augmentation::parse(text)
            .and_then(|augmentation| augmentation.check(COCHLEA, Widths::of(COCHLEA, Width::U8)));
        match checked {
            Err(BaseError::Usage { what, expected, got }) => {
                let said = format!("{expected}, got {got}");
                assert!(what.ends_with(place) && said.contains(words), "{what}: {said}");
            }
            other => panic!("{text}: {other:?}"),
        }
    };
    let step = |text: &str| format!("[[transform]]\nname = 'RandomTimeReversal'\n[[transform]]\n{text}\n");
    refused("[[transform]\n", "line 1", "TOML");
    refused("", "transform", "[[transform]] with a name, got none");
    refused("transform = 3", "transform", "got integer");
    refused("[[transform]]\nname = 'RandomTimeReversal'\n[frames]\n", "frames", "nothing else");
    refused(&step("name = 'DropEvents'"), "transform 2", "unknown variant `DropEvents`");
    refused(&step("p = 0.5"), "transform 2", "missing field `name`");
    refused(&step("name = 'DropEvent'"), "transform 2", "missing field `p`");
    refused(&step("name = 'DropEvent'\np = 0.1\nq = 1"), "transform 2", "unknown field `q`");
    refused(&step("name = 'DropEvent'\np = 1.5"), "transform 2", "p from 0 to 1");
    refused(&step("name = 'DropEvent'\np = [0.5, 0.1]"), "transform 2", "p from 0 to 1");
    refused(&step("name = 'DropEventByTime'\nduration_ratio = 1.0"), "transform 2", "below 1");
    refused(&step("name = 'RandomFlipUD'"), "transform 2", "more than one row");
    refused(&step("name = 'RandomFlipPolarity'"), "transform 2", "two polarities, got 1");
    refused(&step("name = 'RandomCrop'\ntarget_size = [21, 1]"), "transform 2", "to [20, 1], got [21, 1]");
    refused(&step("name = 'ChannelShift'\nmax = 20"), "transform 2", "below 20");
    refused(&step("name = 'SpatialJitter'\nvar_x = -1.0"), "transform 2", "at least 0");
    let surfaces = parsed("name = 'RandomTimeReversal'").check(COCHLEA, Widths::of(COCHLEA, Width::F32));
    assert!(surfaces.unwrap_err().to_string().contains("surfaces"));
}
