//! Tests that a fit prints the classes of its sets, and refuses sets with different classes.

use crate::sets::{Spec, eval, fails, fit, learnable, succeeds, task};

#[test]
fn a_fit_says_classes_and_counts_at_its_start() {
    let dir = task();
    let said = succeeds(&mut fit(dir.path(), "run", "--valid DIR/valid --epochs 1"));
    let counts = ["classes  train  3: low (40), middle (40), high (40)", "classes  valid  3: low (20), middle (20)"];
    let lines: Vec<&str> = said.lines().take(2).collect();
    assert!(lines.iter().zip(counts).all(|(line, words)| line.starts_with(words)), "{said}");
}

#[test]
fn classes_that_differ_are_refused_with_the_line_that_mends_it() {
    let dir = task();
    for (name, classes) in [("without", &["low", "high"][..]), ("other-order", &["high", "low", "middle"])] {
        let classes: Vec<String> = classes.iter().map(|name| (*name).to_string()).collect();
        let samples = learnable(4);
        Spec { classes, ..Spec::new(4, 4) }.write(&dir.path().join(name), |i| samples(3 * i));
    }
    let path = |name: &str| dir.path().join(name).display().to_string();
    let classes_of = format!("{} again with --classes-of {}, or", path("other-order"), path("train"));
    for flag in ["--valid", "--test"] {
        let mut run = fit(dir.path(), "run", &format!("{flag} DIR/without"));
        fails(&mut run, 4, &["classes differs", "expected low, middle, high, got low, high;", "--classes FILE"]);
        let mut run = fit(dir.path(), "run", &format!("{flag} DIR/other-order"));
        fails(&mut run, 4, &["expected low, middle, high, got high, low, middle;", &classes_of]);
        assert!(!dir.path().join("run").exists());
    }
    succeeds(&mut fit(dir.path(), "run", "--epochs 1 --quiet"));
    let words =
        ["got low, high; convert the recordings of", "--classes-of and the set of the training, or", "--classes FILE"];
    fails(&mut eval(dir.path(), "run", "without"), 4, &words);
}
