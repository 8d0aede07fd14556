//! Tests that training prints no control characters from names of sets and runs.

use std::path::Path;

use assert_cmd::Command;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::sets::{Spec, eval, fit, learnable};

/// Names with characters that clear the screen, break a line, and reverse the direction of the text.
const HOSTILE: [&str; 3] = ["\u{1b}[2J", "a\nb", "\u{202e}\u{9b}31m"];

fn write(dir: &TempDir, name: &str, classes: [&str; 3]) {
    let classes = classes.map(String::from).to_vec();
    Spec { classes, ..Spec::new(24, 8) }.write(&dir.path().join(name), learnable(1));
}

/// Runs a command. Asserts that it ends with exit code `code` and prints no hidden characters. Returns stdout and
/// stderr.
fn said(command: &mut Command, code: i32) -> [String; 2] {
    let output = command.output().unwrap();
    let texts = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(output.status.code(), Some(code), "{texts:?}");
    let hidden = |c: char| c != '\n' && (c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c));
    texts.iter().for_each(|text| assert!(!text.contains(hidden), "{text:?}"));
    texts
}

fn has(text: &str, words: &[&str]) {
    words.iter().for_each(|word| assert!(text.contains(word), "no {word:?} in {text}"));
}

#[test]
fn classes_are_shown_as_escapes() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "train", HOSTILE);
    write(&dir, "other", ["x\u{1b}[2J", "a\nb", "c"]);
    let [_, notes] = said(&mut fit(dir.path(), "run", "--valid DIR/train --test DIR/train --epochs 1"), 0);
    has(&notes, &[r"\u{1b}[2J (8), a\nb (8), \u{202e}\u{9b}31m (8)"]);
    let [_, refused] = said(&mut fit(dir.path(), "none", "--valid DIR/other"), 4);
    has(&refused, &["classes differ", r"x\u{1b}[2J"]);
    let [table, _] = said(&mut eval(dir.path(), "run", "train"), 0);
    let rows: Vec<&str> = table.lines().skip_while(|line| !line.starts_with("class")).take(4).collect();
    let widths: Vec<usize> = rows[1..].iter().map(|row| row.chars().count()).collect();
    assert!(rows[2].starts_with(r"a\nb  ") && widths.iter().all(|&n| n == widths[0]), "{table}");
    let [text, _] = said(eval(dir.path(), "run", "train").arg("--json"), 0);
    let names = serde_json::from_str::<Value>(&text).unwrap()["classes"].as_array().unwrap().clone();
    assert_eq!(names.iter().map(|class| class["name"].clone()).collect::<Vec<_>>(), HOSTILE.map(|name| json!(name)));
    said(&mut eval(dir.path(), "run", "other"), 4);
}

#[test]
fn what_a_run_folder_has_is_shown_as_escapes() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "train", HOSTILE);
    let run = "\u{1b}[2J\u{9b}run";
    said(&mut fit(dir.path(), run, "--epochs 1"), 0);
    let [_, refused] = said(&mut fit(dir.path(), run, "--epochs 1"), 2);
    has(&refused, &[r"\u{1b}[2J\u{9b}run"]);
    let config = dir.path().join(run).join("config.toml");
    let change = |path: &Path, text: &str| std::fs::write(path, text).unwrap();
    change(&config, "\"\u{202e}\\u001b\\n\" = 1\nx = \u{9b}");
    let [_, refused] = said(&mut eval(dir.path(), run, "train"), 4);
    assert_eq!(refused.lines().count(), 1, "{refused}");
    has(&refused, &["corrupt: TOML"]);
}
