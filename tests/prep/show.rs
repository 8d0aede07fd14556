//! Tests of the tools that show a set as pictures, arrays and numbers.

use std::path::Path;

use serde_json::Value;

use super::recording::{
    Recording, change, contents, convert, json, png_size, prep, refuses, samples, says, scratch, stdout, tool,
};

#[test]
fn show_draws_a_picture_of_the_right_sample() {
    let dir = scratch();
    let set = dir.set(&Recording::random(80, 4, 800), &["--chunk-samples", "3"]);
    let picture = |sample: &str| {
        let png = dir.join(format!("{sample}.png"));
        let said = stdout(tool("show", &set).args(["--sample", sample, "--png"]).arg(&png));
        assert_eq!(png_size(&png), (1800, 840));
        (said, std::fs::read(png).unwrap())
    };
    let ((first, a), (last, b)) = (picture("0"), picture("3"));
    says(&first, &["sample 0: zero (", " events in ", "0.png"]);
    says(&last, &["sample 3: zero ("]);
    assert_ne!(a, b);
    assert_eq!(a, picture("0").1, "the same picture again");
}

#[test]
fn show_draws_a_raster_in_the_terminal() {
    let dir = scratch();
    // One event is in the lowest channel at the start, and one event is in the highest channel at the end.
    let recording = Recording::of(vec![vec![(0.0, 0), (0.9375, 699)]]);
    let set = dir.set(&recording, &[]);
    let text = stdout(&mut tool("show", &set));
    let lines: Vec<&str> = text.lines().collect();
    says(lines[0], &["sample 0: zero (2 events in 235 frames)"]);
    let [axes] = lines[lines.len() - 1..] else { panic!("no last line") };
    says(axes, &["time (ms) 0 to 940", "channels 0 to 99"]);
    let raster: Vec<Vec<char>> = lines[1..lines.len() - 1].iter().map(|l| l.chars().collect()).collect();
    assert_eq!((raster.len(), raster[0].len()), (24, 96));
    let dots: Vec<(usize, usize)> =
        (0..24).flat_map(|y| (0..96).map(move |x| (y, x))).filter(|&(y, x)| raster[y][x] != '\u{2800}').collect();
    assert_eq!(dots, [(0, 95), (23, 0)]);
}

#[test]
fn exported_arrays_are_the_frames() {
    let dir = scratch();
    let mut recording = Recording::random(81, 5, 300);
    recording.crowd(2, 300, 0.5, 7);
    let set = dir.set(&recording, &["--chunk-samples", "2"]);
    let out = dir.join("npy");
    tool("export", &set).arg("--npy").arg(&out).args(["--samples", "1..4", "--quiet"]).assert().success();
    let names: Vec<String> = contents(&out).into_keys().collect();
    assert_eq!(names, ["frames_1.npy", "frames_2.npy", "frames_3.npy", "labels.npy"]);
    let expected = samples(&set);
    for (i, sample) in expected.iter().enumerate().take(4).skip(1) {
        let bytes = std::fs::read(out.join(format!("frames_{i}.npy"))).unwrap();
        let npy = npyz::NpyFile::new(&bytes[..]).unwrap();
        assert_eq!(npy.shape(), sample.shape.map(|n| n as u64), "sample {i}");
        assert_eq!(npy.dtype().descr(), "'<u2'", "the set's count type");
        let counts: Vec<u32> = npy.into_vec::<u16>().unwrap().into_iter().map(u32::from).collect();
        assert_eq!(counts, sample.dense, "sample {i}");
    }
    assert_eq!(expected[2].dense[1], 300);
    let bytes = std::fs::read(out.join("labels.npy")).unwrap();
    assert_eq!(npyz::NpyFile::new(&bytes[..]).unwrap().into_vec::<i64>().unwrap(), [1, 2, 0]);
}

#[test]
fn an_export_leaves_no_stale_arrays_and_keeps_other_files() {
    let dir = scratch();
    let set = dir.set(&Recording::random(89, 5, 30), &[]);
    let out = dir.join("npy");
    let export = |arguments: &[&str]| {
        let mut command = tool("export", &set);
        command.arg("--npy").arg(&out).args(arguments).arg("--quiet");
        command
    };
    let names = || contents(&out).into_keys().collect::<Vec<_>>();
    dir.folder("npy");
    export(&["--samples", "0..4"]).assert().success();
    refuses(&mut export(&["--samples", "0..2"]), 2, &["npy exists already: it holds files", "--overwrite"]);
    assert_eq!(names().len(), 5);
    for mine in ["notes.npy", "frames_x.npy"] {
        std::fs::write(out.join(mine), "mine").unwrap();
    }
    export(&["--samples", "3..", "--overwrite"]).assert().success();
    assert_eq!(names(), ["frames_3.npy", "frames_4.npy", "frames_x.npy", "labels.npy", "notes.npy"]);
}

#[test]
fn info_says_the_same_to_people_and_scripts() {
    let dir = scratch();
    let recording = Recording::random(82, 5, 300);
    let set = dir.set(&recording, &["--chunk-samples", "2", "--shard-size", "1"]);
    let info = json(tool("info", &set).arg("--json"));
    let events: u64 = recording.times.iter().map(|t| t.len() as u64).sum();
    assert_eq!(info["samples"], 5);
    assert_eq!(info["shape"]["width"], 100);
    assert_eq!(info["classes"], serde_json::json!(["zero", "one", "two"]));
    assert_eq!(info["class_samples"], serde_json::json!([2, 2, 1]));
    assert_eq!(info["frame_limit"], 250);
    assert_eq!(info["ledger"]["events_in"], events);
    let source = std::fs::metadata(dir.join("a.h5")).unwrap().len();
    assert_eq!((info["source_bytes"].as_u64(), info["sources"][0]["name"].as_str()), (Some(source), Some("a.h5")));
    let stored: u64 = (0..3).map(|i| std::fs::metadata(set.join(format!("0000{i}.shard"))).unwrap().len()).sum();
    assert_eq!(
        (info["stored_bytes"].as_u64(), info["bytes_per_sample"].as_f64()),
        (Some(stored), Some(stored as f64 / 5.0))
    );
    let occupied: usize = samples(&set).iter().map(|s| s.dense.iter().filter(|n| **n > 0).count()).sum();
    let cells: usize = samples(&set).iter().map(|s| s.dense.len()).sum();
    assert_eq!(info["density"].as_f64().unwrap(), occupied as f64 / cells as f64);

    let text = stdout(&mut tool("info", &set));
    let id = info["set_id"].as_str().unwrap();
    says(&text, &[id, "zero (2), one (2), two (1)", "speaker", "(1, 1, 100)", "time_window = 4000", "a.h5 (5 samples"]);
    for name in ["events_in", "binned", "cropped", "filtered", "outside", "non_finite", "cut"] {
        let line = text.lines().find(|l| l.trim_start().starts_with(name)).unwrap();
        assert!(line.contains(&format!(" {} ", info["ledger"][name])), "{line}");
    }
}

#[test]
fn verify_and_convert_speak_json() {
    let dir = scratch();
    let set = dir.set(&Recording::random(83, 4, 100), &["--chunk-samples", "2"]);
    let info = json(tool("info", &set).arg("--json"));
    let whole = json(tool("verify", &set).arg("--json"));
    assert_eq!(whole, serde_json::json!({"whole": true, "quick": false, "faults": []}));
    let file = dir.join("a.h5");
    let made = json(convert(&[&file], &set).args(["--chunk-samples", "2", "--overwrite", "--json"]));
    assert_eq!(
        (&made["set_id"], &made["samples"], &made["ledger"]),
        (&info["set_id"], &info["samples"], &info["ledger"])
    );
    assert_eq!(
        (made["stored_bytes"].clone(), made["resumed_samples"].as_u64()),
        (info["stored_bytes"].clone(), Some(0))
    );

    // Both chunks are damaged. The full check names both, and --quick finds neither.
    change(&set.join("00000.shard"), |bytes| {
        let last = bytes.iter().rposition(|b| *b != 0).unwrap();
        bytes[last] ^= 1;
        bytes[256] ^= 1; // after the header and two records
    });
    let output = tool("verify", &set).arg("--json").assert().code(4);
    let faults: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert_eq!((&faults["whole"], faults["faults"].as_array().unwrap().len()), (&Value::Bool(false), 2));
    let said = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    says(&said, &["00000.shard: corrupt: chunk 0 (samples 0 to 1)", "00000.shard: corrupt: chunk 1 (samples 2 to 3)"]);
    assert_eq!(json(tool("verify", &set).args(["--quick", "--json"]))["whole"], true);
    refuses(&mut tool("show", &set), 4, &["00000.shard: corrupt: chunk 0"]);
}

#[test]
fn verify_names_the_faults_of_every_shard() {
    let dir = scratch();
    let set = dir.set(&Recording::random(88, 8, 100), &["--chunk-samples", "2", "--shard-size", "1"]);
    change(&set.join("00000.shard"), |bytes| bytes[20] ^= 1);
    change(&set.join("00002.shard"), |bytes| bytes[192 + 5] ^= 1); // after the header and a record
    std::fs::remove_file(set.join("00003.shard")).unwrap();
    let verify = |arguments: &[&str]| {
        let output = tool("verify", &set).args(arguments).arg("--json").assert().code(4).get_output().clone();
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        said["faults"].as_array().unwrap().iter().map(|fault| fault.as_str().unwrap().to_string()).collect::<Vec<_>>()
    };
    let faults = verify(&[]);
    assert_eq!(faults.len(), 3, "{faults:?}");
    says(&faults[0], &["00000.shard: corrupt: file length (chunk 0, samples 0 to 1)"]);
    says(&faults[1], &["00003.shard, which is not there (chunk 3, samples 6 to 7)"]);
    says(&faults[2], &["00002.shard: corrupt: chunk 2 (samples 4 to 5)"]);
    assert_eq!(verify(&["--quick"]).len(), 2);
}

fn synth(file: &Path, arguments: &[&str]) -> assert_cmd::Command {
    let mut command = prep();
    command.args(["synth", "-q"]).args(arguments).arg("-o").arg(file);
    command
}

#[test]
fn ranges_outside_the_set_are_usage_errors() {
    let dir = scratch();
    let set = dir.set(&Recording::random(84, 3, 20), &[]);
    let out = dir.join("npy");
    for range in ["0..4", "2..1", "4..", "..9"] {
        let words = ["--samples: expected a range A..B within 0..3, got "];
        refuses(tool("export", &set).arg("--npy").arg(&out).args(["--samples", range]), 2, &words);
    }
    for range in ["a..b", "3", "-1..2"] {
        refuses(tool("export", &set).arg("--npy").arg(&out).arg(format!("--samples={range}")), 2, &[]);
    }
    assert!(!out.exists());
    refuses(tool("show", &set).args(["--sample", "3"]), 2, &["--sample: expected 0 to 2, got 3"]);
    for flag in ["--samples", "--classes"] {
        refuses(&mut synth(&dir.join("s.h5"), &[flag, "0"]), 2, &[flag]);
    }
}

#[test]
fn synth_repeats_itself_and_its_seed_changes_it() {
    let dir = scratch();
    let set = |name: &str, seed: &str| {
        let file = dir.join(format!("{name}.h5"));
        synth(&file, &["--samples", "5", "--classes", "3", "--seed", seed]).assert().success();
        samples(&dir.convert(&[&file], name, &[]))
    };
    let first = set("a", "1");
    let again = dir.join("a.h5");
    let before = std::fs::read(&again).unwrap();
    refuses(&mut synth(&again, &[]), 2, &["a.h5 exists already"]);
    assert_eq!(std::fs::read(&again).unwrap(), before);
    assert!(first == set("b", "1") && first != set("c", "2"));
    assert!(first.iter().all(|s| s.label < 3 && (2000..16_000).contains(&s.ledger.events_in)));
}
