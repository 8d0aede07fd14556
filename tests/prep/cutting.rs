//! Tests of long recordings that are cut into samples: start, end and class of each sample, and every event.

use std::path::Path;

use proptest::prelude::*;
use tonic_toolkit::prep::{Cut, LabelSource, Recording, SourceOptions, Times};
use tonic_toolkit::shard::{FLAG_EMPTY, FLAG_SORTED, NO_LABEL};

use super::camera::Camera;
use super::recording::{
    Recording as Speech, column, convert, convert_aloud, hdf5_file, json, manifest, refuses, samples, says, scratch,
    stderr,
};
use super::sources::plainly;

const SENSOR: [&str; 2] = ["--sensor", "40,30,2"];

/// Opens `file` with a cut. Returns the recording, and the times of each sample's events in microseconds.
fn pieces(file: &Path, cut: Cut) -> (Recording, Vec<Vec<i64>>) {
    let options = SourceOptions { cut, allow_clock_trouble: true, ..SourceOptions::default() };
    let recording = Recording::open(file, &options).unwrap().remove(0);
    let raw = recording.read(0..recording.samples()).unwrap();
    let Times::Us(times) = raw.times else { panic!("{:?}", raw.times) };
    let samples = raw.offsets.windows(2).map(|pair| times[pair[0]..pair[1]].to_vec()).collect();
    (recording, samples)
}

fn of_duration(length: i64, overlap: i64) -> Cut {
    Cut::Duration { length, overlap }
}

#[test]
fn pieces_of_a_duration_have_every_event_and_start_at_zero() {
    let dir = scratch();
    let cut = |times: &[i64], cut| pieces(&Camera::at(times).npy(&dir.join("a.npy")), cut).1;
    let times = [1_000, 1_999, 2_000, 2_500, 6_000];
    // The last event is exactly at the start of a sample, so it is in this sample. The empty samples before it exist
    // too.
    let expected = vec![vec![0, 999], vec![0, 500], vec![], vec![], vec![], vec![0]];
    assert_eq!(cut(&times, of_duration(1_000, 0)), expected);
    let expected = vec![vec![0, 999, 1_000, 1_500], vec![0, 500], vec![], vec![], vec![1_000]];
    assert_eq!(cut(&times, of_duration(2_000, 1_000)), expected, "no piece has only events of the one before");
    assert_eq!(cut(&times, of_duration(10_000, 0)), [[0, 999, 1_000, 1_500, 5_000]]);
    assert_eq!(cut(&[-5, -5, i64::MAX - 10], of_duration(i64::MAX, 0)), [vec![0, 0, i64::MAX - 5]]);
    assert_eq!(cut(&[7], of_duration(1, 0)), [[0]]);
    assert_eq!(cut(&[], of_duration(1_000, 0)), [[0; 0]]);
}

#[test]
fn pieces_of_events_have_every_event_and_start_at_zero() {
    let dir = scratch();
    let cut = |n: i64, count, overlap| {
        let times: Vec<i64> = (0..n).map(|i| 100 + 10 * i).collect();
        pieces(&Camera::at(&times).npy(&dir.join("a.npy")), Cut::Events { count, overlap }).1
    };
    assert_eq!(cut(5, 2, 0), [vec![0, 10], vec![0, 10], vec![0]]);
    assert_eq!(cut(5, 4, 2), [vec![0, 10, 20, 30], vec![0, 10, 20]]);
    assert_eq!(cut(6, 4, 2), [vec![0, 10, 20, 30], vec![0, 10, 20, 30]]);
    assert_eq!(cut(3, 4, 3), [vec![0, 10, 20]]);
    assert_eq!(cut(0, 4, 0), [[0; 0]]);
}

#[test]
fn an_uncut_recording_keeps_its_times() {
    let dir = scratch();
    let (_, whole) = pieces(&Camera::at(&[1_000, 5_000]).npy(&dir.join("a.npy")), Cut::Whole);
    assert_eq!(whole, [[1_000, 5_000]]);
}

/// Cuts a recording into samples by duration, in the simplest way. Returns the times of each sample's events since
/// the start of the sample.
fn cut_plainly(times: &[i64], length: i64, overlap: i64) -> Vec<Vec<i64>> {
    let mut sorted = times.to_vec();
    sorted.sort();
    let (Some(&first), Some(&last)) = (sorted.first(), sorted.last()) else { return vec![vec![]] };
    let mut pieces = Vec::new();
    for k in 0.. {
        let start = first + k * (length - overlap);
        pieces.push(sorted.iter().filter(|&&t| t >= start && t < start + length).map(|t| t - start).collect());
        if start + length > last {
            return pieces;
        }
    }
    unreachable!()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn any_recording_is_cut_as_it_would_be_by_hand(
        mut times in prop::collection::vec(-500_i64..500, 0..60),
        sort in any::<bool>(),
        length in 1_i64..300,
        share in 0.0..0.95,
        layout in 0..2_usize,
    ) {
        if sort {
            times.sort();
        }
        let overlap = (length as f64 * share) as i64;
        let dir = scratch();
        let camera = Camera::at(&times);
        let write = [Camera::npy, Camera::npz][layout];
        let file = write(&camera, &dir.join("a"));
        let (recording, found) = pieces(&file, of_duration(length, overlap));
        prop_assert_eq!(&found, &cut_plainly(&times, length, overlap));
        // Ignore the note that the label in the file is not used.
        let notes = recording.notes.iter().filter(|note| *note != "field label was not used");
        prop_assert_eq!(notes.count() > 0, !times.is_sorted());
        // A range of samples gives the same events as all samples do, also if it is read in parts.
        for first in 0..found.len() as u64 {
            let raw = recording.read(first..first + 1).unwrap();
            let Times::Us(t) = raw.times else { unreachable!() };
            prop_assert_eq!(&t, &found[first as usize]);
        }
    }
}

#[test]
fn a_cut_recording_has_the_frames_of_its_pieces() {
    let dir = scratch();
    let camera = Camera::random(11, 6_000, 300_000);
    let file = camera.dsec(&dir.join("a.h5"));
    let cut =
        |name: &str, arguments: &[&str]| samples(&dir.convert(&[&file], name, &[&SENSOR[..], arguments].concat()));
    let found = cut("events", &["--sample-events", "700", "--chunk-samples", "2"]);
    assert_eq!(found.len(), 9);
    for (i, sample) in found.iter().enumerate() {
        let (from, to) = (i * 700, (i * 700 + 700).min(6_000));
        assert!(sample.dense == plainly(&camera, from, to), "sample {i}");
        assert_eq!(sample.ledger.events_in, (to - from) as u64);
        assert!(sample.ledger.balances() && sample.label == NO_LABEL);
    }
    let found = cut("time", &["--sample-duration", "0.05s", "--sample-overlap", "10ms"]);
    assert_eq!(found.len(), 8, "300 ms in steps of 40 ms, the last of what is left");
    let counts: Vec<u64> = found.iter().map(|s| s.ledger.events_in).collect();
    let start = |k: i64| camera.t[0] + 40_000 * k;
    let inside = |k: i64| camera.t.iter().filter(|&&t| t >= start(k) && t < start(k) + 50_000).count() as u64;
    assert_eq!(counts, (0..8).map(inside).collect::<Vec<_>>());
}

#[test]
fn a_recording_out_of_order_is_sorted_before_it_is_cut() {
    let dir = scratch();
    let camera = Camera::random(12, 2_000, 100_000);
    let mut swapped = camera.clone();
    // Swap two pairs of neighbouring events: one pair inside a sample, and one pair across the border of two samples.
    for i in [100, 999] {
        assert!(camera.t[i] < camera.t[i + 1]);
        swapped.t.swap(i, i + 1);
        swapped.x.swap(i, i + 1);
        swapped.y.swap(i, i + 1);
        swapped.p.swap(i, i + 1);
    }
    let cut = |camera: &Camera, name: &str| {
        let (file, set) = (camera.prophesee(&dir.join(format!("{name}.h5"))), dir.join(name));
        let said = stderr(convert_aloud(&[file], &set).args(["--sample-events", "500"]));
        (samples(&set), said)
    };
    let (mut sorted, _) = cut(&camera, "sorted");
    let (found, said) = cut(&swapped, "swapped");
    says(&said, &["its times are out of order; it was sorted before it was cut"]);
    for (i, sample) in sorted.iter_mut().enumerate() {
        assert_eq!(sample.flags, 0);
        if i == 0 {
            sample.flags = FLAG_SORTED;
        }
    }
    assert!(sorted == found, "the events of sample 0 alone had another order");
}

#[test]
fn invalid_times_stay_at_their_events() {
    let dir = scratch();
    let file = hdf5_file(&dir.join("a.h5"), |file| {
        column(file, "t", &[f64::NAN, 0.001, 0.002, f64::INFINITY, 0.003, f64::NAN]);
        column(file, "x", &[0_u8, 1, 2, 3, 4, 5]);
    });
    let arguments = ["--map", "t=t,x=x", "--sensor", "40", "--sample-duration", "1ms"];
    let set = dir.convert(&[&file], "set", &arguments);
    let found: Vec<_> = samples(&set).iter().map(|s| (s.ledger.events_in, s.ledger.non_finite)).collect();
    assert_eq!(found, [(2, 1), (2, 1), (2, 1)]);
}

#[test]
fn intervals_of_a_table_are_samples() {
    let dir = scratch();
    let camera = Camera::at(&[0, 10, 20, 30, 40, 50, 60, 70]);
    let file = camera.dsec(&dir.join("a.h5"));
    let cut = |text: &str, arguments: &[&str]| {
        let (table, set) = (dir.file("labels.csv", text), dir.join("set"));
        let mut command = convert_aloud(&[&file], &set);
        command.args(["--overwrite", "--json", "--labels"]).arg(table).args(SENSOR).args(arguments);
        let json = json(&mut command);
        let classes = manifest(&set).description.classes;
        let found: Vec<_> = samples(&set).iter().map(|s| (s.label, s.ledger.events_in, s.flags & FLAG_EMPTY)).collect();
        (classes, found, json["notes"].to_string())
    };
    // The table of DVS Gesture, with its column names. An interval includes its start and excludes its end.
    let (classes, found, notes) = cut("class,startTime_usec,endTime_usec\n2,10,30\n10,30,35\n2,61,69\n", &[]);
    assert_eq!(classes, ["2", "10"], "numbers are in the order of their size");
    assert_eq!(found, [(0, 2, 0), (1, 1, 0), (0, 0, FLAG_EMPTY)]);
    says(&notes, &["5 events are in no sample", "is not added to the times: 1589163147368868"]);
    // No column names; units, quotes and a comment. Intervals that overlap share events.
    let (classes, found, _) = cut("# mine\n0, 0.04ms, \"wave, left\"\n0.00002s,60us,clap\n", &[]);
    assert_eq!(classes, ["clap", "wave, left"]);
    assert_eq!(found, [(1, 4, 0), (0, 4, 0)]);
    // With a duration, a sample has the class of the interval that contains its middle.
    let (classes, found, notes) = cut("0,25,a\n45,100,b\n", &["--sample-duration", "20us"]);
    assert_eq!(classes, ["a", "b"]);
    assert_eq!(found, [(0, 2, 0), (1, 2, 0), (1, 2, 0)]);
    says(&notes, &["1 pieces have their middle in no labelled interval", "2 events are in no sample"]);

    let refuse = |text: &str, code: i32, words: &[&str]| {
        let mut command = convert(&[&file], &dir.join("none"));
        refuses(command.args(SENSOR).arg("--labels").arg(dir.file("labels.csv", text)), code, words);
    };
    let words = ["expected intervals of", "from 0 to 70 us", "without the file's t_offset", "1589163147368868"];
    refuse("1589163147368868,1589163147368900,a\n", 2, &words);
    refuse("1,2,a\n", 2, &["got 1 to 2 us: are they in ms? Their unit can be at each, as in 20ms"]);
    // An interval after the end of the recording gives no sample, for both ways to cut the recording.
    refuse(
        "0,20,a\n71,90,b\n80,95,a\n",
        2,
        &["begin before", "at 70 us, got 71 to 90 us in line 2 and 1 more: take it out"],
    );
    refuse(
        "0,20,a\n20000,60000,b\n",
        2,
        &["got 20000 to 60000 us in line 2: are they in ns? Their unit can be at each"],
    );
    let table = dir.file("labels.csv", "0,40,a\n71,90,b\n");
    let mut command = convert(&[&file], &dir.join("none"));
    command.args(SENSOR).args(["--sample-duration", "20us", "--labels"]).arg(table);
    refuses(&mut command, 2, &["got 71 to 90 us in line 2"]);
    refuse("start,end,label\n0.0,0.5,a\n", 3, &["line 2: expected whole us: fractions are probably in s", "(0.5s)"]);
    refuse("0,20,a\n20,10,b\n", 3, &["labels.csv: line 2: expected a start before its end, got 20 to 10 us"]);
    refuse("0,20,a\n\n20,soon,b\n", 3, &["line 3: expected a time such as 100ms", "\"soon\""]);
    refuse("0,20,a\n20,b\n", 3, &["line 2: expected 3 cells"]);
    refuse("0,20,\n", 3, &["line 1: expected a label, got none"]);
    refuse("a\n", 3, &["line 1: expected file,label or start,end,label"]);
    refuse("", 3, &["line 1: expected a row"]);
    refuse("start,end,label\n", 3, &["expected rows after the names"]);
    refuse("start,label\n5,a\n", 3, &["line 2: expected both a start and an end"]);
    refuse("other.h5,a\n", 2, &["at least one with a row in the table of labels"]);
}

#[test]
fn nonsense_cuts_are_refused() {
    let dir = scratch();
    let file = Camera::at(&[0, i64::from(u32::MAX)]).dsec(&dir.join("a.h5"));
    let refuse = |arguments: &[&str], words: &[&str]| {
        let mut command = convert(&[&file], &dir.join("set"));
        refuses(command.args(SENSOR).arg("--allow-clock-trouble").args(arguments), 2, words);
    };
    let sparse = ["expected at most 1048576 of a recording of 2 events", "give longer ones", "is stray: 4294967295 us"];
    refuse(&["--sample-duration", "1us"], &sparse);
    refuse(&["--sample-duration", "4ms"], &sparse);
    refuse(&["--sample-duration", "0s"], &["a time such as 100ms"]);
    refuse(&["--sample-duration", "1s", "--sample-events", "5"], &["cannot be used with"]);
    refuse(&["--sample-duration", "1s", "--sample-overlap", "1s"], &["a time below --sample-duration"]);
    refuse(&["--sample-events", "5", "--sample-overlap", "5"], &["a number below --sample-events"]);
    refuse(&["--sample-overlap", "5"], &["--sample-duration or --sample-events with it"]);
    refuse(&["--label", "a", "--labels", "b.csv"], &["cannot be used with"]);
    let speech = Speech::random(9, 2, 20).write(&dir.join("b.h5"));
    let words = ["without samples and labels of its own", "Heidelberg"];
    refuses(convert(&[&speech], &dir.join("set")).args(["--sample-duration", "1s"]), 2, &words);
}

#[test]
fn as_many_samples_as_events_are_no_fault_and_many_more_are_one() {
    let dir = scratch();
    let limit = 1 << 20;
    let cut = |times: &[i64], length| {
        let file = Camera::at(times).npy(&dir.join("a.npy"));
        let options = SourceOptions { cut: of_duration(length, 0), ..SourceOptions::default() };
        Recording::open(&file, &options).map(|recordings| recordings[0].samples())
    };
    // Three events: the last one is in the last sample that is allowed, or in the first that is not.
    assert_eq!(cut(&[0, 5, 10 * (limit - 1)], 10).unwrap(), limit as u64);
    cut(&[0, 5, 10 * limit], 10).unwrap_err();
    // More samples than the limit are allowed if each has an event.
    let every: Vec<i64> = (0..limit + 9).map(|i| 10 * i).collect();
    assert_eq!(cut(&every, 10).unwrap(), limit as u64 + 9);
    let one_is_stray = [&every[..], &[10 * (limit + 20)]].concat();
    cut(&one_is_stray, 10).unwrap_err();
}

#[test]
fn options_without_a_cut_are_one_sample() {
    let dir = scratch();
    let file = Camera::random(13, 50, 1_000).npy(&dir.join("a.npy"));
    let options = SourceOptions { labels: LabelSource::One("a".into()), ..SourceOptions::default() };
    let recording = Recording::open(&file, &options).unwrap().remove(0);
    assert_eq!((recording.labels.as_slice(), recording.samples()), (&[0][..], 1));
}
