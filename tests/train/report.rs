//! Tests of the report of a run: its contents, its messages about missing contents, and its look in a browser.

use std::path::Path;

use assert_cmd::Command;
use serde_json::{Value, json};

use crate::browser::{Seen, browser, look};
use crate::sets::{self, Spec, assert_says, eval, fails, fit, learnable, succeeds, task, train};

/// Returns the command that reports on `dir/<run>`.
fn report(dir: &Path, run: &str, options: &str) -> Command {
    let mut command = train();
    command.arg("report").arg(dir.join(run)).args(["--threads", "2"]);
    command.args(options.split_whitespace().map(|word| word.replace("DIR", dir.to_str().unwrap())));
    command
}

fn page(dir: &Path, name: &str) -> String {
    std::fs::read_to_string(dir.join(name)).unwrap()
}

#[test]
fn a_report_has_everything_and_loads_nothing() {
    let dir = task();
    let sets = "--valid DIR/valid --test DIR/valid --epochs 3";
    succeeds(&mut fit(dir.path(), "run", &format!("{sets} --quiet")));
    let said = sets::json(&mut report(dir.path(), "run", ""));
    let judged = sets::json(&mut eval(dir.path(), "run", "valid"));
    assert_eq!(said["missing"], json!([]));
    for key in ["accuracy", "loss", "samples"] {
        assert_eq!(said["surveyed"][key], judged[key], "{key}");
    }
    assert_eq!(said["surveyed"]["role"], "test set of the run");
    let html = page(dir.path(), "run/report.html");
    let config = std::fs::read_to_string(dir.path().join("run/config.toml")).unwrap();
    let ids: Vec<&str> =
        config.lines().filter_map(|line| line.split_once("set_id = \"")?.1.split('"').next()).collect();
    assert_eq!(ids.len(), 3);
    let titles = ["Training", "Evaluation", "Confusion", "Classes", "Worst samples", "Slowest samples", "Settings"];
    let titles = titles.iter().chain(&["Sets", "Machine"]).map(|title| format!("<h2>{title}</h2>"));
    assert_says(&html, &["cross entropy", "best validation accuracy, epoch "]);
    assert!(!html.contains("objective of training"));
    let charts = ["Loss", "Accuracy", "Learning rate", "Firing rates", "Silent neurons", "Speed"];
    let charts = charts.iter().map(|title| format!("<figcaption>{title}</figcaption>"));
    let settings = ["<td>batch_size</td><td>16</td>", "<td>lr</td><td>0.01</td>", "window = 4000", "cpu"];
    for words in titles.chain(charts).chain(settings.map(String::from)).chain(ids.iter().map(ToString::to_string)) {
        assert!(html.contains(&words), "no {words}");
    }
    for (class, name) in judged["classes"].as_array().unwrap().iter().zip(["low", "middle", "high"]) {
        let recall = format!("{:.1}%", class["recall"].as_f64().unwrap() * 100.0);
        let row = format!("<td>{name}</td><td class=\"number\">20</td><td class=\"number\">{recall}</td>");
        assert!(html.contains(&row), "no {row}");
    }
    // Twelve samples, each with the input and two layers.
    assert_eq!(html.matches("<img class=\"raster\"").count(), 36);
    for forbidden in ["<script", "http:", "https:", "<link", "@import", "url("] {
        assert!(!html.contains(forbidden), "{forbidden}");
    }
    let text = report(dir.path(), "run", "--best --data DIR/train -o DIR/best.html").output().unwrap();
    assert_eq!(text.status.code(), Some(0));
    assert_says(&String::from_utf8(text.stdout).unwrap(), &["training set of the run: accuracy", "best.html"]);
    assert_says(&page(dir.path(), "best.html"), &["The network of the best epoch"]);
    // A new run in the folder removes the page of the old one.
    succeeds(&mut fit(dir.path(), "run", "--epochs 1 --overwrite --quiet"));
    assert!(!dir.path().join("run/report.html").exists());
}

#[test]
fn the_selected_network_is_evaluated_and_all_settings_are_shown() {
    let dir = task();
    // With this learning rate, all epochs are equal, and the first is selected.
    let arguments = "--valid DIR/valid --epochs 2 --select valid-loss --lr 1e-30 --spike-rate 0.1,0.5 --quiet";
    succeeds(&mut fit(dir.path(), "run", arguments));
    let said = sets::json(&mut report(dir.path(), "run", ""));
    assert_eq!(said["surveyed"]["epoch"], 1);
    assert_eq!(said["surveyed"]["selected"], json!({"epoch": 1, "by": "valid-loss"}));
    let html = page(dir.path(), "run/report.html");
    assert_says(&html, &["The network of the selected epoch, 1, by valid-loss"]);
    assert_says(&html, &["validation accuracy of the selected epoch, 1", "objective of training"]);
    assert!(!html.contains("best validation accuracy"));
    let settings = [
        ("optimiser", "adam"),
        ("beta2", "0.999"),
        ("clip_norm", "none"),
        ("schedule", "constant"),
        ("select", "valid-loss"),
        ("drop_last", "false"),
        ("spike_rate", "0.1, 0.5"),
        ("spike_rate_weight", "1.0"),
        ("label_smoothing", "0.0"),
    ];
    let rows = settings.map(|(name, value)| format!("<td>{name}</td><td>{value}</td>"));
    rows.iter().for_each(|row| assert!(html.contains(row), "no {row}"));
    assert_says(&html, &["Network, as a network file", "grad_width = 0.5"]);
    let stderr = eval(dir.path(), "run", "valid").output().unwrap().stderr;
    let words = ["the network of the last epoch", "--best takes", "by valid-loss"];
    assert_says(&String::from_utf8(stderr).unwrap(), &words);
    let stderr = eval(dir.path(), "run", "valid").arg("--best").output().unwrap().stderr;
    assert!(!String::from_utf8(stderr).unwrap().contains("last epoch"));
}

#[test]
fn worst_samples_are_those_with_the_largest_losses() {
    let dir = task();
    succeeds(&mut fit(dir.path(), "run", "--valid DIR/valid --epochs 2 --quiet"));
    succeeds(&mut sets::predict_on("cpu", dir.path(), "run", "valid", "out"));
    succeeds(&mut report(dir.path(), "run", "--quiet"));
    let loss = |(i, logits): (usize, &Vec<f32>)| {
        let sum: f64 = logits.iter().map(|&logit| f64::from(logit).exp()).sum();
        (sum.ln() - f64::from(logits[i % 3]), i)
    };
    let logits = sets::logits(&dir.path().join("out"));
    let mut losses: Vec<(f64, usize)> = logits.iter().enumerate().map(loss).collect();
    losses.sort_by(|a, b| b.0.total_cmp(&a.0));
    let html = page(dir.path(), "run/report.html");
    let worst = html.split_once("<h2>Worst samples</h2>").unwrap().1.split_once("<h2>").unwrap().0;
    let shown: Vec<usize> =
        worst.split("<h3>Sample ").skip(1).map(|rest| rest.split(':').next().unwrap().parse().unwrap()).collect();
    assert_eq!(shown, losses[..6].iter().map(|of| of.1).collect::<Vec<_>>());
}

#[test]
fn what_a_run_lacks_is_said() {
    let dir = task();
    let frozen = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/frozen");
    let old = dir.path().join("old");
    std::fs::create_dir(&old).unwrap();
    for file in frozen.join("between_epochs/finished").read_dir().unwrap().map(|file| file.unwrap().path()) {
        std::fs::copy(&file, old.join(file.file_name().unwrap())).unwrap();
    }
    let lacks = |run: &str, options: &str, words: &[&str]| -> Value {
        let said = sets::json(&mut report(dir.path(), run, options));
        let missing: Vec<&str> =
            said["missing"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        assert_eq!(missing.len(), words.len(), "{missing:?}");
        let html = page(dir.path(), &format!("{run}/report.html"));
        for (got, word) in missing.iter().zip(words) {
            assert!(got.contains(word), "no {word:?} in {missing:?}");
            assert!(html.contains(&format!("<p class=\"missing\">{got}</p>")), "{got}");
        }
        said
    };
    let machine = "recorded neither the machine";
    lacks("old", "", &["4 of 4 epochs have no firing rates", "--data SET names", machine]);
    let set = frozen.join("conversion/finished");
    let said = lacks("old", &format!("--data {}", set.display()), &["no firing rates", machine]);
    assert_eq!(said["surveyed"]["samples"], 64);

    succeeds(&mut fit(dir.path(), "alone", "--epochs 1 --quiet"));
    lacks("alone", "", &["no validation set", "neither a test set nor a validation set"]);
    succeeds(&mut fit(dir.path(), "moved", "--epochs 1 --valid DIR/valid --quiet"));
    std::fs::rename(dir.path().join("valid"), dir.path().join("elsewhere")).unwrap();
    lacks("moved", "", &["is no longer at"]);
    let said = sets::json(&mut report(dir.path(), "moved", "--data DIR/elsewhere"));
    assert_eq!((&said["missing"], &said["surveyed"]["role"]), (&json!([]), &json!("validation set of the run")));
    std::fs::remove_file(dir.path().join("moved/metrics.jsonl")).unwrap();
    std::fs::remove_file(dir.path().join("moved/sums.json")).unwrap();
    lacks("moved", "--data DIR/elsewhere", &["no curves", "No epoch is finished"]);
}

#[test]
fn wrong_arguments_and_damaged_runs_are_refused() {
    let dir = task();
    succeeds(&mut fit(dir.path(), "run", "--valid DIR/valid --epochs 1 --quiet"));
    fails(&mut report(dir.path(), "run", "-o DIR/notes.txt"), 2, &["expected a name that ends in .html"]);
    fails(&mut report(dir.path(), "none", ""), 1, &["none/config.toml", "name the run folder"]);
    Spec { recipe: "window = 8000\n".into(), ..Spec::new(9, 4) }.write(&dir.path().join("other"), learnable(1));
    fails(&mut report(dir.path(), "run", "--data DIR/other"), 4, &["recipe differs"]);
    assert!(!dir.path().join("run/report.html").exists());
    let metrics = dir.path().join("run/metrics.jsonl");
    let text = std::fs::read_to_string(&metrics).unwrap();
    std::fs::write(&metrics, text.replace("0.", "1.")).unwrap();
    fails(&mut report(dir.path(), "run", ""), 4, &["metrics.jsonl", "blake3"]);
}

#[test]
fn names_cannot_become_elements_of_the_page() {
    let dir = tempfile::tempdir().unwrap();
    let names = ["<script>alert(1)</script>", "\u{1b}[2J\"'&", "</td></table>"];
    let spec = Spec { classes: names.map(String::from).to_vec(), ..Spec::new(24, 8) };
    spec.write(&dir.path().join("train"), learnable(1));
    succeeds(&mut fit(dir.path(), "run", "--valid DIR/train --epochs 1 --quiet"));
    succeeds(&mut report(dir.path(), "run", "--quiet"));
    let html = page(dir.path(), "run/report.html");
    assert!(!html.contains("<script") && !html.contains('\u{1b}') && !html.contains("</td></table>"));
    assert_says(&html, &["&lt;script&gt;alert(1)&lt;/script&gt;", r"\u{1b}[2J&quot;&#39;&amp;"]);
}

/// If the variable `TONIC_SCREENSHOTS` names a folder, the screenshots are written there and stay.
#[test]
fn a_page_fits_a_desktop_and_a_phone() {
    let Some(browser) = browser() else { return };
    let dir = task();
    succeeds(&mut fit(dir.path(), "run", "--valid DIR/valid --test DIR/valid --epochs 5 --quiet"));
    succeeds(&mut report(dir.path(), "run", "--quiet"));
    let kept = std::env::var_os("TONIC_SCREENSHOTS").map_or(dir.path().into(), std::path::PathBuf::from);
    for (name, width, dark) in [("desktop", 1280, false), ("phone", 390, false), ("dark", 1280, true)] {
        let png = kept.join(format!("report-{name}.png"));
        let seen = look(&browser, &dir.path().join("run/report.html"), (width, dark), &png);
        assert_eq!(seen, Seen { errors: vec![], overflow: 0, wide: vec![], empty: 0 }, "{name}");
        assert!(std::fs::metadata(&png).unwrap().len() > 20_000, "{name}");
    }
}
