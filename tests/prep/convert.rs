//! One set from the same recordings, whatever the files and the number types; and no set over another.

use std::path::Path;

use tonic_toolkit::shard::{FLAG_SORTED, ShardSet, Width};

use super::recording::{Keys, Recording, Times, Units, contents, convert, fails, samples, says, scratch};

/// Many shards of one chunk each.
const SMALL: [&str; 4] = ["--chunk-samples", "4", "--shard-size", "1"];

#[test]
fn a_set_is_not_overwritten_unless_asked() {
    let dir = scratch();
    let (a, b) = (Recording::random(2, 9, 100), Recording::random(3, 5, 100));
    let (a, b) = (a.write(&dir.path().join("a.h5")), b.write(&dir.path().join("b.h5")));
    let (out, fresh) = (dir.path().join("set"), dir.path().join("fresh"));
    convert(&[&a], &out).args(SMALL).assert().success();
    let before = contents(&out);

    let said = fails(convert(&[&b], &out).args(SMALL), 2);
    says(&said, &["set exists already", "--resume", "--overwrite"]);
    let said = fails(convert(&[&a], &out).args(SMALL).arg("--resume"), 2);
    says(&said, &["set exists already", "complete", "nothing to resume"]);
    assert!(contents(&out) == before, "a refused convert changes nothing");

    let others = ["notes.txt", "mine.shard", ".notes.tmp"];
    others.iter().for_each(|name| std::fs::write(out.join(name), "mine").unwrap());
    convert(&[&b], &out).args(SMALL).arg("--overwrite").assert().success();
    convert(&[&b], &fresh).args(SMALL).assert().success();
    let mut after = contents(&out);
    for name in others {
        assert_eq!(after.remove(name).as_deref(), Some(&b"mine"[..]), "only the set is replaced");
    }
    assert!(after == contents(&fresh));
}

#[test]
fn counts_are_as_wide_as_the_data_need() {
    let dir = scratch();
    let busy = |n: usize| vec![(0.5, 420); n];
    for (most, width) in [(255, Width::U8), (300, Width::U16), (65_535, Width::U16), (70_000, Width::U32)] {
        // Narrow samples before and after: all are written with the width of the busiest.
        let recording = Recording::of(vec![busy(3), busy(1), busy(most), busy(2), busy(299.min(most))]);
        let file = recording.write(&dir.path().join(format!("{most}.h5")));
        let sets = ["1", "3"].map(|threads| {
            let out = dir.path().join(format!("{most}-{threads}"));
            convert(&[&file], &out).args(["--chunk-samples", "1", "--threads", threads]).assert().success();
            out
        });
        assert!(contents(&sets[0]) == contents(&sets[1]), "{most}");
        let set = ShardSet::open(&sets[0]).unwrap();
        assert_eq!(set.manifest().description.widths.counts, width, "{most}");
        assert_eq!(set.manifest().totals.max_count as usize, most);
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
        let file = recording.write(&dir.path().join(format!("{name}.h5")));
        let out = dir.path().join(name);
        convert(&[&file], &out).assert().success();
        (samples(&out), ShardSet::open(&out).unwrap().manifest().set_id)
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
        let out = dir.path().join(name);
        convert(&[recording.write(&dir.path().join(format!("{name}.h5")))], &out).assert().success();
        let set = ShardSet::open(&out).unwrap();
        (samples(&out), set.manifest().description.clone(), set.manifest().totals.clone())
    };
    let (found, description, totals) = set(&recording, "full");
    assert_eq!(
        (description.classes, description.extras),
        (vec!["zero".into(), "one".into(), "two".into()], vec!["speaker".to_string()])
    );
    assert_eq!(totals.class_samples, [3, 3, 2]);
    for (i, sample) in found.iter().enumerate() {
        assert_eq!((sample.label, sample.extras.as_slice()), (i as u32 % 3, &[100 + i as i64][..]));
    }
    (recording.keys_as, recording.speakers) = (Keys::None, None);
    let (found, description, _) = set(&recording, "bare");
    assert_eq!((description.classes.join(" ").as_str(), description.extras.len()), ("0 1 2", 0));
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
    let files: Vec<_> = [0..5, 5..6, 6..23]
        .map(|range| part(range.clone()).write(&dir.path().join(format!("{}.h5", range.start))))
        .into();
    let (together, apart) = (dir.path().join("together"), dir.path().join("apart"));
    convert(&[whole.write(&dir.path().join("whole.h5"))], &together).args(["--chunk-samples", "4"]).assert().success();
    convert(&files, &apart).args(["--chunk-samples", "4"]).assert().success();
    assert_eq!(samples(&together).len(), 23);
    assert!(samples(&together) == samples(&apart));
    let (a, b) = (ShardSet::open(&together).unwrap(), ShardSet::open(&apart).unwrap());
    assert_eq!(a.manifest().set_id, b.manifest().set_id);
    let sources: Vec<_> = b.manifest().description.sources.iter().map(|s| (s.name.as_str(), s.samples)).collect();
    assert_eq!(sources, [("0.h5", 5), ("5.h5", 1), ("6.h5", 17)]);

    // A limit reaches into the files in order.
    let limited = dir.path().join("limited");
    convert(&files, &limited).args(["--chunk-samples", "4", "--limit", "9"]).assert().success();
    assert!(samples(&limited) == samples(&together)[..9]);

    let mut other = part(0..4);
    other.names[1] = "won";
    let other = other.write(&dir.path().join("other.h5"));
    let said = fails(&mut convert(&[files[0].as_path(), &other], &dir.path().join("mixed")), 4);
    says(&said, &["other.h5", "list of classes differs from", "0.h5", "zero, one", "zero, won"]);
}

#[test]
fn unsorted_times_are_sorted_and_said() {
    let dir = scratch();
    let sorted = Recording::of(vec![vec![(0.0, 1), (0.25, 8), (0.25, 9), (0.5, 300)], vec![(0.0, 1)]]);
    let mut mixed = sorted.clone();
    mixed.times[0] = vec![0.5, 0.25, 0.0, 0.25];
    mixed.units[0] = vec![300, 8, 1, 9];
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    convert(&[sorted.write(&dir.path().join("a.h5"))], &a).assert().success();
    let mut loud = super::recording::prep();
    loud.arg("convert").arg(mixed.write(&dir.path().join("b.h5"))).arg("-o").arg(&b);
    let said = String::from_utf8(loud.assert().success().get_output().stderr.clone()).unwrap();
    says(&said, &["note: 1 samples had times out of order"]);
    let (a, b) = (samples(&a), samples(&b));
    assert!(a[0].dense == b[0].dense && a[1] == b[1]);
    assert_eq!((a[0].flags, b[0].flags), (0, FLAG_SORTED));
}

#[test]
fn arguments_are_a_recipe() {
    let dir = scratch();
    let file = Recording::random(8, 6, 300).write(&dir.path().join("a.h5"));
    let recipe = dir.path().join("recipe.toml");
    let text = "[[transform]]\nname = \"Downsample\"\nspatial_factor = [0.1, 1.0]\n\n\
                [[transform]]\nname = \"CropTime\"\nmax = 500000\n\n\
                [frames]\ntime_window = 10000\ninclude_incomplete = true\n";
    std::fs::write(&recipe, text).unwrap();
    let set = |name: &str, arguments: &[&str]| {
        let out = dir.path().join(name);
        convert(&[&file], &out).args(arguments).assert().success();
        (samples(&out), ShardSet::open(&out).unwrap().manifest().set_id)
    };
    let by_arguments = set("arguments", &["--channels", "70", "--crop-time", "500000", "--time-window", "10000"]);
    let by_file = set("file", &["--recipe", recipe.to_str().unwrap()]);
    assert!(by_arguments == by_file);
    assert_eq!(by_file.0[0].shape[1..], [1, 1, 70]);
    assert_ne!(by_file.1, set("default", &[]).1);
    let clash = ["--recipe", recipe.to_str().unwrap(), "--channels", "70"];
    says(&fails(convert(&[&file], Path::new("x")).args(clash), 2), &["--recipe", "--channels"]);
}
