//! Tests of the event file for TensorBoard, of metrics.jsonl, and of the line that is printed after each epoch.
//! tests/python reads the event file with TensorBoard itself.

use std::path::{Path, PathBuf};

use crate::runs::epochs;
use crate::sets::{assert_says, fit, succeeds, task};

fn event_files(run: &Path) -> Vec<PathBuf> {
    let files = run.read_dir().unwrap().map(|file| file.unwrap().path());
    files.filter(|file| file.file_name().unwrap().to_str().unwrap().contains("tfevents")).collect()
}

/// Returns the data of each record of the event file.
fn records(run: &Path) -> Vec<Vec<u8>> {
    let [file] = &event_files(run)[..] else { panic!("{:?}", event_files(run)) };
    let bytes = std::fs::read(file).unwrap();
    let (mut rest, mut records) = (&bytes[..], Vec::new());
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        records.push(rest[12..12 + length].to_vec());
        rest = &rest[16 + length..];
    }
    records
}

fn has(record: &[u8], words: &str) -> bool {
    record.windows(words.len()).any(|part| part == words.as_bytes())
}

#[test]
fn the_event_file_has_all_epochs_once_after_a_resume() {
    let dir = task();
    let run = dir.path().join("run");
    succeeds(&mut fit(dir.path(), "run", "--valid DIR/valid --epochs 2 --quiet"));
    assert_eq!(event_files(&run).len(), 0);
    let resume = "--valid DIR/valid --test DIR/valid --tensorboard --quiet --resume --epochs";
    succeeds(&mut fit(dir.path(), "run", &format!("{resume} 3")));
    assert_eq!(records(&run).len(), 5); // version, three epochs, test
    succeeds(&mut fit(dir.path(), "run", &format!("{resume} 4 --lr 0.001")));
    let records = records(&run);
    assert_eq!(records.len(), 6);
    assert!(has(&records[0], "brain.Event:2"));
    for epoch in &records[1..5] {
        for tag in [
            "loss/train",
            "accuracy/valid",
            "learning_rate",
            "momentum",
            "spikes/layer_2",
            "silent/layer_1",
            "macro/valid_f1",
        ] {
            assert!(has(epoch, tag), "{tag}");
        }
    }
    assert!(has(&records[5], "accuracy/test"));
    let rates: Vec<Option<f64>> = epochs(&run).iter().map(|epoch| epoch.lr).collect();
    assert_eq!(rates, [Some(0.01), Some(0.01), Some(0.01), Some(0.001)]);
    // A new run in the folder removes the file of the old one, and no others.
    std::fs::write(run.join("events.out.tfevents.mine"), "x").unwrap();
    succeeds(&mut fit(dir.path(), "run", "--epochs 1 --overwrite --quiet"));
    assert_eq!(event_files(&run), [run.join("events.out.tfevents.mine")]);
}

#[test]
fn a_test_has_the_step_of_the_tested_epoch_and_a_resume_goes_on_with_the_file() {
    let dir = task();
    let run = dir.path().join("run");
    // With this learning rate, all epochs are equal, and the first is selected.
    let arguments = "--valid DIR/valid --test DIR/valid --select valid-loss --lr 1e-30 --quiet";
    succeeds(&mut fit(dir.path(), "run", &format!("{arguments} --epochs 2 --tensorboard")));
    // A record is a time (tag 9, eight bytes), a step (tag 16), and its scalars.
    let steps = || records(&run)[1..].iter().map(|record| (record[9], record[10])).collect::<Vec<_>>();
    assert_eq!(steps(), [(16, 1), (16, 2), (16, 1)]);
    succeeds(&mut fit(dir.path(), "run", &format!("{arguments} --epochs 3 --resume")));
    assert_eq!(steps(), [(16, 1), (16, 2), (16, 3), (16, 1)]);
}

/// The validation loss is always the plain cross entropy. The training loss is the plain cross entropy only in a run
/// without class weights, smoothing and penalties.
#[test]
fn a_loss_that_is_no_plain_cross_entropy_has_another_name() {
    let dir = task();
    let plain = ["", "class-weights none", "label-smoothing 0"];
    let others = ["class-weights balanced", "label-smoothing 0.1", "spike-rate 0.1,0.2"];
    let cases = plain.map(|option| (option, true)).into_iter().chain(others.map(|option| (option, false)));
    for (option, is_plain) in cases {
        let option = if option.is_empty() { String::new() } else { format!("--{option}") };
        let line = format!("--valid DIR/valid --epochs 1 --tensorboard --overwrite --quiet {option}");
        succeeds(&mut fit(dir.path(), "run", &line));
        let run = dir.path().join("run");
        let epoch = &records(&run)[1];
        assert_eq!([has(epoch, "loss/train"), has(epoch, "objective/train")], [is_plain, !is_plain], "{option}");
        assert!(has(epoch, "loss/valid"));
        let svg = std::fs::read_to_string(run.join("loss.svg")).unwrap();
        assert_eq!(svg.contains("objective of training"), !is_plain, "{option}");
    }
}

#[test]
fn the_epoch_line_says_the_time_that_is_left() {
    let dir = task();
    let said = succeeds(&mut fit(dir.path(), "run", "--valid DIR/valid --epochs 3"));
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("epoch ")).collect();
    assert_eq!(lines.len(), 3, "{said}");
    for line in &lines {
        assert_says(line, &["  valid loss ", " accuracy ", "  spikes ", "  silent ", " samples/s"]);
    }
    assert!(lines[..2].iter().all(|line| line.ends_with(" s left")) && !lines[2].contains("left"), "{said}");
}
