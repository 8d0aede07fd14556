//! Tests of `diff`, `ls`, `stats` and `cat`.

use std::path::Path;

use serde_json::{Value, json};
use tonic_toolkit::shard::{NO_LABEL, ShardSet, Width};

use super::made::{Frame, Set};
use super::recording::{
    Recording, change, contents, json, png_size, prep, refuses, samples, says, scratch, shell, stdout, tool,
};

/// A sample: label, speaker, and its entries (frame, cell, value) in ascending order.
type Made = (u32, i64, Vec<(u32, u32, f32)>);

/// Writes a set of these samples, in chunks of 2 samples. Each sample has `frames` frames.
fn make_set(dir: &Path, counts: Width, frames: u32, made: &[Made]) {
    let frame = |entries: &[(u32, u32, f32)], t| -> Frame {
        entries.iter().filter(|entry| entry.0 == t).map(|entry| (entry.1, entry.2.into())).collect()
    };
    let samples = made.iter().map(|sample| (0..frames).map(|t| frame(&sample.2, t)).collect()).collect();
    let rows = made.iter().map(|sample| (sample.0, sample.1)).collect();
    let set = Set { extras: vec!["speaker".into()], cropped: 1, rows, ..Set::new(CAMERA, counts, samples) };
    set.write(dir);
}

/// Frame shape of a camera: 2 polarities, 3 rows, 4 columns.
const CAMERA: [u32; 3] = [2, 3, 4];

fn camera() -> Vec<Made> {
    vec![
        (0, 7, vec![(0, 0, 1.0), (0, 23, 3.0), (2, 5, 2.0)]),
        (1, 8, vec![(1, 13, 9.0)]),
        (0, 7, vec![]),
        (NO_LABEL, 9, vec![(0, 5, 1.0), (1, 5, 1.0), (2, 5, 1.0)]),
        (1, -3, vec![(2, 22, 200.0)]),
    ]
}

fn surfaces() -> Vec<Made> {
    let mut made = camera();
    made.iter_mut().flat_map(|m| &mut m.2).for_each(|e| e.2 *= -0.1);
    made
}

/// Compares two sets that differ. Returns the output of `diff` as JSON and as text.
fn difference(a: &Path, b: &Path) -> (Value, String) {
    let run = |arguments: &[&str]| {
        let output = prep().arg("diff").arg(a).arg(b).args(arguments).assert().code(4).get_output().clone();
        String::from_utf8(output.stdout).unwrap()
    };
    (serde_json::from_str(&run(&["--json"])).unwrap(), run(&["--quiet"]))
}

#[test]
fn sets_of_the_same_content_are_equal_with_any_compression() {
    let dir = scratch();
    let file = Recording::random(320, 21, 200).write(&dir.join("a.h5"));
    let set = |name: &str, arguments: &[&str]| {
        let size = if arguments.contains(&"--chunk-samples") { &[][..] } else { &["--chunk-samples", "4"] };
        dir.convert(&[&file], name, &[size, arguments].concat())
    };
    let (a, b) = (set("a", &[]), set("b", &["--level", "19", "--shard-size", "1"]));
    assert!(contents(&a) != contents(&b));
    says(&stdout(prep().arg("diff").arg(&a).arg(&b)), &["equal: 21 samples"]);
    let equal = json(prep().arg("diff").arg(&a).arg(&b).arg("--json"));
    assert_eq!((&equal["equal"], &equal["compared_samples"]), (&json!(true), &json!(21)));

    // A set with chunks of another size, and with equal samples.
    let (said, text) = difference(&a, &set("c", &["--chunk-samples", "5"]));
    assert_eq!(said["fields"], json!([{"field": "chunk_samples", "a": "4", "b": "5"}]));
    assert_eq!((&said["equal"], &said["only_layout_differs"]), (&json!(false), &json!(true)));
    says(&text, &["chunk_samples: 4 | 5\ndifferent layout: all 21 samples are equal, but not the chunks"]);
    assert_eq!((&said["compared_samples"], &said["differing_samples"]), (&json!(21), &json!(0)));
    // A shorter set. Only the samples that both sets have are compared.
    let (said, text) = difference(&a, &set("d", &["--limit", "10"]));
    says(&text, &["different: samples; the 10 samples that both have are equal"]);
    assert_eq!(said["fields"], json!([{"field": "samples", "a": "21", "b": "10"}]));
    assert_eq!((&said["compared_samples"], &said["differing_samples"]), (&json!(10), &json!(0)));
    // Sets with another frame shape cannot be compared; sets with another recipe can.
    let (said, text) = difference(&a, &set("e", &["--channels", "70"]));
    assert_eq!(said["fields"][0], json!({"field": "shape", "a": "(1, 1, 100)", "b": "(1, 1, 70)"}));
    says(&text, &["shape: (1, 1, 100) | (1, 1, 70)", "different: the samples cannot be compared"]);
    let (said, text) = difference(&a, &set("f", &["--crop-time", "500000"]));
    assert_eq!(said["fields"][0]["field"], "recipe");
    says(
        &text,
        &[
            "recipe: CropTime.max = 1000000 | CropTime.max = 500000\n",
            "different: 21 of 21 samples",
            "and 1 more samples",
        ],
    );
}

#[test]
fn a_difference_is_named_down_to_the_cell() {
    let dir = scratch();
    make_set(&dir.join("a"), Width::U8, 3, &camera());
    let differs = |name: &str, change: &dyn Fn(&mut Vec<Made>)| {
        let mut made = camera();
        change(&mut made);
        make_set(&dir.join(name), Width::U8, 3, &made);
        let (said, text) = difference(&dir.join("a"), &dir.join(name));
        assert_eq!(said["equal"], json!(false));
        (said["chunks"].clone(), said["samples"].clone(), text)
    };
    let (chunks, found, text) = differs("label", &|made| made[3].0 = 1);
    assert_eq!(chunks, json!([1]));
    assert_eq!(found, json!([{"sample": 3, "fields": {"label": ["no label", "right"]}, "entry": null}]));
    says(&text, &["chunks: 1\n", "sample 3: label \"no label\" | \"right\"", "different: 1 of 5 samples"]);

    let (_, found, text) = differs("count", &|made| made[0].2[1].2 = 4.0);
    assert_eq!(found[0]["fields"], json!({"events_in": [7, 8], "binned": [6, 7]}));
    assert_eq!(found[0]["entry"], json!({"frame": 0, "p": 1, "y": 2, "x": 3, "values": [3.0, 4.0]}));
    says(&text, &["frame 0, cell (p 1, y 2, x 3): 3 | 4"]);

    // An entry that only one of the sets has.
    let (_, found, _) = differs("more", &|made| made[2].2.push((1, 6, 5.0)));
    assert_eq!(found[0]["entry"], json!({"frame": 1, "p": 0, "y": 1, "x": 2, "values": [0.0, 5.0]}));
    let (_, found, _) = differs("moved", &|made| made[1].2[0].1 = 12);
    assert_eq!(found[0]["fields"], json!({}));
    assert_eq!(found[0]["entry"], json!({"frame": 1, "p": 1, "y": 0, "x": 0, "values": [0.0, 9.0]}));
    let (chunks, found, _) = differs("speaker", &|made| (made[0].1, made[4].1) = (70, 3));
    assert_eq!((chunks, found[1]["fields"].clone()), (json!([0, 2]), json!({"speaker": [-3, 3]})));

    make_set(&dir.join("frames"), Width::U8, 4, &camera());
    let (said, _) = difference(&dir.join("a"), &dir.join("frames"));
    assert_eq!(said["samples"][2]["fields"], json!({"number of frames": [3, 4]}));
    make_set(&dir.join("wide"), Width::U16, 3, &camera());
    let (said, _) = difference(&dir.join("a"), &dir.join("wide"));
    assert_eq!(said["fields"], json!([{"field": "counts", "a": "u8", "b": "u16"}]));
    assert_eq!(said["differing_samples"], 0);

    make_set(&dir.join("surface"), Width::F32, 3, &surfaces());
    let mut other = surfaces();
    other[4].2[0].2 = -20.5;
    make_set(&dir.join("surface2"), Width::F32, 3, &other);
    let (said, text) = difference(&dir.join("surface"), &dir.join("surface2"));
    assert_eq!(said["differing_samples"], 1);
    says(&text, &["sample 4: frame 2, cell (p 1, y 2, x 2): -20 | -20.5"]);
}

#[test]
fn a_sample_is_written_as_text() {
    let dir = scratch();
    let (counts, values) = (dir.join("counts"), dir.join("values"));
    make_set(&counts, Width::U8, 3, &camera());
    make_set(&values, Width::F32, 3, &surfaces());
    let text = stdout(tool("cat", &counts).args(["--sample", "0"]));
    assert_eq!(text, "frame\tp\ty\tx\tcount\n0\t0\t0\t0\t1\n0\t1\t2\t3\t3\n2\t0\t1\t1\t2\n");
    let value = json(tool("cat", &counts).args(["--sample", "0", "--json"]));
    assert_eq!(value["entries"], json!([[0, 0, 0, 0, 1], [0, 1, 2, 3, 3], [2, 0, 1, 1, 2]]));
    assert_eq!((&value["frames"], &value["class"], &value["shape"]["width"]), (&json!(3), &json!("left"), &json!(4)));
    let text = stdout(tool("cat", &values).args(["--sample", "0"]));
    assert_eq!(text, "frame\tp\ty\tx\tcount\n0\t0\t0\t0\t-0.1\n0\t1\t2\t3\t-0.3\n2\t0\t1\t1\t-0.2\n");
    assert_eq!(json(tool("cat", &values).args(["--sample", "2", "--json"]))["entries"], json!([]));
    refuses(tool("cat", &counts).args(["--sample", "5"]), 2, &["--sample: expected 0 to 4, got 5"]);
}

#[test]
fn samples_and_chunks_are_listed() {
    let dir = scratch();
    let set = dir.join("set");
    make_set(&set, Width::U8, 3, &camera());
    let text = stdout(&mut tool("ls", &set));
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["sample", "label", "frames", "entries", "events_in", "binned", "flags", "speaker"]);
    assert_eq!(lines[1], ["0", "left", "3", "3", "7", "6", "-", "7"]);
    assert_eq!(lines[4], ["3", "no", "label", "3", "3", "4", "3", "-", "9"]);
    assert_eq!(lines.len(), 6);
    let text = stdout(tool("ls", &set).args(["--samples", "1..", "--class", "right", "--json"]));
    let found: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(found.iter().map(|v| v["sample"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 4]);
    assert_eq!(found[1]["extras"], json!({"speaker": -3}));
    assert_eq!((&found[1]["label"], &found[1]["ledger"]["cropped"]), (&json!(1), &json!(1)));
    assert_eq!(stdout(tool("ls", &set).args(["--class", "1"])).lines().count(), 3, "by number, too");
    refuses(tool("ls", &set).args(["--class", "up"]), 2, &["class: expected a class's name, such as left"]);
    refuses(tool("ls", &set).args(["--samples", "2..9"]), 2, &["a range A..B within 0..5, got 2..9"]);

    let text = stdout(tool("ls", &set).arg("--shards"));
    says(&text, &["00000.shard  samples 0..4 ", "00001.shard  samples 4..5 ", "samples              4..5"]);
    assert_eq!(text.lines().count(), 2 + 3);
    let opened = ShardSet::open(&set).unwrap();
    let text = stdout(tool("ls", &set).args(["--shards", "--json"]));
    for (line, identity) in text.lines().zip(opened.identities()) {
        let value: Value = serde_json::from_str(line).unwrap();
        assert_eq!(value["identity"], blake3::Hash::from_bytes(identity).to_string());
    }
}

#[test]
fn long_lists_end_quietly_when_the_pipe_is_closed() {
    let dir = scratch();
    let entries = |t: u32| (0..12).map(move |cell| (t, cell, 1.0));
    let made: Vec<Made> = (0..40).map(|i| (0, i, (0..200).flat_map(entries).collect())).collect();
    let set = dir.join("set");
    make_set(&set, Width::U8, 200, &made);
    for arguments in ["cat --sample 3", "cat --json", "ls --json --samples ..40", "ls --shards"] {
        let (command, options) = arguments.split_once(' ').unwrap();
        let script = format!("\"$0\" {command} \"$1\" {options} | head -c 20");
        let output = shell("bash", &format!("set -o pipefail; {script}"), &[&set]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && said.is_empty(), "{arguments}: {:?} {said}", output.status);
    }
}

#[test]
fn statistics_are_those_of_the_samples() {
    let dir = scratch();
    let set = dir.set(&Recording::random(321, 23, 6000), &["--chunk-samples", "4"]);
    let said = json(tool("stats", &set).arg("--json"));
    let all = samples(&set);
    let mut events: Vec<u64> = all.iter().map(|s| s.ledger.events_in).collect();
    events.sort_unstable();
    let mean = events.iter().sum::<u64>() as f64 / 23.0;
    let expected = json!({"min": events[0], "median": events[11], "mean": mean, "max": events[22]});
    let close = |a: &Value, b: &Value| (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-9;
    for name in ["min", "median", "mean", "max"] {
        assert!(close(&said["events_a_sample"][name], &expected[name]), "{name}: {said}");
    }
    let counted: Vec<u64> =
        said["classes"].as_array().unwrap().iter().map(|c| c["samples"].as_u64().unwrap()).collect();
    assert_eq!(counted, [8, 8, 7]);
    let frames: usize = all.iter().map(|s| s.shape[0]).sum();
    let of_channel = |x: usize| all.iter().flat_map(|s| s.dense.chunks(100)).map(|f| u64::from(f[x])).sum::<u64>();
    for x in [0, 50, 99] {
        let rate = of_channel(x) as f64 / (frames as f64 * 0.004);
        assert!((said["rates"][x].as_f64().unwrap() - rate).abs() < 1e-6, "channel {x}");
    }
    let occupied = |n: u32| all.iter().flat_map(|s| &s.dense).filter(|&&count| count == n).count() as u64;
    assert_eq!(said["counts"][0], json!({"from": 1, "to": 1, "entries": occupied(1)}));
    assert_eq!(said["counts"][2], json!({"from": 3, "to": 4, "entries": occupied(3) + occupied(4)}));
    assert_eq!(said["rate_unit"], "Hz");
    let shares: f64 = said["ledger_shares"].as_object().unwrap().values().map(|v| v.as_f64().unwrap()).sum();
    assert!((shares - 2.0).abs() < 1e-9, "all that came in, and where it went");
    let one = json(tool("stats", &set).env("RAYON_NUM_THREADS", "1").arg("--json"));
    assert_eq!(one, said, "on any number of threads");
    says(&stdout(&mut tool("stats", &set)), &["events a sample", "Hz by cell", "the busiest is channel", "ledger"]);
}

#[test]
fn statistics_of_cameras_and_surfaces() {
    let dir = scratch();
    make_set(&dir.join("counts"), Width::U8, 3, &camera());
    make_set(&dir.join("surface"), Width::F32, 3, &surfaces());
    let said = json(tool("stats", &dir.join("counts")).arg("--json"));
    // 15 frames of 10 ms; cell 5 has 2 + 3 events.
    assert!((said["rates"][5].as_f64().unwrap() - 5.0 / 0.15).abs() < 1e-9);
    assert_eq!((&said["unlabelled"], &said["silent_cells"]), (&json!(1), &json!(24 - 5)));
    assert_eq!(said["counts"].as_array().unwrap().len(), 9, "up to 129 to 256");
    says(&stdout(&mut tool("stats", &dir.join("counts"))), &["the busiest is p 1, y 2, x 2", "no label"]);

    let said = json(tool("stats", &dir.join("surface")).arg("--json"));
    assert_eq!(said["rate_unit"], "share of frames");
    assert_eq!((said["rates"][5].as_f64(), said["counts"].as_array().unwrap().len()), (Some(4.0 / 15.0), 0));
    assert_eq!(said["values"]["min"].as_f64().unwrap() as f32, -20.0);
    assert!((said["values"]["mean"].as_f64().unwrap() - -21.8 / 8.0).abs() < 1e-6, "{said}");
    says(&stdout(&mut tool("stats", &dir.join("surface"))), &["values of occupied cells\n  -20 to -0.1"]);

    for name in ["counts", "surface"] {
        let png = dir.join(format!("{name}.png"));
        tool("stats", &dir.join(name)).arg("--png").arg(&png).assert().success();
        assert_eq!(png_size(&png), (1920, 2 * (44 + 3 * 300)), "five panels, two in a row");
    }
}

#[test]
fn every_tool_refuses_damaged_and_incomplete_sets() {
    let dir = scratch();
    for name in ["whole", "damaged", "incomplete"] {
        make_set(&dir.join(name), Width::U8, 3, &camera());
    }
    change(&dir.join("damaged/00000.shard"), |bytes| bytes[128 + 2 * 64 + 9] ^= 1);
    std::fs::remove_file(dir.join("incomplete").join("manifest.json")).unwrap();
    let out = dir.join("out");
    let (whole, none) = (dir.join("whole"), dir.join("none"));
    for (set, code, words) in [
        (dir.join("damaged"), 4, ["00000.shard: corrupt: chunk 0 (samples 0 to 1)", "expected"]),
        (dir.join("incomplete"), 4, ["incomplete: the set is incomplete", "--resume"]),
        (none, 1, ["none: cannot open the set", "No such file"]),
    ] {
        for arguments in [
            vec![Path::new("ls"), &set],
            vec![Path::new("cat"), &set],
            vec![Path::new("stats"), &set],
            vec![Path::new("merge"), &out, &whole, &set],
            vec![Path::new("subset"), &out, &set],
        ] {
            refuses(prep().args(&arguments).arg("--quiet"), code, &words);
            assert!(ShardSet::open(&out).is_err(), "{arguments:?}");
            let _ = std::fs::remove_dir_all(&out);
        }
    }
    // diff reads only the chunks whose identities differ.
    let mut made = camera();
    made[0].0 = 1;
    make_set(&dir.join("other"), Width::U8, 3, &made);
    let words = ["00000.shard: corrupt: chunk 0 (samples 0 to 1)"];
    refuses(tool("diff", &dir.join("other")).arg(dir.join("damaged")), 4, &words);
}

/// Runs a command with `--json`. Returns the JSON object that it prints, which must have all of `keys`.
fn says_json(command: &mut assert_cmd::Command, keys: &str) -> Value {
    let output = command.arg("--json").assert().success().get_output().clone();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{command:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.trim_end().lines().count(), 1, "{command:?}: {text}");
    let said: Value = serde_json::from_str(&text).unwrap();
    for key in keys.split(' ') {
        assert!(said.get(key).is_some(), "{command:?}: no {key} in {said}");
    }
    said
}

#[test]
fn every_command_that_writes_says_what_it_wrote_as_json() {
    const SET: &str = "path set_id samples classes class_samples stored_bytes ledger notes";
    let dir = scratch();
    let set = dir.set(&Recording::random(71, 12, 60), &[]);
    let id = |set: &Path| json!(ShardSet::open(set).unwrap().manifest().set_id);
    let size = |name: &str| json!(dir.join(name).metadata().unwrap().len());

    let said = says_json(prep().arg("merge").arg(dir.join("merged")).args([&set, &set]), SET);
    assert_eq!((&said["samples"], &said["path"]), (&json!(24), &json!(dir.join("merged"))));
    assert_eq!(said["set_id"], id(&dir.join("merged")));
    let said = says_json(prep().arg("subset").arg(dir.join("some")).arg(&set).args(["--samples", "..5"]), SET);
    assert_eq!((&said["samples"], &said["set_id"]), (&json!(5), &id(&dir.join("some"))));
    let split = ["--split", "0.5,0.25", "--into", "train,test"];
    let said = says_json(prep().arg("subset").arg(dir.join("split")).arg(&set).args(split), "sets");
    for (i, (name, samples)) in [("train", 6), ("test", 3)].into_iter().enumerate() {
        let (one, path) = (&said["sets"][i], dir.join("split").join(name));
        assert_eq!((&one["path"], &one["samples"]), (&json!(path), &json!(samples)));
        assert_eq!(one["set_id"], id(&path));
    }
    let said = says_json(
        tool("export", &set).arg("--npy").arg(dir.join("npy")).args(["--samples", "2..6"]),
        "path labels set_id first_sample samples bytes notes",
    );
    assert_eq!((&said["first_sample"], &said["samples"]), (&json!(2), &json!(4)));
    let bytes: usize = contents(&dir.join("npy")).values().map(Vec::len).sum();
    assert_eq!((&said["bytes"], contents(&dir.join("npy")).len()), (&json!(bytes), 5));
    let said = says_json(
        tool("show", &set).args(["--sample", "3", "--png"]).arg(dir.join("3.png")),
        "sample class frames events shape path bytes notes",
    );
    assert_eq!((&said["path"], &said["bytes"]), (&json!(dir.join("3.png")), &size("3.png")));
    let drawn = says_json(&mut tool("show", &set), "sample class raster notes");
    assert!(stdout(&mut tool("show", &set)).contains(drawn["raster"].as_str().unwrap()));
    let said = says_json(
        prep().arg("synth").arg("-o").arg(dir.join("made.h5")).args(["--samples", "3", "--classes", "2"]),
        "path samples classes seed bytes notes",
    );
    assert_eq!((&said["samples"], &said["bytes"]), (&json!(3), &size("made.h5")));
    says_json(tool("repair", &set).arg("--from").arg(dir.join("a.h5")), "path whole shards lost faults notes");
}

#[cfg(not(feature = "remote"))]
#[test]
fn commands_for_servers_say_which_build_has_them() {
    for words in [
        &["push", "set", "s3://lab/x"][..],
        &["pull", "--lock", "x.toml"],
        &["prune", "x"],
        &["fetch", "nmnist"],
        &["info", "s3://a/b"],
    ] {
        refuses(prep().args(words), 2, &["feature remote", "--features train,remote"]);
    }
}
