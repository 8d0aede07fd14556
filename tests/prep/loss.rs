//! Tests of conversions whose recipe loses many events: a warning with the likely cause, or an error.

use std::path::{Path, PathBuf};

use tonic_toolkit::shard::ShardSet;

use super::camera::Camera;
use super::recording::{
    Recording, Scratch, Times, contents, convert, convert_aloud, json, refuses, says, scratch, stderr, tool,
};

pub(crate) const SENSOR: [&str; 2] = ["--sensor", "40,30,2"];

/// A directory with the recording of a camera.
pub(crate) struct Bench {
    pub(crate) dir: Scratch,
    pub(crate) file: PathBuf,
}

impl Bench {
    pub(crate) fn of(camera: &Camera) -> Bench {
        let dir = scratch();
        let file = camera.npy(&dir.join("a.npy"));
        Bench { dir, file }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(crate) fn recipe(&self, text: &str) -> String {
        let path = self.path("recipe.toml");
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().into()
    }

    /// Converts the recording to `set`. Returns the notes of the conversion.
    pub(crate) fn notes(&self, set: &str, arguments: &[&str]) -> Vec<String> {
        notes(convert(&[&self.file], &self.path(set)).args(SENSOR).args(arguments))
    }
}

/// Runs a conversion, which must succeed. Returns its notes.
pub(crate) fn notes(command: &mut assert_cmd::Command) -> Vec<String> {
    let said = json(command.arg("--json"));
    said["notes"].as_array().unwrap().iter().map(|note| note.as_str().unwrap().into()).collect()
}

pub(crate) fn crop(max: i64) -> String {
    format!("[[transform]]\nname = \"CropTime\"\nmax = {max}\n")
}

pub(crate) const FRAMES: &str = "[frames]\ntime_window = 1000\ninclude_incomplete = true\n";

#[test]
fn times_of_the_epoch_are_found_and_the_loss_can_be_refused() {
    let mut camera = Camera::random(510, 500, 90_000);
    camera.t.iter_mut().for_each(|t| *t += 1_504_645_177_420_000);
    let bench = Bench::of(&camera);
    let recipe = bench.recipe(&(crop(500_000) + FRAMES));
    let found = bench.notes("set", &["--recipe", &recipe]);
    says(
        &found[0],
        &[
            "warning: CropTime lost 100% of the events (500 of 500), and all that was left of sample 0: ",
            "sample 0 goes from 1504645177.42",
            "all of it after 0.5 s",
            "Unix epoch",
            "TimeAlignment before CropTime",
            "--sample-duration",
            "--time-unit",
        ],
    );
    assert_eq!(found[1..], ["1 samples have no events; each was given empty frames"]);

    // The warning is also printed on the terminal, even with --quiet.
    for quiet in [&["--quiet"][..], &[]] {
        let mut command = convert_aloud(&[&bench.file], &bench.path("set"));
        let said = stderr(command.args(quiet).args(SENSOR).args(["--recipe", &recipe, "--overwrite"]));
        says(&said, &["convert: warning: CropTime lost 100%"]);
        assert_eq!(said.contains("convert: note: 1 samples have no events"), quiet.is_empty());
    }

    let refused = bench.path("refused");
    let limited = |arguments: &[&str]| {
        let mut command = convert(&[&bench.file], &refused);
        command.args(SENSOR).args(["--recipe", &recipe]).args(arguments);
        command
    };
    let expected = "refused: expected at most 99.9% of the events to be lost, got 100% (500 of 500): CropTime lost";
    let advice = "with --overwrite; or keep this set, with --resume and a larger --max-loss";
    refuses(&mut limited(&["--max-loss", "99.9%"]), 3, &[expected, advice]);
    assert!(!refused.join("manifest.json").exists() && refused.join("00000.shard").exists());
    refuses(&mut tool("info", &refused), 4, &["the set is incomplete"]);
    refuses(&mut limited(&["--max-loss", "0.5", "--resume"]), 3, &["expected at most 50%"]);
    assert_eq!(notes(&mut limited(&["--max-loss", "1", "--resume"])), found, "as if it was never refused");
    assert!(contents(&refused) == contents(&bench.path("set")));
}

#[test]
fn the_cause_fits_the_times() {
    let dir = scratch();
    let seconds = |scale: f64| {
        let mut recording = Recording::random(511, 5, 200);
        recording.times_as = Times::F64;
        recording.times.iter_mut().flatten().for_each(|t| *t *= scale);
        recording.write(&dir.join(format!("{scale}.h5")))
    };
    let found = |file: &Path| notes(convert(&[file], &dir.join("set")).args(["--overwrite", "--time-unit", "s"]));
    let long = found(&seconds(3.0));
    says(
        &long[0],
        &["warning: CropTime lost ", "is cropped after 1 s: longer recordings need a larger --crop-time; times"],
    );
    assert!(!long[0].contains("--sample-duration"), "which this layout does not take: {}", long[0]);
    says(&found(&seconds(1000.0))[0], &["is cropped after 1 s: times in another unit need --time-unit; longer"]);
    assert!(found(&seconds(0.5)).is_empty());

    let bench = Bench::of(&Camera::random(512, 400, 90_000));
    let early = "[[transform]]\nname = \"CropTime\"\nmin = 60000\n".to_string() + FRAMES;
    let said = bench.notes("early", &["--recipe", &bench.recipe(&early)]).remove(0);
    says(&said, &["warning: CropTime lost ", "is cropped before 0.06 s"]);
    let cut = bench.notes("cut", &["--crop-time", "50000"]).remove(0);
    says(&cut, &["longer recordings need a larger --crop-time, or to be cut with --sample-duration"]);
}

#[test]
fn slicing_that_loses_the_rest_says_what_keeps_it() {
    // The events begin at 5,000 us. Their times fill 90 windows of 1 ms, or a little more than 8 windows of 10.7 ms.
    let bench = Bench::of(&Camera::at(&(0..1000).map(|i| 5_000 + i * 90).collect::<Vec<_>>()));
    let lost = |frames: &str| bench.notes("set", &["--recipe", &bench.recipe(frames), "--overwrite"]);
    let window = lost("[frames]\ntime_window = 10700\n");
    let words = ["slicing into frames lost 4.8%", "(48 of 1000)"];
    assert!(window.is_empty(), "{words:?} is less than a tenth: {window:?}");
    let said = lost("[frames]\ntime_window = 40000\n").remove(0);
    says(&said, &["warning: slicing into frames lost 11.1% of the events (111 of 1000): ", "lasts 0.08991 s"]);
    says(&said, &["a window (time_window) 0.04 s", "include_incomplete = true", "--time-unit"]);
    assert!(lost("[frames]\ntime_window = 40000\ninclude_incomplete = true\n").is_empty());
    let surfaces = lost("[frames]\nname = \"ToTimesurface\"\ndt = 40000.0\ntau = 1000.0\n").remove(0);
    says(&surfaces, &["slicing into frames lost 11.1%", "a window (dt) 0.04 s"]);
    let said = lost("[frames]\nevent_count = 400\n").remove(0);
    says(&said, &["lost 20% of the events (200 of 1000)", "has 1000, a frame (event_count) 400"]);
    let said = lost("[frames]\nn_event_bins = 1001\n").remove(0);
    says(&said, &["lost 100% of the events", "all that was left of sample 0", "fewer n_event_bins"]);
    let said = lost("[frames]\ntime_window = 1000\nstart_time = 50000\n").remove(0);
    says(&said, &["lost 51.1%", "before start_time or after end_time"]);
    let said = lost("[frames]\nn_time_bins = 70000\n").remove(0);
    says(&said, &["slicing into frames lost 22", "whole microseconds", "fewer bins", "--time-unit"]);
}

#[test]
fn a_wrong_sensor_and_bad_times_are_named() {
    let bench = Bench::of(&Camera::random(513, 400, 90_000));
    let mut command = convert(&[&bench.file], &bench.path("small"));
    let said = notes(command.args(["--sensor", "30,30,2", "--lenient"]));
    says(&said[0], &["warning: the sensor's bounds lost 2", " of sample 0 has x = 3", "another one (--sensor)?"]);
    says(&said[1], &[" events lie outside the sensor"]);

    let mut recording = Recording::random(514, 4, 100);
    recording.times_as = Times::F64;
    recording.times[2].iter_mut().for_each(|t| *t = f64::NAN);
    let file = recording.write(&bench.path("bad.h5"));
    let said = notes(&mut convert(&[&file], &bench.path("bad")));
    let n = recording.times[2].len();
    says(&said[0], &["warning: reading the times lost ", &format!("({n} of "), "all that was left of sample 2: "]);
    says(&said[0], &["no numbers", "--time-unit"]);
    assert_eq!(said[1], format!("{n} events have a time that is not finite; they were left out"));
}

#[test]
fn losses_that_the_recipe_asks_for_are_only_reported() {
    let bench = Bench::of(&Camera::random(515, 800, 90_000));
    let steps =
        "[[transform]]\nname = \"CenterCrop\"\nsize = [20, 30]\n\n[[transform]]\nname = \"Decimation\"\nn = 3\n\n";
    let recipe = bench.recipe(&(steps.to_string() + FRAMES));
    let found = bench.notes("set", &["--recipe", &recipe, "--max-loss", "0"]);
    let ledger = ShardSet::open(&bench.path("set")).unwrap().manifest().totals.ledger;
    assert!(ledger.cropped > 300 && ledger.filtered > 200, "{ledger:?}");
    assert_eq!(found.len(), if ledger.binned == 0 { 3 } else { 2 });
    says(&found[0], &["CenterCrop left out ", &format!("({} of 800)", ledger.cropped), ", as the recipe asks"]);
    says(&found[1], &["Decimation left out ", &format!("({} of 800)", ledger.filtered), ", as the recipe asks"]);
    assert!(!found.iter().any(|note| note.contains("warning")), "{found:?}");
}

#[test]
fn steps_that_share_a_column_are_told_apart_also_after_a_resume() {
    let bench = Bench::of(&Camera::random(516, 3_000, 90_000));
    let centre = "[[transform]]\nname = \"CenterCrop\"\nsize = [20, 30]\n\n";
    let recipe = bench.recipe(&(centre.to_string() + &crop(30_000) + "\n" + FRAMES));
    // Each sample lasts 45 ms, and its last third is cropped. The set has several shards.
    let small = ["--sample-duration", "45ms", "--chunk-samples", "1", "--shard-size", "1"];
    let arguments = |more: &[&'static str]| [&["--recipe", &recipe][..], &small, more].concat().join(" ");
    let run = |set: &str, more: &[&'static str]| bench.notes(set, &arguments(more).split(' ').collect::<Vec<_>>());
    let found = run("whole", &[]);
    let ledger = ShardSet::open(&bench.path("whole")).unwrap().manifest().totals.ledger;
    let lost = |note: &str| -> u64 { note.split(['(', ' ']).find_map(|word| word.parse().ok()).unwrap() };
    says(&found[0], &["CenterCrop left out 4", "as the recipe asks"]);
    says(&found[1], &["warning: CropTime lost 1"]);
    assert_eq!(lost(&found[0]) + lost(&found[1]), ledger.cropped);

    let mut refused = convert(&[&bench.file], &bench.path("refused"));
    let share = lost(&found[1]) as f64 / ledger.events_in as f64;
    refused.args(SENSOR).args(arguments(&[]).split(' ')).args(["--max-loss", &(share - 0.001).to_string()]);
    let said = refuses(&mut refused, 3, &["CropTime lost"]);
    assert!(!said.contains("CenterCrop left out"), "{said}");
    // One shard is made again. The losses of the other shards come from their ledgers.
    std::fs::remove_file(bench.path("refused/00001.shard")).unwrap();
    assert_eq!(run("refused", &["--resume"]), found);
    assert!(contents(&bench.path("refused")) == contents(&bench.path("whole")));
}

#[test]
fn a_sample_that_loses_everything_is_named_however_small() {
    let dir = scratch();
    let mut recording = Recording::random(517, 40, 400);
    recording.times_as = Times::F64;
    recording.times.iter_mut().flatten().for_each(|t| *t *= 0.8);
    for late in [17, 33] {
        recording.times[late] = vec![1.5, 1.75];
        recording.units[late] = vec![3, 4];
    }
    recording.times[20].clear();
    recording.units[20].clear();
    let file = recording.write(&dir.join("a.h5"));
    for (set, threads) in [("one", "1"), ("four", "4")] {
        let set = dir.join(set);
        let small = ["--chunk-samples", "3", "--shard-size", "1", "--threads", threads];
        let found = notes(convert(&[&file], &set).args(small));
        says(&found[0], &["warning: CropTime lost 0.1% of the events (4 of "]);
        says(
            &found[0],
            &["all that was left of 2 samples, the first of them sample 17: sample 17 goes from 1.5 to 1.75 s"],
        );
        assert_eq!(found[1..], ["3 samples have no events; each was given empty frames"]);
    }
    // The notes about a part count the samples of the part, from 0.
    let part = notes(convert(&[&file], &dir.join("part")).args(["--chunk-samples", "4", "--part", "2/2"]));
    says(&part[0], &["all that was left of sample 13: "]);
    let mut part = convert(&[&file], &dir.join("refused"));
    part.args(["--chunk-samples", "4", "--part", "1/2", "--max-loss", "0"]);
    refuses(&mut part, 3, &["expected at most 0% of the events to be lost, got 0.1% (2 of ", "left of sample 17"]);
}

#[test]
fn a_tenth_is_not_too_much_and_more_is() {
    let camera =
        |late: usize| Camera::at(&(0..1000).map(|i| if i < 1000 - late { 5_000 } else { 70_000 }).collect::<Vec<_>>());
    for (late, expected) in [(100, false), (101, true)] {
        let bench = Bench::of(&camera(late));
        let found = bench.notes("set", &["--crop-time", "60000", "--max-loss", "10.1%"]);
        assert_eq!(found.iter().any(|note| note.starts_with("warning: CropTime")), expected, "{late}: {found:?}");
        let mut strict = convert(&[&bench.file], &bench.path("strict"));
        strict.args(SENSOR).args(["--crop-time", "60000", "--max-loss", "0.1"]);
        strict.assert().code(if expected { 3 } else { 0 });
        let mut stricter = convert(&[&bench.file], &bench.path("stricter"));
        stricter.args(SENSOR).args(["--crop-time", "60000", "--max-loss", "0.05"]);
        refuses(&mut stricter, 3, &["expected at most 5%", " of 1000): CropTime lost 10", "a larger --crop-time"]);
    }
}

#[test]
fn all_notes_are_in_the_json() {
    let dir = scratch();
    let mut mixed = Recording::of(vec![vec![(0.0, 1), (0.25, 8), (0.501, 300)], vec![], vec![(0.0, 1)]]);
    mixed.times[0] = vec![0.501, 0.25, 0.0];
    let file = mixed.write(&dir.join("b.h5"));
    let sorted = "1 samples had times out of order; they were sorted, equal times kept in order";
    let empty = "1 samples have no events; each was given empty frames";
    let what = "sample 0: disorder: 2 of 3 events are out of place, by up to 501 ms; they were sorted";
    assert_eq!(notes(&mut convert(&[&file], &dir.join("set"))), [what, sorted, empty]);
}

#[test]
fn a_dry_run_foretells_the_loss() {
    let mut camera = Camera::random(518, 500, 90_000);
    camera.t.iter_mut().for_each(|t| *t += 1_700_000_000_000_000);
    let bench = Bench::of(&camera);
    let found = bench.notes("none", &["--dry-run", "--crop-time", "400000"]);
    says(&found[0], &["warning: CropTime lost 100% of the events (500 of 500)"]);
    let mut command = convert(&[&bench.file], &bench.path("none"));
    command.args(SENSOR).args(["--dry-run", "--crop-time", "400000", "--max-loss", "10%"]);
    let said = refuses(&mut command, 3, &["expected at most 10% of the events to be lost, got 100%"]);
    assert!(!said.contains("--resume"), "nothing is there to be resumed: {said}");
    assert!(!bench.path("none").exists());

    let dir = scratch();
    let mut recording = Recording::random(519, 200, 50);
    recording.times_as = Times::F64;
    recording.times.iter_mut().flatten().for_each(|t| *t += 2.0);
    let file = recording.write(&dir.join("a.h5"));
    let found = notes(convert(&[&file], &dir.join("set")).arg("--dry-run"));
    says(&found[0], &["lost 100% of the events (", " (of 64 samples that were looked at): "]);
    for wrong in ["2", "-1", "101%", "x", "nan"] {
        let mut command = convert(&[&file], &dir.join("set"));
        command.arg(format!("--max-loss={wrong}"));
        refuses(&mut command, 2, &["expected a share from 0 to 1, such as 0.1 or 10%"]);
    }
}
