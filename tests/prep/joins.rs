//! Tests of `merge`: a set that is merged from parts has the same bytes as a set that is converted as a whole.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tonic_toolkit::shard::{Part, Width};

use super::recording::{Recording, Scratch, change, contents, manifest, refuses, samples, scratch, shell, tool};

/// A directory with recordings, which are converted in chunks of 2 samples.
pub(crate) struct Bench {
    dir: Scratch,
    files: Vec<PathBuf>,
}

impl Bench {
    pub(crate) fn new(recordings: &[Recording]) -> Bench {
        let dir = scratch();
        let files = dir.recordings(recordings);
        Bench { dir, files }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(crate) fn convert(&self, name: &str, arguments: &[&str]) -> PathBuf {
        self.convert_files(&self.files, name, arguments)
    }

    pub(crate) fn convert_files(&self, files: &[PathBuf], name: &str, arguments: &[&str]) -> PathBuf {
        let size = if arguments.contains(&"--shard-size") { &[][..] } else { &["--shard-size", "2k"] };
        self.dir.convert(files, name, &[&["--chunk-samples", "2"], size, arguments].concat())
    }

    /// Converts each file to a separate set.
    pub(crate) fn convert_each(&self, arguments: &[&str]) -> Vec<PathBuf> {
        let each = self.files.iter().enumerate();
        each.map(|(i, file)| self.convert_files(std::slice::from_ref(file), &format!("s{i}"), arguments)).collect()
    }

    pub(crate) fn merge(&self, name: &str, sets: &[PathBuf]) -> assert_cmd::Command {
        let mut command = tool("merge", &self.path(name));
        command.args(sets).arg("--quiet");
        command
    }

    pub(crate) fn merged(&self, name: &str, sets: &[PathBuf]) -> PathBuf {
        self.merge(name, sets).assert().success();
        tool("verify", &self.path(name)).arg("--quiet").assert().success();
        self.path(name)
    }

    pub(crate) fn subset(&self, name: &str, set: &Path, arguments: &[&str]) -> assert_cmd::Command {
        let mut command = tool("subset", &self.path(name));
        command.arg(set).args(arguments).arg("--quiet");
        command
    }

    pub(crate) fn taken(&self, name: &str, set: &Path, arguments: &[&str]) -> PathBuf {
        self.subset(name, set, arguments).assert().success();
        self.path(name)
    }
}

pub(crate) fn sources(dir: &Path) -> Vec<(String, u64)> {
    manifest(dir).description.sources.into_iter().map(|s| (s.name, s.samples)).collect()
}

/// Returns the index of each sample in its recording, from the extra column `speaker`.
pub(crate) fn speakers(dir: &Path) -> Vec<i64> {
    samples(dir).iter().map(|s| s.extras[0] - 100).collect()
}

#[test]
fn parts_merge_to_the_bytes_of_the_whole() {
    let mut wide = Recording::random(330, 14, 80);
    wide.crowd(9, 300, 0.5, 7);
    let bench = Bench::new(&[Recording::random(331, 11, 80), wide]);
    let whole = bench.convert("whole", &[]);
    let counts = |dir: &Path| manifest(dir).description.widths.counts;
    assert_eq!(counts(&whole), Width::U16);
    for n in [1_usize, 2, 4, 13] {
        let part = |i: usize| bench.convert(&format!("{i}-{n}"), &["--part", &format!("{i}/{n}")]);
        let mut parts: Vec<PathBuf> = (1..=n).map(part).collect();
        if n > 1 {
            let widths: BTreeSet<Width> = parts.iter().map(|part| counts(part)).collect();
            assert_eq!(widths.len(), 2, "one part alone needs wide counts");
        }
        for (order, turn) in [("forth", 0), ("back", n / 2)] {
            parts.rotate_left(turn);
            let merged = bench.merged(&format!("{order}-{n}"), &parts);
            assert!(contents(&merged) == contents(&whole), "{n} parts, {order}");
        }
        bench.merge("one", &parts).args(["--threads", "1", "--overwrite"]).assert().success();
        assert!(contents(&bench.path("one")) == contents(&whole), "on one thread");
    }
}

#[test]
fn missing_duplicate_and_strange_parts_are_named() {
    let bench = Bench::new(&[Recording::random(332, 20, 60)]);
    let parts: Vec<PathBuf> =
        (1..=4).map(|i| bench.convert(&format!("p{i}"), &["--part", &format!("{i}/4")])).collect();
    let with = |numbers: &[usize]| numbers.iter().map(|i| parts[i - 1].clone()).collect::<Vec<_>>();
    let refused = |sets: &[PathBuf], words: &[&str]| {
        refuses(&mut bench.merge("out", sets), 4, words);
        assert!(!bench.path("out").exists(), "{words:?}");
    };
    refused(&with(&[1, 3, 4]), &["out: the set is incomplete: part 2 of 4 is missing"]);
    refused(&with(&[2]), &["part 1, 3, 4 of 4 are missing"]);
    refused(&with(&[3, 1, 3, 2, 4]), &["p3: part differs from", "expected every part once, got part 3 of 4 twice"]);
    let whole = bench.convert("whole", &[]);
    refused(&[with(&[1, 2, 3]), vec![whole]].concat(), &["whole: part differs from", "p1: ", "got no part"]);
    let third = bench.convert("third", &["--part", "3/3"]);
    refused(&[with(&[1, 2, 4]), vec![third]].concat(), &["third: part differs", "another part of 4", "part 3 of 3"]);
    let level = bench.convert("level", &["--part", "4/4", "--level", "9"]);
    refused(&[with(&[1, 2, 3]), vec![level.clone()]].concat(), &["level: zstd level differs from", "got 9"]);
    refused(&[vec![level], with(&[1, 2, 3])].concat(), &["level: zstd level differs from", "expected 1", "got 9"]);
    // The error names the part that differs from the others, whether it is the first or the last.
    for (i, strange) in ["1/4", "4/4"].into_iter().enumerate() {
        let limited = bench.convert(&format!("limited{i}"), &["--part", strange, "--limit", "12"]);
        let others = if i == 0 { with(&[2, 3, 4]) } else { with(&[1, 2, 3]) };
        let words =
            ["limited", ": recordings differs from", "expected 1 recordings of 20 samples", "got 1 recordings of 12"];
        refused(&[vec![limited], others].concat(), &words);
    }
    let recipe = bench.convert("recipe", &["--part", "1/4", "--time-window", "5000"]);
    refused(&[vec![recipe], with(&[2, 3, 4])].concat(), &["recipe: recipe differs from", "got time_window = 5000"]);
    // A part is a set: the tools can show it and divide it.
    tool("verify", &parts[1]).assert().success();
    let some = bench.taken("some", &parts[1], &["--samples", "..1"]);
    assert_eq!(manifest(&some).description.part, None);
}

#[test]
fn shares_are_contiguous_and_cover_the_chunks() {
    for chunks in [0, 1, 7, 100, u64::from(u32::MAX)] {
        for of in [1, 2, 3, 99] {
            let shares: Vec<_> = (1..=of).map(|index| Part { index, of }.chunks(chunks)).collect();
            assert_eq!((shares[0].start, shares[shares.len() - 1].end), (0, chunks));
            assert!(shares.windows(2).all(|pair| pair[0].end == pair[1].start));
            let sizes: Vec<u64> = shares.iter().map(|s| s.end - s.start).collect();
            assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
        }
    }
    for text in ["0/4", "5/4", "1", "1/0", "a/b", "-1/4", "1/4/2"] {
        assert!(text.parse::<Part>().is_err(), "{text}");
    }
}

#[test]
fn merged_sets_are_those_of_the_recordings_together() {
    let mut busy = Recording::random(333, 5, 60);
    busy.crowd(2, 700, 0.25, 350);
    let bench = Bench::new(&[Recording::random(334, 7, 60), busy, Recording::random(335, 6, 60)]);
    let together = bench.convert("together", &[]);
    let apart = bench.convert_each(&[]);
    // The second set begins in the middle of a chunk, and its counts are wider.
    let merged = bench.merged("merged", &apart);
    let id = |dir: &Path| manifest(dir).set_id;
    assert_eq!(id(&merged), id(&together));
    assert_eq!(sources(&merged), sources(&together));
    tool("diff", &merged).arg(&together).assert().success();
    bench.merge("one", &apart).args(["--threads", "1"]).assert().success();
    assert!(contents(&bench.path("one")) == contents(&merged), "the same bytes on one thread");
    bench.merge("five", &apart).args(["--chunk-samples", "5"]).assert().success();
    assert!(samples(&bench.path("five")) == samples(&together));

    // The same file twice is listed once.
    let doubled = bench.merged("doubled", &[apart[0].clone(), apart[2].clone(), apart[0].clone()]);
    assert_eq!(sources(&doubled), [("0.h5".to_string(), 14), ("2.h5".to_string(), 6)]);
    let expected = [samples(&apart[0]), samples(&apart[2]), samples(&apart[0])].concat();
    assert!(samples(&doubled) == expected);

    refuses(&mut bench.merge("merged", &apart), 2, &["merged exists already", "--overwrite"]);
    let words = ["OUT: expected another directory than the sets that are read"];
    refuses(bench.merge("s0", &apart).arg("--overwrite"), 2, &words);
    assert_eq!(samples(&apart[0]).len(), 7, "an input is not an output");
}

#[test]
fn sets_that_do_not_belong_together_are_refused_by_the_field() {
    let mut other_names = Recording::random(336, 4, 40);
    other_names.names[1] = "won";
    let mut no_speakers = Recording::random(337, 4, 40);
    no_speakers.speakers = None;
    let bench = Bench::new(&[Recording::random(338, 4, 40), other_names, no_speakers]);
    let set = |i: usize, name: &str, arguments: &[&str]| bench.convert_files(&bench.files[i..=i], name, arguments);
    let first = set(0, "first", &[]);
    for (other, words) in [
        (set(0, "shape", &["--channels", "70"]), ["shape: shape differs from", "got (1, 1, 70)"]),
        (set(0, "recipe", &["--time-window", "5000"]), ["recipe: recipe differs from", "got time_window = 5000"]),
        (set(1, "classes", &[]), ["classes: classes differs from", "won"]),
        (set(2, "extras", &[]), ["extras: list of extra columns differs from", "expected speaker"]),
    ] {
        refuses(&mut bench.merge("out", &[first.clone(), other]), 4, &words);
        assert!(!bench.path("out").exists());
    }
}

#[test]
fn an_interrupted_merge_is_resumed_to_the_same_bytes_and_no_other() {
    let bench = Bench::new(&[Recording::random(339, 9, 60), Recording::random(340, 8, 16_000)]);
    let sets = bench.convert_each(&["--shard-size", "1"]);
    let merged = bench.merged("merged", &sets);
    let whole = contents(&merged);
    assert!(whole.len() > 4, "{}", whole.len());
    // A limit on the size of files acts like a full disk: the shards of the second set are too large.
    let partial = bench.path("partial");
    let script = "trap '' XFSZ; ulimit -f 16; exec \"$0\" merge \"$@\" --quiet";
    refuses(shell("sh", script, &[&partial]).args(&sets), 1, &[]);
    let stayed: Vec<String> = contents(&partial).into_keys().collect();
    assert!(stayed.len() > 4 && !stayed.contains(&"manifest.json".to_string()), "{stayed:?}");
    let turned = [sets[1].clone(), sets[0].clone()];
    let words = ["partial: ", "differs from", ".incomplete.json"];
    refuses(bench.merge("partial", &turned).arg("--resume"), 4, &words);
    bench.merge("partial", &sets).arg("--resume").assert().success();
    assert!(contents(&partial) == whole);
    refuses(bench.merge("partial", &sets).arg("--resume"), 2, &["complete, there is nothing to resume"]);
}

#[test]
fn a_part_hashes_and_lists_only_its_own_recordings() {
    let recordings = [(340, 10), (341, 6), (342, 9)].map(|(seed, samples)| Recording::random(seed, samples, 60));
    let bench = Bench::new(&recordings);
    let whole = bench.convert("whole", &[]); // 25 samples in 13 chunks
    let of = |dir: &Path| -> Vec<(String, u64, Option<u64>)> {
        let sources = manifest(dir).description.sources.into_iter();
        sources.map(|s| (s.name.split('.').next().unwrap().into(), s.samples, s.first_sample)).collect()
    };
    let names: Vec<String> = of(&whole).into_iter().map(|(name, ..)| name).collect();
    let part = |i: usize, of: usize| bench.convert(&format!("{i}-{of}"), &["--part", &format!("{i}/{of}")]);
    let parts: Vec<PathBuf> = (1..=4).map(|i| part(i, 4)).collect();
    let source = |i: usize, samples, first| (names[i].clone(), samples, Some(first));
    assert_eq!(
        parts.iter().map(|dir| of(dir)).collect::<Vec<_>>(),
        [
            vec![source(0, 6, 0)],
            vec![source(0, 4, 6), source(1, 2, 0)],
            vec![source(1, 4, 2), source(2, 2, 0)],
            vec![source(2, 7, 2)],
        ]
    );
    assert!(of(&whole).iter().all(|(_, _, first)| first.is_none()));
    // Each part reads only its own recordings. The merged parts have the same bytes as the whole set.
    let merged = bench.merged("merged", &parts);
    assert!(contents(&merged) == contents(&whole));

    // Two recordings with the same name and the same bytes are not taken for one recording where two parts meet.
    let file = &bench.files[0];
    let copy = bench.dir.folder("copy").join(file.file_name().unwrap());
    std::fs::copy(file, &copy).unwrap();
    let twice = [file.clone(), copy];
    let whole = bench.convert_files(&twice, "twice", &[]);
    let half = |i: usize| bench.convert_files(&twice, &format!("half{i}"), &["--part", &format!("{i}/2")]);
    let merged = bench.merged("both", &[half(1), half(2)]);
    assert_eq!(of(&whole).len(), 2);
    assert!(contents(&merged) == contents(&whole));
}

#[test]
fn parts_that_were_not_made_alike_are_refused() {
    let bench = Bench::new(&[(345, 10), (346, 6), (347, 9)].map(|(seed, n)| Recording::random(seed, n, 60)));
    let turned: Vec<PathBuf> = bench.files.iter().rev().cloned().collect();
    let parts: Vec<PathBuf> =
        (1..=4).map(|i| bench.convert(&format!("p{i}"), &["--part", &format!("{i}/4")])).collect();
    let with = |other: PathBuf| [parts[0].clone(), other, parts[2].clone(), parts[3].clone()];
    let refused = |other: PathBuf, words: &[&str]| {
        refuses(&mut bench.merge("out", &with(other)), 4, words);
        assert!(!bench.path("out").exists(), "{words:?}");
    };
    let second = ["--part", "2/4"];
    refused(bench.convert_files(&turned, "turned", &second), &["turned: recordings differs from"]);
    let unit = bench.convert("unit", &["--part", "2/4", "--time-unit", "ms", "--crop-time", "1000000000"]);
    refused(unit, &["unit: "]);
    let eighths: Vec<PathBuf> =
        (1..=8).map(|i| bench.convert(&format!("e{i}"), &["--part", &format!("{i}/8")])).collect();
    // A recording that is replaced by another one of the same size after the first of two parts was made. Both parts
    // use this recording.
    let mut other = std::fs::read(&bench.files[0]).unwrap();
    let other_parts = {
        let at = other.len() - 1;
        other[at] ^= 1;
        std::fs::write(&bench.files[0], &other).unwrap();
        bench.convert("replaced", &second)
    };
    refused(other_parts, &["replaced: first sample differs from", "expected sample 6 of", "got sample 6 of"]);
    // Most parts that use the recording have the same version of it. The error names the part that has another
    // version.
    let first = bench.convert("first", &["--part", "1/8"]);
    let sets = [&[first][..], &eighths[1..]].concat();
    refuses(&mut bench.merge("out", &sets), 4, &["first: last sample differs from", "e2: expected sample"]);
}

#[test]
fn a_complete_merge_is_checked_and_mended() {
    let bench = Bench::new(&[Recording::random(348, 24, 60)]);
    let parts: Vec<PathBuf> =
        (1..=2).map(|i| bench.convert(&format!("p{i}"), &["--part", &format!("{i}/2")])).collect();
    let auto = |sets: &[PathBuf]| {
        let mut command = bench.merge("all", sets);
        command.arg("--resume=auto");
        command
    };
    auto(&parts).assert().success();
    let whole = contents(&bench.path("all"));
    auto(&parts).assert().success();
    assert!(contents(&bench.path("all")) == whole);
    change(&bench.path("all").join("00000.shard"), |bytes| *bytes.last_mut().unwrap() ^= 1);
    auto(&parts).assert().success();
    assert!(contents(&bench.path("all")) == whole, "a damaged shard is written again");
    let other = bench.convert_files(&bench.dir.recordings(&[Recording::random(349, 24, 60)]), "other", &[]);
    refuses(&mut auto(&[other]), 2, &["it is another set than is asked for now"]);
    assert!(contents(&bench.path("all")) == whole);
}

#[test]
fn parts_of_earlier_versions_merge_too() {
    let bench = Bench::new(&[Recording::random(343, 10, 60), Recording::random(344, 6, 60)]);
    let whole = bench.convert("whole", &[]);
    let listed = manifest(&whole).description.sources;
    // In earlier versions, the manifest of each part listed all recordings, with the number of samples that the part
    // has from each.
    let parts: Vec<PathBuf> =
        (1..=3).map(|i| bench.convert(&format!("p{i}"), &["--part", &format!("{i}/3")])).collect();
    for part in &parts {
        let mut earlier = manifest(part);
        let own = std::mem::replace(&mut earlier.description.sources, listed.clone());
        for source in &mut earlier.description.sources {
            source.samples = own.iter().find(|own| own.blake3 == source.blake3).map_or(0, |own| own.samples);
        }
        earlier.command.clear();
        earlier.settings.clear();
        earlier.publish(part).unwrap();
    }
    assert!(contents(&bench.merged("merged", &parts)) == contents(&whole));
}
