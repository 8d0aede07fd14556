//! Tests of recordings with faulty clocks: wraps, resets and gaps, and the options that correct them.

use std::path::Path;

use serde_json::Value;
use tonic_toolkit::base::Verbosity;
use tonic_toolkit::prep::{Cut, EventRange, Recording, SourceOptions, Times};
use tonic_toolkit::sets::repair_from;
use tonic_toolkit::shard::FLAG_SORTED;

use super::camera::Camera;
use super::recording::{Sample, contents, convert, fails, samples, says, scratch};

pub(crate) const SENSOR: [&str; 2] = ["--sensor", "40,30,2"];
pub(crate) const CUTS: [&[&str]; 3] = [&[], &["--sample-duration", "100ms"], &["--sample-events", "700"]];

/// Converts `file` to `set`. Returns the samples of the set and the notes of the conversion.
pub(crate) fn converted(file: &Path, set: &Path, arguments: &[&str]) -> (Vec<Sample>, Vec<String>) {
    let mut command = convert(&[file], set);
    let command = command.args(SENSOR).args(arguments).args(["--overwrite", "--json"]);
    let json: Value = serde_json::from_slice(&command.assert().success().get_output().stdout).unwrap();
    let notes = json["notes"].as_array().unwrap().iter().map(|note| note.as_str().unwrap().to_string()).collect();
    (samples(set), notes)
}

/// Asserts that the conversion is refused with all of `words` in the error, for each of the options in [`CUTS`].
pub(crate) fn refused(file: &Path, set: &Path, words: &[&str]) {
    for cut in CUTS {
        let said = fails(convert(&[file], set).args(SENSOR).args(cut), 3);
        says(&said, words);
        assert!(!set.exists(), "{said}");
    }
}

/// Makes 5,000 random events of a camera within a second.
pub(crate) fn usual(seed: u64) -> Camera {
    Camera::random(seed, 5_000, 1_000_000)
}

/// Returns the events of `camera` in a range of indices.
fn part(camera: &Camera, range: std::ops::Range<usize>) -> Camera {
    let Camera { t, x, y, p } = camera;
    Camera {
        t: t[range.clone()].to_vec(),
        x: x[range.clone()].to_vec(),
        y: y[range.clone()].to_vec(),
        p: p[range].to_vec(),
    }
}

#[test]
fn wraps_are_refused_and_undone() {
    let dir = scratch();
    let path = |name: &str| dir.join(name);
    for (bits, laps, seed) in [(17, 8, 71), (23, 1, 72), (24, 1, 73), (31, 1, 74), (32, 1, 75)] {
        let mut straight = usual(seed);
        let period = 1 << bits;
        straight.t.iter_mut().for_each(|t| *t += period - 400_000_i64.min(period));
        let mut wrapped = straight.clone();
        wrapped.t.iter_mut().for_each(|t| *t %= period);
        // Events that are out of order around the wrap keep their time before or after it.
        let at = wrapped.t.windows(2).position(|pair| pair[1] < pair[0]).unwrap();
        for camera in [&mut straight, &mut wrapped] {
            for place in [at - 1, at, at + 1] {
                camera.t.swap(place, place + 1);
                camera.x.swap(place, place + 1);
                camera.y.swap(place, place + 1);
                camera.p.swap(place, place + 1);
            }
        }
        let found = format!("wraps at 2^{bits} us");
        let once = if laps == 1 { "once before event" } else { "times, first before event" };
        let (plain, file) = (straight.npy(&path("plain.npy")), wrapped.dsec(&path("wrapped.h5")));
        refused(&file, &path("none"), &["expected a clock that goes on, got a wrap", &found, once, "--unwrap adds"]);
        for cut in CUTS {
            let (expected, _) = converted(&plain, &path("plain"), cut);
            let (samples, notes) = converted(&file, &path("set"), &[cut, &["--unwrap"]].concat());
            assert!(samples == expected, "2^{bits} {cut:?}");
            let note = notes.iter().find(|note| note.contains(&found)).unwrap();
            says(note, &["wrap: its clock", once, "it was unwrapped"]);
        }
    }
    // A clock without a wrap is not changed, and a set of a folder reads its files again.
    let (straight, file) = (usual(73), path("a.npy"));
    let plain = converted(&straight.npy(&file), &path("set"), &[]).0;
    assert!(converted(&file, &path("set"), &["--unwrap"]).0 == plain);
    std::fs::create_dir(path("folder")).unwrap();
    let mut wrapped = straight.clone();
    wrapped.t.iter_mut().for_each(|t| *t = (*t + (1 << 24) - 300_000) % (1 << 24));
    wrapped.npy(&path("folder").join("1.npy"));
    for cut in CUTS {
        let expected = converted(&file, &path("set"), cut).0;
        let (found, notes) = converted(&path("folder"), &path("set"), &[cut, &["--unwrap"]].concat());
        assert!(found == expected && notes[0].contains("it was unwrapped"), "{cut:?} {notes:?}");
    }
}

#[test]
fn a_reset_is_refused_with_both_parts() {
    let dir = scratch();
    let path = |name: &str| dir.join(name);
    let whole = usual(76);
    let mut reset = whole.clone();
    let from = whole.t[3_000];
    reset.t[3_000..].iter_mut().for_each(|t| *t -= from);
    let file = reset.npy(&path("reset.npy"));
    let words = ["a reset: the times step back by 60", "ms before event 3000 and go on from there"];
    refused(&file, &path("none"), &words);
    refused(
        &file,
        &path("none"),
        &["convert each part by itself, with --events ..3000 or --events 3000..", "--allow-clock-trouble takes"],
    );
    for (range, events) in [("..3000", 0..3_000), ("3000..", 3_000..5_000), ("3000..9999", 3_000..5_000)] {
        let plain = part(&reset, events.clone()).npy(&path("part.npy"));
        let left = format!("{} events are in no sample", 5_000 - events.len());
        for cut in CUTS {
            let (expected, none) = converted(&plain, &path("set"), cut);
            let (found, notes) = converted(&file, &path("set"), &[cut, &["--events", range]].concat());
            assert!(found == expected, "{range} {cut:?}");
            assert_eq!((none, notes), (vec![], vec![left.clone()]), "{range} {cut:?}");
        }
    }
    // With --allow-clock-trouble, the events are sorted and a note says so.
    let mut order: Vec<usize> = (0..5_000).collect();
    order.sort_by_key(|&i| reset.t[i]);
    let pick = |column: &[u16]| order.iter().map(|&i| column[i]).collect();
    let sorted = Camera {
        t: order.iter().map(|&i| reset.t[i]).collect(),
        x: pick(&reset.x),
        y: pick(&reset.y),
        p: order.iter().map(|&i| reset.p[i]).collect(),
    };
    let expected = converted(&sorted.npy(&path("sorted.npy")), &path("set"), &[]).0;
    let (found, notes) = converted(&file, &path("set"), &["--allow-clock-trouble"]);
    assert!(found[0].dense == expected[0].dense && found[0].flags == FLAG_SORTED);
    says(&notes[0], &["reset: the times step back", "before event 3000", "taken as it is"]);
    // A file whose clock starts three times. Then the same file with a range that the user gave already.
    let three = [&whole.t[..], &whole.t[..2_000], &whole.t[..1_000]].concat();
    let file = Camera::at(&three).npy(&path("three.npy"));
    refused(
        &file,
        &path("none"),
        &["before event 5000", "and 1 more", "--events ..5000 or --events 5000..7000 or --events 7000.."],
    );
    let said = fails(convert(&[&file], &path("none")).args(SENSOR).args(["--events", "10..6000"]), 3);
    says(&said, &["before event 5000", "--events 10..5000 or --events 5000..6000"]);
    // The parts are listed, the largest first, up to a maximum number. The error says how many are not listed.
    let hour = 3_600_000_000;
    for (gaps, words) in [
        (3, &["and 2 more", "--events 630.. or --events 410..630 or --events 200..410 or --events ..200;"][..]),
        (
            11,
            &[
                "and 10 more",
                "--events 2750.. or --events 2450..2750 or",
                "860..1100 (4 smaller parts are not listed);",
            ],
        ),
    ] {
        let times = (0..=gaps).flat_map(|i: i64| (0..200 + 10 * i).map(move |n| 2 * i * hour + 9_000 * n));
        let file = Camera::at(&times.collect::<Vec<_>>()).npy(&path("gaps.npy"));
        refused(&file, &path("none"), words);
    }
}

#[test]
fn gaps_and_stale_heads_are_refused() {
    let dir = scratch();
    let path = |name: &str| dir.join(name);
    let mut stale = usual(77);
    stale.t.iter_mut().enumerate().for_each(|(i, t)| if i < 40 { *t = i as i64 } else { *t += 3_000_000_000 });
    let file = stale.npy(&path("stale.npy"));
    refused(
        &file,
        &path("none"),
        &["a gap: 50 minutes pass between event 39 and event 40", "--events 40.. or --events ..40"],
    );
    let plain = part(&stale, 40..5_000).npy(&path("part.npy"));
    let expected = converted(&plain, &path("set"), &[]).0;
    let (found, notes) = converted(&file, &path("set"), &["--events", "40.."]);
    assert!(found == expected && notes == ["40 events are in no sample"]);
    // Times since 1970 after a few times near 0. The recording is too long, and the error names the gap as the reason.
    let mut epoch = usual(78);
    epoch.t.iter_mut().enumerate().for_each(|(i, t)| *t += if i < 9 { 0 } else { 1_700_000_000_000_000 });
    let file = epoch.npy(&path("epoch.npy"));
    refused(&file, &path("none"), &["days pass between event 8 and event 9", "--events 9.. or --events ..9"]);
    // One time that is ahead of all others.
    let mut stray = usual(79);
    stray.t[700] += 1 << 41;
    let file = stray.npy(&path("stray.npy"));
    refused(
        &file,
        &path("none"),
        &["a stray time: event 700 is 25.5 days ahead of all others", "np.delete(events, np.s_[700:701])"],
    );
    // Times since 1970 are no fault, and neither is a recording that begins late.
    let mut late = usual(80);
    late.t.iter_mut().for_each(|t| *t += 1_700_000_000_000_000);
    let (found, notes) = converted(&late.npy(&path("late.npy")), &path("set"), &[]);
    assert!(found == converted(&usual(80).npy(&path("a.npy")), &path("set"), &[]).0 && notes.is_empty());
    // A second without events is usual. If there are few events, a minute without events is usual too.
    let mut silent = usual(81);
    silent.t[2_500..].iter_mut().for_each(|t| *t += 1_000_000);
    assert_eq!(converted(&silent.npy(&path("silent.npy")), &path("set"), &[]).1, [""; 0]);
    let few = |last: i64| Camera::at(&[&(0..98).collect::<Vec<_>>()[..], &[last]].concat()).npy(&path("few.npy"));
    let notes = converted(&few(50_000_000), &path("set"), &[]).1;
    says(&notes[0], &["stray time: event 98 is 50 s ahead of all others; taken as it is"]);
    refused(&few(70_000_000), &path("none"), &["stray time: event 98 is 1.2 minutes ahead", "--events ..98;"]);
}

#[test]
fn ranges_of_events_must_have_events() {
    let dir = scratch();
    let path = |name: &str| dir.join(name);
    let file = usual(83).npy(&path("a.npy"));
    let refused =
        |file: &Path, range: &str| fails(convert(&[file], &path("set")).args(SENSOR).args(["--events", range]), 2);
    for range in ["5000..", "10..10", "20..10"] {
        says(&refused(&file, range), &["--events: expected a range with some of the 5000 events of", range]);
    }
    for range in ["5", "a..b", "..-1"] {
        says(&refused(&file, range), &["--events"]);
    }
    let speech = super::recording::Recording::random(84, 2, 20).write(&path("b.h5"));
    says(&refused(&speech, "..1"), &["--events", "without samples and labels of its own"]);
    // Every layout reads the range of events that the options give.
    let camera = usual(85);
    let options = SourceOptions {
        events: Some(EventRange { start: 1_200, end: Some(1_300) }),
        cut: Cut::Events { count: 30, overlap: 0 },
        ..SourceOptions::default()
    };
    let files = [
        camera.npy(&path("c.npy")),
        camera.npz(&path("c.npz")),
        camera.dsec(&path("c.h5")),
        camera.e2vid(&path("d.h5")),
        camera.mvsec(&path("e.h5")),
        camera.prophesee(&path("f.h5")),
    ];
    for file in files {
        let recording = Recording::open(&file, &options).unwrap().remove(0);
        let Times::Us(times) = recording.read(0..4).unwrap().times else { panic!("{}", file.display()) };
        let expected: Vec<i64> =
            (1_200..1_300).map(|i| camera.t[i] - camera.t[1_200 + (i - 1_200) / 30 * 30]).collect();
        assert_eq!(times, expected, "{}", file.display());
        assert!(recording.notes.contains(&"4900 events are in no sample".to_string()));
    }
}

#[test]
fn sets_of_mended_clocks_are_repaired() {
    let dir = scratch();
    let set = dir.join("set");
    let mut wrapped = usual(86);
    wrapped.t.iter_mut().for_each(|t| *t = (*t + (1 << 24) - 300_000) % (1 << 24));
    let file = wrapped.npy(&dir.join("a.npy"));
    let sensor = Some(SENSOR[1].parse().unwrap());
    for (arguments, options) in [
        (
            vec!["--unwrap", "--events", "..4000"],
            SourceOptions {
                unwrap: true,
                events: Some(EventRange { start: 0, end: Some(4_000) }),
                sensor,
                ..SourceOptions::default()
            },
        ),
        // Earlier versions read the file in this way without an option.
        (vec!["--allow-clock-trouble"], SourceOptions { sensor, ..SourceOptions::default() }),
    ] {
        convert(&[&file], &set).args(SENSOR).args(&arguments).arg("--overwrite").assert().success();
        let whole = contents(&set);
        std::fs::write(set.join("00000.shard"), b"gone").unwrap();
        let repaired = repair_from(&set, std::slice::from_ref(&file), &options, Verbosity::Quiet).unwrap();
        assert!(repaired.faults.is_empty() && contents(&set) == whole, "{repaired:?}");
    }
}

#[test]
fn few_events_between_wraps_short_resets_and_pauses() {
    let dir = scratch();
    let path = |name: &str| dir.join(name);
    // A counter of 16 bits, 20,000 events in 10 s.
    let straight = Camera::random(88, 20_000, 10_000_000);
    let mut wrapped = straight.clone();
    wrapped.t.iter_mut().for_each(|t| *t %= 1 << 16);
    let file = wrapped.npy(&path("wrapped.npy"));
    refused(&file, &path("none"), &["a wrap: its clock wraps at 2^16 us (65.5 ms), 152 times, first before event"]);
    let plain = straight.npy(&path("plain.npy"));
    for cut in CUTS {
        let (found, _) = converted(&file, &path("set"), &[cut, &["--unwrap"][..]].concat());
        assert!(found == converted(&plain, &path("set"), cut).0, "{cut:?}");
    }
    // A reset is not taken for a wrap, even if a counter with lost events could explain it.
    let mut reset = straight.clone();
    let from = straight.t[15_000];
    reset.t[15_000..].iter_mut().for_each(|t| *t -= from);
    let file = reset.npy(&path("reset.npy"));
    for unwrap in [&[][..], &["--unwrap"]] {
        let said = fails(convert(&[&file], &path("none")).args(SENSOR).args(unwrap), 3);
        says(
            &said,
            &["a reset: ", "(or a wrap of a counter of 2^23 us, with 914 ms of silence there: ", "--events ..15000"],
        );
    }
    for last in [1, 60] {
        let mut reset = straight.clone();
        let first = 20_000 - last;
        (first..20_000).for_each(|i| reset.t[i] = 500 * (i - first) as i64);
        let words = ["a reset: the times step back by 10 s before event", &format!("--events ..{first}")];
        refused(&reset.npy(&path("end.npy")), &path("none"), &words);
    }
    let mut paused = straight.clone();
    paused.t[9_000..].iter_mut().for_each(|t| *t += 60_000_000);
    let notes = converted(&paused.npy(&path("paused.npy")), &path("set"), &["--sample-duration", "1s"]).1;
    says(&notes[0], &["gap: 1 minutes pass between event 8999 and event 9000; taken as it is"]);
    // One stray time, at any place of the recording.
    for (far, side) in [(1_000_000_000_000_000, "ahead of"), (-1_000_000_000_000_000, "behind")] {
        for (at, next) in
            [(0, "leave the others out, with --events 1.."), (700, "np.s_[700:701]"), (4_999, "--events ..4999;")]
        {
            let mut stray = usual(89);
            stray.t[at] = far;
            let words = [&format!("a stray time: event {at} is 11574 days {side} all others")[..], next];
            refused(&stray.npy(&path("stray.npy")), &path("none"), &words);
            refused(&stray.mvsec(&path("stray.h5")), &path("none"), &words);
        }
    }
}
