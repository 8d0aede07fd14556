//! Suggests commands: one for each part of a dataset, such as train and test, or one for a missing part of a set.

use std::path::{Path, PathBuf};

use tonic_shard::Part;

use crate::quoted::{quoted, quoted_path};
use crate::typed::words;

pub(crate) fn words_as_text() -> impl Iterator<Item = String> {
    words().into_iter().map(|word| word.to_string_lossy().into_owned())
}

/// Returns one command a line for each part: the typed command, in which `path` and the output have the part's
/// sub-folder, and `--class-level` is lowered by 1. `parts` has the names of the sub-folders. The command for the
/// training part comes first. The others take the classes of its set, unless the user has chosen the classes.
pub(crate) fn part_commands(typed: impl Iterator<Item = String>, path: &Path, parts: &[String]) -> String {
    let split = |word: String| match word.strip_prefix("--class-level=") {
        Some(level) => vec!["--class-level".into(), level.into()],
        None => vec![word],
    };
    let typed: Vec<String> = unbundled(typed.skip(1)).into_iter().flat_map(split).collect();
    let rank = |part: &&String| {
        let part = part.to_lowercase();
        !(part.contains("train") || part.starts_with("tr") || part.ends_with("tr"))
    };
    let mut parts: Vec<&String> = parts.iter().collect();
    parts.sort_by_key(rank);
    let listed = ["--classes", "--classes-of"].iter().any(|flag| typed.iter().any(|word| word.starts_with(flag)));
    let mut lines = String::new();
    let mut first = None;
    for part in parts {
        let mut output = None;
        let mut words: Vec<String> = vec!["tonic-prep".into()];
        let (mut is_output, mut is_level) = (false, false);
        for word in &typed {
            let value = word.strip_prefix("--output=");
            words.push(if is_level {
                // Seen from the folder of the part, the level of the class folders is lower by one.
                word.parse().map_or(word.clone(), |level: u8| level.saturating_sub(1).max(1).to_string())
            } else if is_output {
                output.insert(under(word, part)).clone()
            } else if let Some(value) = value {
                format!("--output={}", output.insert(under(value, part)))
            } else if !word.starts_with('-') && path.starts_with(word) {
                path.join(part).display().to_string()
            } else {
                word.clone()
            });
            is_output = word == "-o" || word == "--output";
            is_level = word == "--class-level";
        }
        if let (Some(first), false) = (&first, listed) {
            words.extend(["--classes-of".into(), String::clone(first)]);
        }
        first = first.or(output);
        let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        lines.push_str(&format!("\n  {}", words.join(" ")));
    }
    lines
}

/// Returns a typed command without the flags `--output`, `--part`, `--resume`, `--overwrite`, `--json` and `--quiet`.
pub(crate) fn without_part(typed: impl Iterator<Item = String>) -> Vec<String> {
    let mut words = vec![String::from("tonic-prep")];
    words.extend(kept(typed, &["--output", "-o", "--part"], &["--resume", "--overwrite", "--json", "--quiet", "-q"]));
    words
}

/// Returns the typed words without the program's name. Leaves out the flags in `valued` with their values, and the
/// flags in `single`, which have no values.
pub(crate) fn kept(typed: impl Iterator<Item = String>, valued: &[&str], single: &[&str]) -> Vec<String> {
    let mut words = Vec::new();
    let mut typed = unbundled(typed.skip(1)).into_iter();
    while let Some(word) = typed.next() {
        let (flag, value) = word.split_once('=').map_or((&word[..], None), |(flag, value)| (flag, Some(value)));
        if word == "--" {
            words.extend(typed.by_ref().map(|name| if name.starts_with('-') { format!("./{name}") } else { name }));
        } else if valued.contains(&flag) {
            if value.is_none() {
                typed.next();
            }
        } else if !single.contains(&flag) {
            words.push(word);
        }
    }
    words
}

/// Separates short flags and their values: `-qoDIR`, `-qo=DIR` and `-qo DIR` become `-q -o DIR`.
fn unbundled(typed: impl Iterator<Item = String>) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in typed {
        let letters = word.strip_prefix('-').map_or("", |bundle| bundle.trim_start_matches('q'));
        let quiet = word.len().saturating_sub(letters.len() + 1);
        let is_value = words.last().is_some_and(|last| last == "-o");
        if is_value || words.iter().any(|word| word == "--") || !word.starts_with('-') {
            words.push(word);
        } else if let Some(value) = letters.strip_prefix('o') {
            words.extend((0..quiet).map(|_| "-q".into()));
            words.push("-o".into());
            let value = value.strip_prefix('=').unwrap_or(value);
            words.extend((!value.is_empty()).then(|| value.into()));
        } else {
            words.push(word);
        }
    }
    words
}

/// Returns the command that makes the missing part `part`, as advice for the user. `command` is the command that made
/// another part. `None` if `command` is empty.
pub(crate) fn of_part(command: &[String], part: Part, given: &[(u32, PathBuf)]) -> Option<String> {
    if command.is_empty() {
        return None;
    }
    let words: Vec<String> = command.iter().map(|word| quoted(word)).collect();
    let mut output = folder_of(part, given);
    let mut place = "";
    if !command.iter().skip(2).any(|word| Path::new(word).exists()) {
        // The paths of the recordings are relative to a folder that is not the current one.
        output = std::path::absolute(&output).unwrap_or(output);
        place = ", in the folder from which the other parts were made";
    }
    Some(format!("make it{place}: {} --part {}/{} -o {}", words.join(" "), part.index, part.of, quoted_path(&output)))
}

/// Chooses a folder for the part `part`, next to the folders in `given`. If their names are numbers, continues these
/// numbers.
fn folder_of(part: Part, given: &[(u32, PathBuf)]) -> PathBuf {
    let number = |dir: &Path| dir.file_name()?.to_str()?.parse::<i64>().ok();
    let points: Vec<(i64, i64)> =
        given.iter().filter_map(|(index, dir)| Some((i64::from(*index), number(dir)?))).collect();
    let continued = points.first().zip(points.last()).and_then(|(first, last)| {
        let step = if last.0 > first.0 { (last.1 - first.1) / (last.0 - first.0) } else { 1 };
        let at = |index: i64| first.1 + step * (index - first.0);
        (points.len() == given.len() && points.iter().all(|&(index, number)| at(index) == number))
            .then(|| at(part.index.into()).to_string())
    });
    let beside = given.first().map_or(Path::new(""), |(_, dir)| dir);
    let names = [continued.filter(|name| !name.starts_with('-')), Some(part.index.to_string())];
    let mut folders = names.into_iter().flatten().map(|name| beside.with_file_name(name));
    let is_free = |folder: &PathBuf| given.iter().all(|(_, dir)| dir != folder);
    folders.find(is_free).unwrap_or_else(|| beside.with_file_name(format!("part-{}", part.index)))
}

fn under(output: &str, part: &str) -> String {
    Path::new(output).join(part).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(typed: &str, path: &str, parts: &[&str]) -> Vec<String> {
        let parts: Vec<String> = parts.iter().map(|part| (*part).to_string()).collect();
        let text = part_commands(typed.split('|').map(String::from), Path::new(path), &parts);
        text.trim_start().split("\n  ").map(String::from).collect()
    }

    #[test]
    fn a_missing_part_is_made_as_the_others() {
        let typed = "x/tonic-prep|convert|a b.h5|-o|parts/1|--part|1/4|--resume=auto|--sensor|9,9,2|--threads=2|--json";
        let kept = without_part(typed.split('|').map(String::from));
        let made = |folder: &str| {
            let given = [(1, PathBuf::from(folder))];
            of_part(&kept, Part { index: 3, of: 4 }, &given).unwrap()
        };
        let line = "tonic-prep convert 'a b.h5' --sensor 9,9,2 --threads=2 --part 3/4 -o";
        let here = std::env::current_dir().unwrap().display().to_string();
        let place = "make it, in the folder from which the other parts were made:";
        assert_eq!(made("my parts/1"), format!("{place} {line} '{here}/my parts/3'"));
        let there = without_part("tonic-prep|convert|Cargo.toml|-o|x".split('|').map(String::from));
        let line = of_part(&there, Part { index: 3, of: 4 }, &[(1, "p/1".into())]).unwrap();
        assert_eq!(line, "make it: tonic-prep convert Cargo.toml --part 3/4 -o p/3");
        let short =
            without_part("tonic-prep|--quiet|convert|-o=x|--part=slurm|a.h5|--resume".split('|').map(String::from));
        assert_eq!(short, ["tonic-prep", "convert", "a.h5"]);
        let names = without_part("tonic-prep|convert|-o|x|--|a.h5|-b.h5".split('|').map(String::from));
        assert_eq!(names, ["tonic-prep", "convert", "a.h5", "./-b.h5"]);
        for bundle in ["-qo|x", "-qox", "-qqo=x", "-o|x", "-ox", "-q|-o|-qo"] {
            let typed = format!("tonic-prep|convert|{bundle}|a.h5|--part=1/2|--sensor|9,9,2");
            let words = without_part(typed.split('|').map(String::from));
            assert_eq!(words.join(" "), "tonic-prep convert a.h5 --sensor 9,9,2", "{bundle}");
        }
        assert_eq!(of_part(&[], Part { index: 1, of: 2 }, &[(2, "x".into())]), None);
    }

    #[test]
    fn the_folder_of_a_missing_part_continues_the_others() {
        for (given, index, expected) in [
            (&[(1, "p/1"), (2, "p/2"), (4, "p/4")][..], 3, "p/3"),
            (&[(1, "p/0"), (3, "p/2"), (4, "p/3")], 2, "p/1"),
            (&[(2, "p/1"), (3, "p/2")], 1, "p/0"),
            (&[(1, "p/10"), (4, "p/40")], 2, "p/20"),
            (&[(4, "p/3")], 1, "p/0"),
            (&[(1, "p/2"), (2, "p/1"), (3, "p/9")], 4, "p/4"),
            (&[(1, "p/2"), (3, "p/1")], 2, "p/part-2"),
            (&[(1, "p/a"), (3, "p/c")], 2, "p/2"),
            (&[(4, "p/1")], 1, "p/part-1"),
            (&[(2, "one")], 1, "1"),
        ] {
            let given: Vec<(u32, PathBuf)> = given.iter().map(|(index, dir)| (*index, dir.into())).collect();
            assert_eq!(folder_of(Part { index, of: 4 }, &given), Path::new(expected), "{given:?}");
        }
    }

    #[test]
    fn the_typed_command_is_repeated_for_each_part() {
        assert_eq!(
            lines("x/tonic-prep|convert|my data/|-o|out|--sensor|128,128,2", "my data/", &["test", "train"]),
            [
                "tonic-prep convert 'my data/train' -o out/train --sensor 128,128,2",
                "tonic-prep convert 'my data/test' -o out/test --sensor 128,128,2 --classes-of out/train",
            ]
        );
        let classes = lines("tonic-prep|convert|--output=o|d|--classes|c.txt", "d/inner", &["Val", "Training"]);
        assert_eq!(
            classes,
            [
                "tonic-prep convert --output=o/Training d/inner/Training --classes c.txt",
                "tonic-prep convert --output=o/Val d/inner/Val --classes c.txt",
            ]
        );
        for bundle in ["-qo|out", "-qoout", "-qo=out"] {
            let line = "tonic-prep convert d/train -q -o out/train";
            assert_eq!(lines(&format!("tonic-prep|convert|d|{bundle}"), "d", &["train"]), [line]);
        }
        let nearer = ["tonic-prep bench d/train --class-level 1"];
        assert_eq!(lines("tonic-prep|bench|d|--class-level=2", "d", &["train"]), nearer);
        assert_eq!(lines("tonic-prep|bench|d", "d", &["it's"]), ["tonic-prep bench 'd/it'\\''s'"]);
    }
}
