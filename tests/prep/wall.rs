//! The wall between the wings, the places of `unsafe` and the size of files, held by reading the source.

use std::path::{Path, PathBuf};

/// Every Rust file of src/, as its path below it and its text.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut files) = (vec![root.clone()], Vec::<PathBuf>::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension() {
                _ if path.is_dir() => folders.push(path),
                Some(extension) if extension == "rs" => files.push(path),
                _ => {}
            }
        }
    }
    let name = |p: &PathBuf| p.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
    let sources: Vec<_> = files.iter().map(|p| (name(p), std::fs::read_to_string(p).unwrap())).collect();
    assert!(sources.len() > 30, "only {} files were found", sources.len());
    sources
}

/// The text without its comments.
fn code(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The words of a piece of code.
fn words(code: &str) -> Vec<&str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty()).collect()
}

#[test]
fn the_wings_do_not_import_each_other() {
    for (name, text) in sources() {
        let forbidden: &[&str] = match name.split('/').next() {
            Some("prep") => &["train"],
            Some("train") => &["prep"],
            Some("shard") => &["prep", "train"],
            _ => continue,
        };
        let code = code(&text);
        for &wing in forbidden {
            let path = ["crate::", "tonic_toolkit::", "super::"].map(|from| format!("{from}{wing}"));
            assert!(!path.iter().any(|p| code.contains(p)), "src/{name} names {wing}");
            // Also inside braces: use crate::{frames, train}.
            for import in code.split("use ").skip(1).map(|rest| rest.split(';').next().unwrap_or_default()) {
                assert!(!words(import).contains(&wing), "src/{name} imports {wing}: use {import}");
            }
        }
    }
}

#[test]
fn unsafe_stands_in_its_places_with_its_reason() {
    let mut found = 0;
    for (name, text) in sources() {
        let lines: Vec<&str> = text.lines().collect();
        for (i, line) in lines.iter().enumerate().filter(|(_, line)| words(&code(line)).contains(&"unsafe")) {
            found += 1;
            let place = format!("src/{name}:{}", i + 1);
            assert!(name == "shard/map.rs" || name.starts_with("train/kernel/"), "{place} has unsafe");
            let reason = lines[i.saturating_sub(12)..i].iter().any(|l| l.contains("SAFETY") || l.contains("# Safety"));
            assert!(reason, "{place}: unsafe without a SAFETY line before it: {line}");
        }
    }
    assert!(found >= 1, "the map itself is unsafe");
}

#[test]
fn files_say_what_they_are_and_stay_short() {
    for (name, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 450, "src/{name} has {lines} lines");
        let first = text.lines().next().unwrap_or_default();
        assert!(first.starts_with("//! ") || first.starts_with("#![doc = "), "src/{name} begins with {first:?}");
    }
}
