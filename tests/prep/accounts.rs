//! Compares the ledgers of conversions from every file layout with ledgers that the tests compute event by event.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tonic_toolkit::shard::Ledger;

use super::camera::Camera;
use super::recording::{Recording, Times, Units, samples, scratch};

const SENSOR: [&str; 2] = ["--sensor", "40,30,2"];
/// Options of `convert` for a recording of a cochlea: 40 channels, no y and no polarities.
const ROW: [&str; 2] = ["--sensor", "40"];
const MAP: [&str; 6] = ["--sensor", "40,30,2", "--map", "t=when,x=where[0],y=where[1],p=sign", "--time-unit", "ns"];

/// A file layout:
///
/// - its name
/// - a function that writes a recording
/// - options of `convert`
/// - whether the layout has y and p
type Source = (&'static str, fn(&Camera, &Path) -> PathBuf, &'static [&'static str], bool);

const SOURCES: [Source; 10] = [
    ("hsd", heidelberg, &ROW, false),
    ("dsec", Camera::dsec, &SENSOR, true),
    ("e2vid", Camera::e2vid, &SENSOR, true),
    ("mvsec", Camera::mvsec, &SENSOR, true),
    ("prophesee", Camera::prophesee, &SENSOR, true),
    ("map", Camera::strange, &MAP, true),
    ("npy", Camera::npy, &SENSOR, true),
    ("npz", Camera::npz, &SENSOR, true),
    ("mat", Camera::mat, &SENSOR, true),
    ("csv", Camera::csv, &SENSOR, true),
];

/// Writes t and x of the events in the layout of SHD.
fn heidelberg(camera: &Camera, path: &Path) -> PathBuf {
    // Half a microsecond is added, which reading truncates. So rounding errors cannot change the microsecond.
    let events = camera.t.iter().zip(&camera.x).map(|(&t, &x)| ((t as f64 + 0.5) / 1e6, x.into())).collect();
    Recording { times_as: Times::F64, units_as: Units::I64, ..Recording::of(vec![events]) }.write(path)
}

/// Option of `convert` that accepts unsorted events.
const AS_IS: &str = "--allow-clock-trouble";

/// An event: (t, x, y, p).
type Event = (i64, i64, i64, i64);
/// A transform as a Rust function. It returns the events to keep, and the number of dropped events.
type Step = fn(Vec<Event>) -> (Vec<Event>, u64);

/// Each transform:
///
/// - its TOML
/// - whether the ledger counts dropped events as cropped; if not, they count as filtered
/// - the transform as a Rust function
const STEPS: [(&str, bool, Step); 8] = [
    ("", true, |events| (events, 0)),
    ("name = \"CropTime\"\nmin = 1000\nmax = 30000", true, |events| keep(events, |e| (1000..=30_000).contains(&e.0))),
    // The index of the first kept pixel is rounded down: it is 12 for a crop from 40 to 15, and 5 for a crop from 30
    // to 20.
    ("name = \"CenterCrop\"\nsize = [15, 20]", true, |events| {
        keep(events, |e| (12..27).contains(&e.1) && (5..25).contains(&e.2))
    }),
    ("name = \"Downsample\"\nspatial_factor = 0.5", true, |events| (events, 0)),
    ("name = \"MergePolarities\"", true, |events| (events, 0)),
    ("name = \"DropPixel\"\ncoordinates = [[3, 0], [3, 1], [7, 9]]", false, |events| {
        keep(events, |e| !matches!((e.1, e.2), (3, 0 | 1) | (7, 9)))
    }),
    ("name = \"Decimation\"\nn = 2", false, |events| {
        let mut seen = HashMap::new();
        keep(events, |e| {
            let n = seen.entry((e.1, e.2)).or_insert(0_u64);
            *n += 1;
            *n % 2 == 0
        })
    }),
    ("name = \"RefractoryPeriod\"\ndelta = 500", false, |events| {
        let mut last = HashMap::new();
        // In Tonic, each pixel counts as having fired at -delta. So a first event at time 0 is dropped.
        keep(events, |e| e.0 > last.insert((e.1, e.2), e.0).unwrap_or(-500) + 500)
    }),
];

fn keep(events: Vec<Event>, mut keep: impl FnMut(&Event) -> bool) -> (Vec<Event>, u64) {
    let before = events.len();
    let kept: Vec<Event> = events.into_iter().filter(|e| keep(e)).collect();
    let dropped = (before - kept.len()) as u64;
    (kept, dropped)
}

/// A function of the times of all events and the index of one event. Returns whether this event is in a frame.
type InFrames = fn(&[i64], usize) -> bool;
/// Each framing:
///
/// - its TOML
/// - whether its windows overlap
/// - a function that returns whether an event is in a frame, or `None` if these tests cannot compute this
const FRAMINGS: [(&str, bool, Option<InFrames>); 8] = [
    ("time_window = 7000", false, Some(|t, i| t[i] - t[0] < ((t[t.len() - 1] - t[0]) / 7000 * 7000).max(7000))),
    (
        "time_window = 7000\ninclude_incomplete = true",
        false,
        Some(|t, i| {
            let duration = t[t.len() - 1] - t[0];
            t[i] - t[0] < (duration as u64).div_ceil(7000).max(1) as i64 * 7000
        }),
    ),
    (
        "time_window = 7000\noverlap = 2000.0",
        true,
        Some(|t, i| {
            let duration = t[t.len() - 1] - t[0];
            let windows = if duration < 7000 { 1 } else { (duration - 7000) / 5000 + 1 };
            (0..windows).any(|w| (w * 5000..w * 5000 + 7000).contains(&(t[i] - t[0])))
        }),
    ),
    ("time_window = 7000\nstart_time = 4000\nend_time = 26000", false, Some(|t, i| (4000..25_000).contains(&t[i]))),
    ("event_count = 6", false, Some(|t, i| if t.len() < 6 { true } else { i < t.len() / 6 * 6 })),
    ("n_event_bins = 4", false, Some(|t, i| i < t.len() / 4 * 4)),
    ("n_time_bins = 4", false, Some(|t, i| t[i] - t[0] < (t[t.len() - 1] - t[0]) / 4 * 4)),
    ("name = \"ToTimesurface\"\ndt = 5000.0\ntau = 3000.0", false, None),
];

/// Returns the expected ledger and the number of events in frames. The number is `None` if [`FRAMINGS`] has no
/// function for the framing.
fn account(events: &[Event], step: usize, framing: usize) -> (Ledger, Option<u64>) {
    let mut ledger = Ledger { events_in: events.len() as u64, ..Ledger::default() };
    let (mut inside, outside) = keep(events.to_vec(), |e| e.1 < 40 && e.2 < 30);
    ledger.outside = outside;
    inside.sort_by_key(|e| e.0);
    let (_, crops, apply) = STEPS[step];
    let (left, dropped) = apply(inside);
    *(if crops { &mut ledger.cropped } else { &mut ledger.filtered }) = dropped;
    let times: Vec<i64> = left.iter().map(|e| e.0).collect();
    let in_frames = FRAMINGS[framing].2.map(|f| (0..times.len()).filter(|&i| f(&times, i)).count() as u64);
    ledger.cut = times.len() as u64 - in_frames.unwrap_or(0);
    ledger.binned = in_frames.unwrap_or(0);
    (ledger, in_frames)
}

fn recordings() -> impl Strategy<Value = Camera> {
    let time = prop_oneof![3 => 0..40_000_i64, 1 => (0..12_i64).prop_map(|n| n * 3500), 1 => Just(1000_i64)];
    let x = prop_oneof![4 => 0..12_u16, 2 => 12..40_u16, 1 => 40..45_u16];
    let y = prop_oneof![4 => 0..3_u16, 2 => 3..30_u16, 1 => 30..33_u16];
    (prop::collection::vec((time, x, y, 0..2_u8), 1..60), any::<bool>()).prop_map(|(mut events, sort)| {
        if sort {
            events.sort_by_key(|e| e.0);
        }
        Camera {
            t: events.iter().map(|e| e.0).collect(),
            x: events.iter().map(|e| e.1).collect(),
            y: events.iter().map(|e| e.2).collect(),
            p: events.iter().map(|e| e.3).collect(),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn every_source_gives_account_of_every_event(
        camera in recordings(),
        step in 0..STEPS.len(),
        framing in 0..FRAMINGS.len(),
        first in 0..SOURCES.len(),
    ) {
        let dir = scratch();
        let steps = if step == 0 { String::new() } else { format!("[[transform]]\n{}\n", STEPS[step].0) };
        let recipe = dir.file("recipe.toml", format!("{steps}\n[frames]\n{}\n", FRAMINGS[framing].0));
        let of_rows = ["CenterCrop", "DropPixel"].iter().any(|name| STEPS[step].0.contains(name));
        for (name, write, arguments, has_rows) in [SOURCES[first], SOURCES[(first + 3) % SOURCES.len()]] {
            if of_rows && !has_rows {
                continue; // the step names rows that a cochlea does not have
            }
            let file = write(&camera, &dir.join(format!("{name}.file")));
            let recipe = ["--recipe", recipe.to_str().unwrap(), "--lenient", "--overwrite", AS_IS, "--layout", name];
            let found = samples(&dir.convert(&[&file], "set", &[&recipe, arguments].concat()));
            prop_assert_eq!(found.len(), 1);
            let row = |y: i64| if has_rows { y } else { 0 };
            let events: Vec<Event> = (0..camera.t.len())
                .map(|i| (camera.t[i], camera.x[i].into(), row(camera.y[i].into()), row(camera.p[i].into())))
                .collect();
            let (expected, known) = account(&events, step, framing);
            let ledger = found[0].ledger;
            prop_assert!(ledger.balances(), "{}: {:?}", name, ledger);
            if known.is_some() {
                prop_assert_eq!(ledger, expected, "{} {}", name, FRAMINGS[framing].0);
                let counted: u64 = found[0].dense.iter().map(|&n| u64::from(n)).sum();
                let overlaps = FRAMINGS[framing].1;
                prop_assert!(counted == ledger.binned || (overlaps && counted > ledger.binned), "{}: {}", name, counted);
            } else {
                let but_framing = |l: Ledger| (l.events_in, l.outside, l.non_finite, l.cropped, l.filtered, l.binned + l.cut);
                prop_assert_eq!(but_framing(ledger), but_framing(expected), "{}", name);
            }
        }
    }
}
