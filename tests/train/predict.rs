//! Tests that `predict` writes the logits from which `eval` computes loss and accuracy.

use std::path::Path;

use assert_cmd::Command;
use serde_json::{Value, json};
use tonic_toolkit::shard::NO_LABEL;

use crate::sets::{
    self, ENGINES, Sample, Spec, argmax, eval, fails, fit, learnable, predict_on, succeeds, task, train,
};

/// Returns the command that writes predictions of `dir/<run>` on `dir/<data>` to `dir/<out>`, on the CPU.
fn predict(dir: &Path, run: &str, data: &str, out: &str) -> Command {
    predict_on("cpu", dir, run, data, out)
}

/// Returns the bits of the logits in `folder`, a row for each sample.
fn logits(folder: &Path) -> Vec<Vec<u32>> {
    sets::logits(folder).iter().map(|row| row.iter().map(|logit| logit.to_bits()).collect()).collect()
}

/// Returns the cells of predictions.csv, a row for each line.
fn rows(folder: &Path) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(folder.join("predictions.csv")).unwrap();
    text.lines().map(|line| line.split(',').map(String::from).collect()).collect()
}

#[test]
fn logits_are_those_of_an_evaluation() {
    let dir = task();
    for engine in ENGINES {
        for pad in ["fixed", "batch"] {
            let (run, out) = (format!("run-{engine}-{pad}"), format!("out-{engine}-{pad}"));
            let options = format!("--engine {engine} --pad {pad} --epochs 1 --quiet");
            succeeds(&mut fit(dir.path(), &run, &options));
            let judged = sets::json(&mut eval(dir.path(), &run, "train"));
            let said = sets::json(&mut predict(dir.path(), &run, "train", &out));
            assert_eq!(said, json!({"samples": 120, "labelled": 120, "classes": ["low", "middle", "high"]}));

            let names = ["low", "middle", "high"];
            let rows = rows(&dir.path().join(&out));
            assert_eq!(rows[0], ["sample", "label", "predicted", "low", "middle", "high"]);
            let (mut confusion, mut loss) = (vec![vec![0; 3]; 3], 0.0);
            for (i, (logits, row)) in sets::logits(&dir.path().join(&out)).into_iter().zip(&rows[1..]).enumerate() {
                let predicted = argmax(&logits);
                assert_eq!(row[..3], [i.to_string(), names[i % 3].into(), names[predicted].into()]);
                assert_eq!(row[3..].iter().map(|cell| cell.parse().unwrap()).collect::<Vec<f32>>(), logits);
                confusion[i % 3][predicted] += 1;
                let sum: f64 = logits.iter().map(|&logit| f64::from(logit).exp()).sum();
                loss += sum.ln() - f64::from(logits[i % 3]);
            }
            assert_eq!((rows.len(), judged["confusion"].clone()), (121, json!(confusion)));
            let expected = judged["loss"].as_f64().unwrap();
            assert!((loss / 120.0 - expected).abs() < 1e-5 * expected, "{loss} {expected}");
        }
    }
}

#[test]
fn samples_are_in_the_order_of_the_set_and_need_no_labels() {
    let dir = task();
    succeeds(&mut fit(dir.path(), "run", "--valid DIR/valid --epochs 2 --quiet"));
    let write = |name: &str, classes: &[&str], sample: &dyn Fn(u64) -> Sample| {
        let classes = classes.iter().map(|name| (*name).to_string()).collect();
        Spec { classes, ..Spec::new(60, 9) }.write(&dir.path().join(name), sample);
    };
    let names = ["low", "middle", "high"];
    write("reversed", &names, &|i| learnable(2)(59 - i));
    write("unlabelled", &names, &|i| Sample { label: NO_LABEL, ..learnable(2)(i) });
    write("no-classes", &[], &|i| Sample { label: NO_LABEL, ..learnable(2)(i) });
    write("some", &names, &|i| if i < 20 { learnable(2)(i) } else { Sample { label: NO_LABEL, ..learnable(2)(i) } });
    let predicted = |data: &str, labelled: u64| {
        let said: Value = sets::json(&mut predict(dir.path(), "run", data, &format!("of-{data}")));
        assert_eq!(said, json!({"samples": 60, "labelled": labelled, "classes": names}));
        (logits(&dir.path().join(format!("of-{data}"))), rows(&dir.path().join(format!("of-{data}"))))
    };
    let (expected, table) = predicted("valid", 60);
    let mut backwards = predicted("reversed", 60).0;
    backwards.reverse();
    assert_eq!(backwards, expected);
    for (data, labelled) in [("unlabelled", 0), ("no-classes", 0), ("some", 20)] {
        let (logits, rows) = predicted(data, labelled as u64);
        assert_eq!(logits, expected);
        for (i, (row, full)) in rows[1..].iter().zip(&table[1..]).enumerate() {
            assert_eq!(row[1], if i < labelled { full[1].as_str() } else { "" });
            assert_eq!((&row[0], &row[2..]), (&full[0], &full[2..]));
        }
    }
    let best = sets::json(predict(dir.path(), "run", "valid", "best").arg("--best"));
    assert_eq!(best["samples"], 60);
}

#[test]
fn a_folder_with_files_and_a_set_of_other_classes_are_refused() {
    let dir = task();
    succeeds(&mut fit(dir.path(), "run", "--epochs 1 --quiet"));
    let out = dir.path().join("out");
    let other = Spec { classes: ["low", "high", "middle"].map(String::from).to_vec(), ..Spec::new(9, 4) };
    other.write(&dir.path().join("other"), learnable(1));
    fails(&mut predict(dir.path(), "run", "other", "out"), 4, &["classes differs", "got low, high, middle"]);
    fails(&mut predict(dir.path(), "none", "train", "out"), 1, &["none/config.toml", "name the run folder"]);
    assert!(!out.exists());

    succeeds(predict(dir.path(), "run", "train", "out").arg("--quiet"));
    let before = std::fs::read(out.join("logits.npy")).unwrap();
    std::fs::write(out.join("notes.txt"), "mine").unwrap();
    fails(&mut predict(dir.path(), "run", "valid", "out"), 2, &["out exists already", "--overwrite"]);
    assert_eq!(std::fs::read(out.join("logits.npy")).unwrap(), before);
    succeeds(predict(dir.path(), "run", "valid", "out").arg("--overwrite"));
    assert_eq!((logits(&out).len(), rows(&out).len()), (60, 61));
    assert_eq!(std::fs::read_to_string(out.join("notes.txt")).unwrap(), "mine");
}

#[test]
fn names_of_classes_are_quoted_as_csv() {
    let dir = tempfile::tempdir().unwrap();
    let names = ["\u{1b}[2J,", "a\r\n\"b\"", "label"];
    let spec = Spec { classes: names.map(String::from).to_vec(), ..Spec::new(24, 8) };
    spec.write(&dir.path().join("train"), learnable(1));
    succeeds(&mut fit(dir.path(), "run", "--epochs 1 --quiet"));
    assert_eq!(sets::json(&mut predict(dir.path(), "run", "train", "out"))["classes"], json!(names));
    let text = std::fs::read_to_string(dir.path().join("out/predictions.csv")).unwrap();
    let [first, second] = ["\"\u{1b}[2J,\"", "\"a\r\n\"\"b\"\"\""];
    assert!(text.starts_with(&format!("sample,label,predicted,{first},{second},label\r\n0,{first},")), "{text:?}");
    assert!(text.contains(&format!("\r\n1,{second},")) && text.contains("\r\n2,label,"), "{text:?}");
}

#[test]
fn outputs_at_urls_are_refused() {
    let dir = task();
    succeeds(&mut fit(dir.path(), "run", "--epochs 1 --quiet"));
    let words = ["output: expected a directory on this machine (tonic-prep push sends sets to URLs), got a URL"];
    let mut command = train();
    command.current_dir(dir.path()).args(["predict", "--model", "run", "--data", "train", "-o", "s3://bucket/out"]);
    fails(&mut command, 2, &words);
    for existing in ["--threads=1", "--resume=auto"] {
        let mut command = train();
        command.current_dir(dir.path()).args(["fit", "--train", "train", "-o", "s3://bucket/run", existing]);
        fails(&mut command, 2, &words);
    }
    assert!(!dir.path().join("s3:").exists());
}
