//! Tests of `subset`: selected samples, and splits.

use std::collections::BTreeSet;

use super::joins::{Bench, sources, speakers};
use super::recording::{Recording, Sample, contents, manifest, refuses, samples, tool};

#[test]
fn subsets_have_the_samples_that_were_asked_for() {
    let bench = Bench::new(&[Recording::random(341, 20, 60), Recording::random(342, 9, 60)]);
    let set = bench.convert("set", &[]);
    let all = samples(&set);
    let of = |keep: &dyn Fn(usize, &Sample) -> bool| -> Vec<Sample> {
        all.iter().enumerate().filter(|(i, s)| keep(*i, s)).map(|(_, s)| s.clone()).collect()
    };
    let cases: [(&str, &[&str], Vec<Sample>); 6] = [
        ("classes", &["--classes", "two,0"], of(&|_, s| s.label != 1)),
        ("samples", &["--samples", "3..5,19..,4..8"], of(&|i, _| (3..8).contains(&i) || i >= 19)),
        ("where", &["--where", "speaker=103,105,100"], of(&|_, s| [100, 103, 105].contains(&s.extras[0]))),
        ("both", &["--classes", "one", "--samples", "..10"], of(&|i, s| s.label == 1 && i < 10)),
        ("twice", &["--where", "speaker=101,102", "--where", "speaker=102,103"], of(&|_, s| s.extras[0] == 102)),
        ("all", &[], of(&|_, _| true)),
    ];
    for (name, arguments, expected) in cases {
        let taken = bench.taken(name, &set, arguments);
        assert!(samples(&taken) == expected, "{name}");
        tool("verify", &taken).arg("--quiet").assert().success();
        assert_eq!(manifest(&taken).description.classes.len(), 3, "{name}: classes stay");
        assert_eq!(sources(&taken).iter().map(|s| s.1).sum::<u64>(), expected.len() as u64, "{name}");
        bench.taken("again", &set, &[arguments, &["--threads", "1", "--overwrite"]].concat());
        assert!(contents(&bench.path("again")) == contents(&taken), "{name}");
    }
    assert_eq!(sources(&bench.path("samples")), [("0.h5".to_string(), 6), ("1.h5".to_string(), 9)]);
    assert!(contents(&bench.path("all")) == contents(&set), "all of a set is the set");

    let renumbered = bench.taken("renumbered", &set, &["--classes", "two,zero", "--renumber"]);
    let labels: Vec<u32> = samples(&renumbered).iter().map(|s| s.label).collect();
    let expected: Vec<u32> = of(&|_, s| s.label != 1).iter().map(|s| s.label / 2).collect();
    assert_eq!(labels, expected);
    let description = manifest(&renumbered).description;
    assert_eq!(description.classes, ["zero", "two"]);
    tool("verify", &renumbered).arg("--quiet").assert().success();
}

#[test]
fn splits_are_drawn_from_the_seed_and_share_no_sample() {
    let bench = Bench::new(&[Recording::random(343, 60, 20)]);
    let set = bench.convert("set", &[]);
    let split = |name: &str, arguments: &[&str]| -> Vec<Vec<i64>> {
        let arguments = [&["--split", "0.7,0.2,0.1", "--into", "train,valid,test"], arguments].concat();
        let out = bench.taken(name, &set, &arguments);
        ["train", "valid", "test"].map(|part| speakers(&out.join(part))).to_vec()
    };
    let parts = split("a", &[]);
    assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [42, 12, 6]);
    let mut all = parts.concat();
    assert!(parts.iter().all(|part| part.is_sorted()), "samples stay in order");
    all.sort_unstable();
    assert_eq!(all, (0..60).collect::<Vec<_>>());
    assert_eq!(split("b", &["--threads", "1"]), parts);
    assert!(contents(&bench.path("a/train")) == contents(&bench.path("b/train")));
    assert_ne!(split("c", &["--seed", "1"]), parts);
    // The same recordings are divided in the same way with any recipe.
    let other = bench.convert("other", &["--time-window", "20000", "--channels", "50"]);
    let out = bench.taken("d", &other, &["--split", "0.7,0.2,0.1", "--into", "train,valid,test"]);
    assert_eq!(speakers(&out.join("train")), parts[0]);

    let stratified = split("e", &["--stratify"]);
    for (part, each) in stratified.iter().zip([14, 4, 2]) {
        for class in 0..3 {
            assert_eq!(part.iter().filter(|&&i| i % 3 == class).count(), each, "class {class}");
        }
    }
    // If the shares sum to less than 1, the rest is left out.
    let out = bench.taken("f", &set, &["--split", "0.1", "--into", "small"]);
    assert_eq!(speakers(&out.join("small")).len(), 6);
}

#[test]
fn a_split_keeps_each_speaker_in_one_part() {
    let mut recording = Recording::random(344, 90, 20);
    recording.speakers = Some((0..90).map(|i| (i * i) as u16 % 17).collect());
    let bench = Bench::new(&[recording]);
    let set = bench.convert("set", &[]);
    let arguments = ["--split", "0.6,0.4", "--into", "train,test", "--split-by", "speaker"];
    let out = bench.taken("a", &set, &arguments);
    let (train, test) = (speakers(&out.join("train")), speakers(&out.join("test")));
    assert_eq!(train.len() + test.len(), 90);
    assert!((45..=63).contains(&train.len()), "{}", train.len());
    let distinct = |v: &[i64]| v.iter().copied().collect::<BTreeSet<_>>();
    assert!(distinct(&train).is_disjoint(&distinct(&test)));
    let again = bench.taken("b", &set, &[&arguments[..], &["--seed", "5"]].concat());
    let other = speakers(&again.join("train"));
    assert_ne!(distinct(&other), distinct(&train), "another seed, other speakers");
}

#[test]
fn a_split_that_was_interrupted_goes_on_and_not_with_another() {
    let bench = Bench::new(&[Recording::random(345, 40, 20)]);
    let set = bench.convert("set", &[]);
    let arguments = ["--split", "0.5,0.5", "--into", "a,b"];
    let whole = bench.taken("whole", &set, &arguments);
    let out = bench.taken("out", &set, &arguments);
    std::fs::remove_dir_all(out.join("b")).unwrap();
    refuses(&mut bench.subset("out", &set, &arguments), 2, &["out/a exists already"]);
    assert!(!out.join("b").exists(), "nothing is begun where one is refused");
    let another = [&arguments[..], &["--seed", "9", "--resume"]].concat();
    let words = ["out/a exists already: it is another set than is asked for now"];
    refuses(&mut bench.subset("out", &set, &another), 2, &words);
    bench.taken("out", &set, &[&arguments[..], &["--resume"]].concat());
    for part in ["a", "b"] {
        assert!(contents(&out.join(part)) == contents(&whole.join(part)));
    }
}

#[test]
fn choices_that_make_no_sense_are_usage_errors() {
    let bench = Bench::new(&[Recording::random(346, 6, 20)]);
    let set = bench.convert("set", &[]);
    for (arguments, words) in [
        (&["--classes", "four"][..], "class: expected a class's name, such as zero, or its number, got four"),
        (&["--where", "age=3"], "column: expected speaker, got age"),
        (&["--where", "speaker"], "expected COLUMN=N"),
        (&["--where", "speaker=x"], "expected COLUMN=N"),
        (&["--where", "speaker=7"], "at least one sample that fulfils all conditions"),
        (&["--samples", "3..99"], "a range A..B within 0..6"),
        (&["--split", "0.5,0.6", "--into", "a,b"], "--split: expected shares above 0 that add up to 1 at most"),
        (&["--split", "0,1", "--into", "a,b"], "--split: expected shares above 0"),
        (&["--split", "NaN,0.5", "--into", "a,b"], "--split: expected shares above 0"),
        (&["--split", "0.5,0.5", "--into", "a"], "--into: expected 2 different names of folders"),
        (&["--split", "0.5,0.5", "--into", "a,a"], "--into: expected 2 different names"),
        (&["--split", "0.5,0.5", "--into", "a,../b"], "--into: expected 2 different names"),
        (&["--split", "0.99,0.01", "--into", "a,b"], "--split: expected shares that leave no part without samples"),
        (&["--split", "0.5,0.5"], "--into"),
        (&["--renumber"], "--classes"),
        (&["--split", "1", "--into", "a", "--split-by", "age"], "column: expected speaker, got age"),
        (&["--split", "1", "--into", "a", "--split-by", "speaker", "--stratify"], "--stratify"),
    ] {
        refuses(&mut bench.subset("out", &set, arguments), 2, &[words]);
        assert!(!bench.path("out").exists(), "{arguments:?}");
    }
    let onto_itself = ["--samples", "..2", "--overwrite"];
    refuses(&mut bench.subset("set", &set, &onto_itself), 2, &["OUT: expected another directory"]);
}
