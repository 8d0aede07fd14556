//! Tests that no control character from a file or from its name reaches a terminal or a picture.

use std::path::Path;

use assert_cmd::Command;
use serde_json::json;
use tonic_toolkit::report::{
    Curve, Panel, PanelKind, Raster, RasterPoint, Strategy, Work, chart, confusion, curves, page, table,
};
use tonic_toolkit::shard::Width;

use super::camera::Camera;
use super::folder::Folder;
use super::made::Set;
use super::recording::{Scratch, column, convert_aloud, hdf5_file, json, prep, says, scratch, tool};

const SENSOR: [&str; 2] = ["--sensor", "40,30,2"];

/// Returns names that clear the screen, break a line, reverse or colour the text, or fill the terminal.
fn hostile() -> Vec<String> {
    let names = ["\u{1b}[2J", "a\nb", "\u{202e}exe", "\u{9b}31m", "\t\u{7f}\u{200b}\r\u{2066}"];
    names.map(String::from).into_iter().chain(["x".repeat(200)]).collect()
}

/// Returns whether a character is visible.
fn is_shown(c: char) -> bool {
    let invisible = [0x200b..=0x200f, 0x2028..=0x202e, 0x2060..=0x206f, 0xfeff..=0xfeff];
    !c.is_control() && !invisible.iter().any(|range| range.contains(&(c as u32)))
}

fn assert_shown(text: &str) {
    let hidden: Vec<char> = text.chars().filter(|&c| c != '\n' && !is_shown(c)).collect();
    assert!(hidden.is_empty(), "{hidden:?} in {text:?}");
}

/// Runs a command. Asserts that it ends with exit code `code` and prints no hidden characters. Returns stdout and
/// stderr.
fn said(command: &mut Command, code: i32) -> [String; 2] {
    let output = command.output().unwrap();
    let texts = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(output.status.code(), Some(code), "{command:?}: {texts:?}");
    texts.iter().for_each(|text| assert_shown(text));
    texts
}

/// Makes a folder with a class and a recording for each hostile name.
fn folder() -> Folder {
    let names: Vec<String> = hostile().iter().map(|name| format!("{name}/{name}.npy")).collect();
    Folder::of(&names.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Writes a set with hostile names of classes and extra columns. Before that, `changed` modifies the set. Returns the
/// path of the set.
fn made(dir: &Scratch, name: &str, changed: impl FnOnce(&mut Set)) -> std::path::PathBuf {
    let samples = (0..hostile().len()).map(|i| vec![vec![(i as u32, 1.0)]]).collect();
    let rows = (0..hostile().len()).map(|i| (i as u32, i as i64)).collect();
    let mut set = Set { classes: hostile(), extras: hostile(), rows, ..Set::new([2, 3, 4], Width::U8, samples) };
    changed(&mut set);
    set.write(&dir.join(name));
    dir.join(name)
}

#[test]
fn conversions_show_names_as_escapes() {
    let folder = folder();
    let set = folder.dir.join("\u{1b}[2J\nset");
    let convert = || {
        let mut command = convert_aloud(&[&folder.root], &set);
        command.args(SENSOR);
        command
    };
    let [_, notes] = said(&mut convert(), 0);
    says(&notes, &[r"\u{1b}[2J (", r"a\nb (", r"\u{202e}exe (", r"\u{9b}31m (", r"\t\u{7f}\u{200b}\r\u{2066} ("]);
    let [_, refused] = said(&mut convert(), 2);
    says(&refused, &[r"\u{1b}[2J\nset"]);
    assert_eq!(refused.trim_end().lines().count(), 3, "layout, columns and error: {refused}");
    let other = folder.dir.join("\u{9b}31m");
    said(convert_aloud(&[&folder.root], &other).args(SENSOR).arg("--dry-run"), 0);
    let [text, _] = said(convert().args(["--overwrite", "--json"]), 0);
    let mut classes = hostile();
    classes.sort();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap()["classes"], json!(classes), "the same JSON");
    says(&said(&mut tool("verify", &set), 0)[0], &[r"\u{1b}[2J\nset: complete"]);
    says(&said(&mut tool("info", &set), 0)[0], &[r"a\nb/a\nb.npy (1 samples"]);
}

#[test]
fn every_tool_shows_names_as_escapes() {
    let dir = scratch();
    let set = made(&dir, "set", |_| {});
    let n = hostile().len();
    let [info, _] = said(&mut tool("info", &set), 0);
    says(&info, &[r"extras     \u{1b}[2J, a\nb, ", r"classes    6: \u{1b}[2J (1), a\nb (1)"]);
    let [list, _] = said(&mut tool("ls", &set), 0);
    assert_eq!(list.lines().count(), 1 + n, "a line for each sample: {list}");
    let column = |line: &str| line.char_indices().position(|(at, _)| line[at..].starts_with(" -")).unwrap();
    let ends: Vec<usize> = list.lines().skip(1).take(2).map(column).collect();
    assert_eq!(ends[0], ends[1], "cells are counted as they are shown: {list}");
    let [stats, _] = said(tool("stats", &set).arg("--png").arg(dir.join("stats.png")), 0);
    says(&stats, &["\n  \\u{1b}[2J      ", "\n  a\\nb      "]);
    let other = made(&dir, "other", |set| set.rows.iter_mut().for_each(|row| row.0 = (row.0 + 1) % n as u32));
    let [diff, _] = said(tool("diff", &set).arg(&other), 4);
    says(&diff, &[r#"sample 0: label "\u001b[2J" | "a\nb""#]);
    let renamed = made(&dir, "renamed", |set| set.classes.reverse());
    says(&said(tool("diff", &set).arg(&renamed), 4)[0], &[r"classes: \u{1b}[2J, a\nb, "]);
    let [_, refused] = said(prep().arg("merge").arg(dir.join("merged")).args([&set, &renamed]), 4);
    says(&refused, &["classes", "--classes-of"]);
    for sample in 0..n {
        let sample = sample.to_string();
        let png = dir.join(format!("{}.png", "\u{1b}[2J"));
        let show = || {
            let mut command = tool("show", &set);
            command.args(["--sample", &sample]);
            command
        };
        said(&mut show(), 0);
        said(show().arg("--png").arg(png), 0);
        said(tool("cat", &set).args(["--sample", &sample, "--json"]), 0);
    }
    for name in ["info", "ls", "stats", "verify"] {
        said(tool(name, &set).arg("--json"), 0);
    }
    assert_eq!(json(tool("info", &set).arg("--json"))["classes"], json!(hostile()), "the same JSON");
    said(tool("ls", &set).args(["--class", "\u{1b}[2J\u{202e}"]), 2);
    said(tool("subset", &set).args(["--class", "\u{1b}[3J", "-o"]).arg(dir.join("sub")), 2);
    let [_, refused] = said(&mut tool("info", &dir.join("\u{9b}31m\nnone")), 1);
    says(&refused, &[r"\u{9b}31m\nnone"]);
}

#[test]
fn errors_show_names_as_escapes() {
    let folder = folder();
    let convert = |input: &Path, arguments: &[&str], code| {
        let mut command = convert_aloud(&[input], &folder.dir.join("none"));
        let [_, text] = said(command.args(SENSOR).args(arguments), code);
        text
    };
    let file = |name: &str, text: &str| folder.dir.file(name, text).display().to_string();
    let list = file("\u{202e}list.txt", "other\n\u{1b}[3J\n");
    says(&convert(&folder.root, &["--classes", &list], 3), &[r"\u{202e}list.txt", r"\u{1b}[2J, a\nb"]);
    let table = file("labels.csv", "file,label\n\u{1b}[2J.npy,a\n\u{9b}32m,\u{1b}[3J\n");
    says(&convert(&folder.root, &["--labels", &table], 3), &["labels.csv: line 3", r"\u{9b}32m"]);
    let recipe = file("\u{1b}[2J.toml", "[[transform]]\nname = \"\\u001b[2J\"\n[frames]\ntime_window = 10");
    says(&convert(&folder.root, &["--recipe", &recipe], 3), &[r"\u{1b}[2J.toml: "]);
    let recipe = file("key.toml", "[frames]\n\"\u{202e}\\u001b\\n\" = 10\ntime_window = 3\n");
    convert(&folder.root, &["--recipe", &recipe], 3);
    let unknown = hdf5_file(&folder.dir.join("\u{1b}[2J.h5"), |file| {
        hostile().iter().for_each(|name| column(file, name, &[1.5_f32]));
    });
    says(&convert(&unknown, &[], 3), &[r"\u{1b}[2J.h5: no layout fits", r"a\nb"]);
    convert(&unknown, &["--map", "t=\u{1b}[4J,x=\u{202e}"], 3);
    let text = convert(&folder.dir.file("\u{1b}[2J.npy", "no array"), &[], 3);
    says(&text, &[r"\u{1b}[2J.npy"]);
    // Arguments that clap refuses. A shell may have made such arguments from the names of files.
    for arguments in [["--layout", "\u{1b}[2J"], ["--sensor", "\u{9b}31m"], ["--\u{202e}", "x"]] {
        says(&convert(&folder.root, &arguments, 2), &["error: "]);
    }
}

#[test]
fn the_command_for_a_part_is_one_that_a_shell_can_read() {
    let dir = scratch();
    let folder = Folder { root: dir.join("\u{1b}[2J\ndata"), dir };
    folder.put("train/clap/1.npy", &Camera::random(1, 10, 30_000));
    folder.put("test/clap/2.npy", &Camera::random(2, 10, 30_000));
    let mut command = convert_aloud(&[&folder.root], &folder.dir.join("out"));
    let [_, text] = said(command.args(SENSOR), 3);
    let commands: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix("tonic-prep ")).collect();
    assert_eq!(commands.len(), 2, "{text}");
    for command in commands {
        let line = format!("{} {command}", super::recording::program());
        let ran = std::process::Command::new("bash").env("LC_ALL", "C.UTF-8").args(["-c", &line]).output().unwrap();
        assert!(ran.status.success(), "{command}: {}", String::from_utf8_lossy(&ran.stderr));
    }
}

#[test]
fn pictures_and_tables_show_names_as_escapes() {
    let names = hostile();
    let drawn = |name: &str| {
        let title = format!("title {name} & <b>");
        let points = vec![RasterPoint { frame: 0, row: 0, value: 1.0, second: false }];
        let (frame_length, row_names) = ((1.0, "ms"), ["row", "rows"]);
        let raster = Raster { title: title.clone(), frames: 1, rows: 1, frame_length, row_names, points };
        let curve = Curve { name: name.into(), points: vec![(1.0, 1.0)] };
        let bars = names.iter().map(|name| (name.clone(), 1.0)).collect();
        let panels = [PanelKind::Bars(bars), PanelKind::Histogram(vec![(0.0, 1.0, 1.0)], name.into())];
        let panels = panels.map(|kind| Panel { title: title.clone(), kind });
        let matrix = vec![vec![1; names.len()]; names.len()];
        let strategies = [
            Strategy::measured(name, Work::Loading, (1, 1), 1.0, 1.0),
            Strategy::unavailable(name, Work::Training, name),
        ];
        assert_shown(&table(&strategies));
        assert_eq!(table(&strategies).lines().count(), 5, "a line for each strategy");
        [
            raster.picture(),
            curves(&title, name, None, &[curve]),
            page(&title, &panels),
            confusion(&title, &names, &matrix),
            chart(&title, &strategies),
        ]
    };
    let dir = scratch();
    for name in &names {
        for (i, picture) in drawn(name).into_iter().enumerate() {
            let (picture, file) = (picture.unwrap(), dir.join("picture"));
            picture.write_svg(&file).unwrap();
            let svg = std::fs::read_to_string(&file).unwrap();
            assert_shown(&svg);
            assert!(!svg.contains("<b>"), "{i}: {svg}");
            picture.write_png(&file).unwrap();
        }
    }
}
