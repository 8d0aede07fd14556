//! Tests conversions of speech recordings.

use std::path::Path;

use tonic_toolkit::shard::{FLAG_SORTED, Width};

use super::recording::{
    Keys, Recording, Times, Units, contents, convert, convert_aloud, manifest, refuses, samples, says, scratch, stderr,
};

/// Options of `convert` for many small shards of one chunk each.
const SMALL: [&str; 4] = ["--chunk-samples", "4", "--shard-size", "1"];

#[test]
fn a_set_is_not_overwritten_unless_asked() {
    let dir = scratch();
    let files = dir.recordings(&[Recording::random(2, 9, 100), Recording::random(3, 5, 100)]);
    let (a, b) = (&files[0], &files[1]);
    let out = dir.convert(&[a], "set", &SMALL);
    let before = contents(&out);

    refuses(convert(&[b], &out).args(SMALL), 2, &["set exists already", "--resume", "--overwrite"]);
    let words = ["set exists already", "complete", "nothing to resume"];
    refuses(convert(&[a], &out).args(SMALL).arg("--resume"), 2, &words);
    assert!(contents(&out) == before, "a refused convert changes nothing");

    let others = ["notes.txt", "mine.shard", ".notes.tmp"];
    others.iter().for_each(|name| std::fs::write(out.join(name), "mine").unwrap());
    convert(&[b], &out).args(SMALL).arg("--overwrite").assert().success();
    let mut after = contents(&out);
    for name in others {
        assert_eq!(after.remove(name).as_deref(), Some(&b"mine"[..]), "only the set is replaced");
    }
    assert!(after == contents(&dir.convert(&[b], "fresh", &SMALL)));
}

#[test]
fn counts_are_as_wide_as_the_data_need() {
    let dir = scratch();
    let busy = |n: usize| vec![(0.5, 420); n];
    for (most, width) in [(255, Width::U8), (300, Width::U16), (65_535, Width::U16), (70_000, Width::U32)] {
        // Samples with small counts before and after: all are written with the width of the largest count.
        let recording = Recording::of(vec![busy(3), busy(1), busy(most), busy(2), busy(299.min(most))]);
        let file = recording.write(&dir.join(format!("{most}.h5")));
        let sets = ["1", "3"].map(|threads| {
            dir.convert(&[&file], &format!("{most}-{threads}"), &["--chunk-samples", "1", "--threads", threads])
        });
        assert!(contents(&sets[0]) == contents(&sets[1]), "{most}");
        let manifest = manifest(&sets[0]);
        assert_eq!(manifest.description.widths.counts, width, "{most}");
        assert_eq!(manifest.totals.max_count as usize, most);
        for (sample, events) in samples(&sets[0]).iter().zip([3, 1, most, 2, 299.min(most)]) {
            assert_eq!(sample.shape, [1, 1, 1, 100]);
            assert_eq!(sample.dense[60], events as u32, "channel 420 of 700 is 60 of 100");
            assert_eq!(sample.dense.iter().sum::<u32>(), events as u32);
        }
    }
}

#[test]
fn number_types_of_a_file_do_not_change_frames() {
    let dir = scratch();
    let mut recording = Recording::random(5, 7, 300);
    recording.units.iter_mut().flatten().for_each(|x| *x %= 256);
    let mut set = |name: String, times, units, keys| {
        (recording.times_as, recording.units_as, recording.keys_as) = (times, units, keys);
        let out = dir.convert(&[recording.write(&dir.join(format!("{name}.h5")))], &name, &[]);
        (samples(&out), manifest(&out).set_id)
    };
    let expected = set("plain".into(), Times::F16, Units::U16, Keys::Fixed);
    for times in [Times::F16, Times::F32, Times::F64] {
        for units in [Units::U8, Units::I32, Units::I64] {
            let got = set(format!("{times:?}-{units:?}"), times, units, Keys::VarLen);
            assert!(got == expected, "{times:?} {units:?}");
        }
    }
}

#[test]
fn labels_names_and_speakers_come_along() {
    let dir = scratch();
    let mut recording = Recording::random(6, 8, 50);
    let set = |recording: &Recording, name: &str| {
        let out = dir.convert(&[recording.write(&dir.join(format!("{name}.h5")))], name, &[]);
        (samples(&out), manifest(&out))
    };
    let (found, full) = set(&recording, "full");
    assert_eq!(full.description.classes, ["zero", "one", "two"]);
    assert_eq!(full.description.extras, ["speaker"]);
    assert_eq!(full.totals.class_samples, [3, 3, 2]);
    for (i, sample) in found.iter().enumerate() {
        assert_eq!((sample.label, sample.extras.as_slice()), (i as u32 % 3, &[100 + i as i64][..]));
    }
    (recording.keys_as, recording.speakers) = (Keys::None, None);
    let (found, bare) = set(&recording, "bare");
    assert_eq!((bare.description.classes.join(" ").as_str(), bare.description.extras.len()), ("0 1 2", 0));
    assert!(found.iter().all(|s| s.extras.is_empty()));
}

#[test]
fn several_files_are_one_set() {
    let dir = scratch();
    let whole = Recording::random(7, 23, 150);
    let part = |range: std::ops::Range<usize>| Recording {
        times: whole.times[range.clone()].to_vec(),
        units: whole.units[range.clone()].to_vec(),
        labels: whole.labels[range.clone()].to_vec(),
        speakers: whole.speakers.as_ref().map(|s| s[range.clone()].to_vec()),
        ..whole.clone()
    };
    let files: Vec<_> =
        [0..5, 5..6, 6..23].map(|range| part(range.clone()).write(&dir.join(format!("{}.h5", range.start)))).into();
    let together = dir.convert(&[whole.write(&dir.join("whole.h5"))], "together", &["--chunk-samples", "4"]);
    let apart = dir.convert(&files, "apart", &["--chunk-samples", "4"]);
    assert_eq!(samples(&together).len(), 23);
    assert!(samples(&together) == samples(&apart));
    let apart = manifest(&apart);
    assert_eq!(manifest(&together).set_id, apart.set_id);
    let sources: Vec<_> = apart.description.sources.iter().map(|s| (s.name.as_str(), s.samples)).collect();
    assert_eq!(sources, [("0.h5", 5), ("5.h5", 1), ("6.h5", 17)]);

    // A limit counts the samples of all files, in order.
    let limited = dir.convert(&files, "limited", &["--chunk-samples", "4", "--limit", "9"]);
    assert!(samples(&limited) == samples(&together)[..9]);

    let mut other = part(0..4);
    other.names[1] = "won";
    let other = other.write(&dir.join("other.h5"));
    let words = ["other.h5", "list of classes differs from", "0.h5", "zero, one", "zero, won"];
    refuses(&mut convert(&[&files[0], &other], &dir.join("mixed")), 4, &words);
}

#[test]
fn unsorted_times_are_sorted_and_said() {
    let dir = scratch();
    let sorted = Recording::of(vec![vec![(0.0, 1), (0.25, 8), (0.25, 9), (0.5, 300)], vec![(0.0, 1)]]);
    let mut mixed = sorted.clone();
    mixed.times[0] = vec![0.5, 0.25, 0.0, 0.25];
    mixed.units[0] = vec![300, 8, 1, 9];
    let (a, b) = (dir.set(&sorted, &[]), dir.join("b"));
    let said = stderr(&mut convert_aloud(&[mixed.write(&dir.join("b.h5"))], &b));
    says(&said, &["note: 1 samples had times out of order"]);
    let (a, b) = (samples(&a), samples(&b));
    assert!(a[0].dense == b[0].dense && a[1] == b[1]);
    assert_eq!((a[0].flags, b[0].flags), (0, FLAG_SORTED));
}

#[test]
fn arguments_are_a_recipe() {
    let dir = scratch();
    let file = Recording::random(8, 6, 300).write(&dir.join("a.h5"));
    let text = "[[transform]]\nname = \"Downsample\"\nspatial_factor = [0.1, 1.0]\n\n\
                [[transform]]\nname = \"CropTime\"\nmax = 500000\n\n\
                [frames]\ntime_window = 10000\ninclude_incomplete = true\n";
    let recipe = dir.file("recipe.toml", text);
    let set = |name: &str, arguments: &[&str]| {
        let out = dir.convert(&[&file], name, arguments);
        (samples(&out), manifest(&out).set_id)
    };
    let by_arguments = set("arguments", &["--channels", "70", "--crop-time", "500000", "--time-window", "10000"]);
    let by_file = set("file", &["--recipe", recipe.to_str().unwrap()]);
    assert!(by_arguments == by_file);
    assert_eq!(by_file.0[0].shape[1..], [1, 1, 70]);
    assert_ne!(by_file.1, set("default", &[]).1);
    let clash = ["--recipe", recipe.to_str().unwrap(), "--channels", "70"];
    refuses(convert(&[&file], Path::new("x")).args(clash), 2, &["--recipe", "--channels"]);
}
