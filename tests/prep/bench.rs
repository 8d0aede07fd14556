//! Tests that `bench` makes the frames that `convert` would write, for every layout, and leaves no files behind.

use std::path::Path;

use serde_json::Value;
use tonic_toolkit::report::{Report, Work};
use tonic_toolkit::shard::FrameShape;

use super::camera::Camera;
use super::recording::{Recording, Scratch, manifest, prep, refuses, says, scratch, stdout};

fn bench(arguments: &[&str]) -> assert_cmd::Command {
    let mut command = prep();
    command.arg("bench").args(arguments);
    command
}

fn measured(arguments: &[&str]) -> Value {
    let output = bench(&[arguments, &["--json"]].concat()).assert().success().get_output().clone();
    assert!(output.stderr.is_empty(), "--json says nothing else");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Asserts that `bench` makes the frames that `convert` makes with these arguments.
fn assert_frames_of_the_set(folder: &Scratch, recording: &Path, arguments: &[&str]) {
    let out = folder.convert(&[recording], "set", &[&["--overwrite"], arguments].concat());
    let before = std::fs::read_dir(folder).unwrap().count();
    let manifest = manifest(&out);
    let naive = measured(&[&[recording.to_str().unwrap(), "--threads", "2"], arguments].concat());
    assert_eq!(naive["samples"], manifest.description.samples);
    assert_eq!(naive["entries"], manifest.totals.entries);
    assert_eq!(naive["events"], manifest.totals.ledger.events_in);
    assert_eq!(naive["steps"], manifest.totals.max_frames);
    assert_eq!(naive["recipe"], manifest.description.recipe);
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), before, "nothing is written");
}

#[test]
fn naive_frames_are_those_of_the_set() {
    let folder = scratch();
    let speech = Recording::random(901, 21, 120).write(&folder.join("speech.h5"));
    assert_frames_of_the_set(&folder, &speech, &[]);
    assert_frames_of_the_set(&folder, &speech, &["--channels", "30", "--time-window", "20000"]);
    let surfaces = folder.file("surfaces.toml", "[frames]\nname = \"ToVoxelGrid\"\nn_time_bins = 5\n");
    let camera = Camera::random(902, 3_000, 400_000).dsec(&folder.join("camera.h5"));
    let options = ["--sensor", "40,30,2", "--sample-duration", "50ms"];
    assert_frames_of_the_set(&folder, &camera, &options);
    assert_frames_of_the_set(&folder, &camera, &[&options[..], &["--recipe", surfaces.to_str().unwrap()]].concat());
    let array = Camera::random(903, 500, 100_000).npy(&folder.join("array.npy"));
    assert_frames_of_the_set(&folder, &array, &["--sensor", "40,30,2"]);
}

#[test]
fn bench_prints_a_report() {
    let folder = scratch();
    let speech = Recording::random(904, 21, 120).write(&folder.join("speech.h5"));
    let speech = speech.to_str().unwrap();
    let naive = measured(&[speech, "--batch-size", "8", "--samples", "10", "--threads", "3"]);
    let json = folder.file("naive.json", naive.to_string());
    let report = Report::<FrameShape>::read(&json).unwrap();
    assert_eq!((report.batch_size, &naive["samples"]), (8, &Value::from(10)));
    assert_eq!(report.recipe.as_deref(), naive["recipe"].as_str());
    let names: Vec<&str> = report.strategies.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["naive HDF5, 1 thread", "naive HDF5, 3 threads"]);
    let bytes = std::fs::metadata(speech).unwrap().len() as f64 / 21.0;
    for strategy in &report.strategies {
        assert_eq!((strategy.work, &strategy.reason), (Work::Loading, &None));
        assert!((strategy.bytes_per_sample.unwrap() / bytes - 1.0).abs() < 0.01, "{strategy:?}");
        let epoch = strategy.epoch_seconds_at_ssc.unwrap() * strategy.samples_per_second.unwrap();
        assert!((epoch - 75_466.0).abs() < 1.0, "{strategy:?}");
        // Batches have 8 or 2 samples. If all samples are used equally often, there are as many batches of 8 as of 2.
        assert!((4.0..7.0).contains(&(strategy.samples_per_second.unwrap() / strategy.batches_per_second.unwrap())));
    }
    let one = measured(&[speech, "--threads", "1"]);
    assert_eq!(one["strategies"].as_array().unwrap().len(), 1);
    let text = stdout(&mut bench(&[speech, "--threads", "1", "--quiet"]));
    says(&text, &["naive HDF5, 1 thread", "samples/s", "bytes a sample", "21 samples of"]);
}

#[test]
fn nonsense_is_refused() {
    let folder = scratch();
    let speech = Recording::random(905, 5, 60).write(&folder.join("speech.h5"));
    let speech = speech.to_str().unwrap();
    for arguments in [["--samples", "0"], ["--batch-size", "0"], ["--threads", "0"], ["--output", "set"]] {
        refuses(&mut bench(&[&[speech], &arguments[..]].concat()), 2, &[]);
    }
    refuses(&mut bench(&["nowhere.h5"]), 1, &["nowhere.h5: cannot open the recording"]);
    let vast = Camera::at(&(0..40).map(|i| i * 1_000_000).collect::<Vec<_>>()).dsec(&folder.join("vast.h5"));
    let arguments = [vast.to_str().unwrap(), "--sensor", "1280,720,2", "--time-window", "1000", "--threads", "1"];
    refuses(&mut bench(&arguments), 2, &["--batch-size: expected at most 0 samples", "4 GiB on 1 threads", "got 1"]);
    let mut wrong = Recording::random(906, 5, 60);
    wrong.units[3][7] = 700;
    let wrong = wrong.write(&folder.join("wrong.h5"));
    refuses(&mut bench(&[wrong.to_str().unwrap()]), 3, &["sample 3: event 7: expected a unit below 700"]);
    bench(&[wrong.to_str().unwrap(), "--lenient"]).assert().success();
}
