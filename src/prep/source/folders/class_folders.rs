//! Decides which sub-folders of a folder of recordings are its classes.
//!
//! All class folders are at the same level. It is the first level, as in torchvision's ImageFolder, unless the caller
//! gives another level. First-level folders are refused if they are probably not classes but parts of a dataset (train,
//! test), persons, dates or sessions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tonic_base::some_of;

use crate::error::{Error, Result};
use crate::reason::FolderKind;
use crate::source::folders::folder_names::{FILES, are_parts, is_group, is_number, is_numbered};
use crate::source::folders::listing::Listing;
use crate::source::labels::{ClassList, number_classes};

#[derive(Debug)]
pub(crate) struct FolderClasses {
    /// Class names, in alphabetical order.
    pub names: Vec<String>,
    /// For each file, the index of its class in `names`.
    pub labels: Vec<u32>,
    /// Names of classes whose folders contain no recordings.
    pub empty: Vec<String>,
    /// Names of folders that contain no recordings and are not in the caller's list of classes.
    pub outside: Vec<String>,
}

/// Takes the classes of recordings from the names of the folders at `level`, counted from 1. Classes are numbered in
/// alphabetical order. With a `list`, a folder without recordings is a class only if its name is in the list.
///
/// If `level` is `None`, the first-level folders are the classes. They are refused if they are probably not classes,
/// unless `list` has the names of all first-level folders with recordings. Returns `None` if no recording is in a
/// sub-folder.
///
/// # Errors
/// [`Error::NotClasses`] if the first-level folders are probably not classes, if a file is in no folder at `level`, or
/// if the folders at a level above `level` are the parts of a dataset.
pub(crate) fn by_folder(
    dir: &Path,
    listing: &Listing,
    level: Option<usize>,
    list: Option<&ClassList>,
) -> Result<Option<FolderClasses>> {
    let files = &listing.files;
    if level.is_none() {
        if files.iter().all(|name| !name.contains('/')) {
            return Ok(None);
        }
        let listed =
            |list: &ClassList| files.iter().all(|name| folder_of(name, 1).is_some_and(|first| list.has(first)));
        if !list.is_some_and(listed) {
            check(dir, &files.iter().map(String::as_str).collect::<Vec<_>>(), &folders_at(&listing.folders, 1), 0)?;
        }
    }
    let level = level.unwrap_or(1);
    for above in 1..level {
        if let Some(parts) = parts_at(files, above) {
            let got = format!("{}, the parts of a dataset, above the classes", some_of(&parts));
            let kind = match above {
                1 => FolderKind::Parts(parts.into_iter().map(String::from).collect()),
                _ => FolderKind::PartsOfEach,
            };
            return Err(Error::NotClasses { path: dir.into(), got, kind });
        }
    }
    let of_files = files.iter().map(|name| {
        folder_of(name, level).ok_or_else(|| {
            let nested = files.iter().find(|name| folder_of(name, level).is_some());
            let nested = nested.map_or("no folder at that level".into(), |nested| format!("the folder of {nested}"));
            let got = format!("{name} beside {nested}");
            Error::NotClasses { path: dir.into(), got, kind: FolderKind::Loose(level) }
        })
    });
    let of_files = of_files.collect::<Result<Vec<&str>>>()?;
    let full: BTreeSet<&str> = of_files.iter().copied().collect();
    let mut empty = folders_at(&listing.folders, level);
    empty.retain(|name| !full.contains(name));
    let (empty, outside): (Vec<&str>, _) = empty.into_iter().partition(|name| list.is_none_or(|list| list.has(name)));
    let (names, mut labels) = number_classes(of_files.iter().chain(&empty).copied(), false);
    labels.truncate(files.len());
    let [empty, outside] = [empty, outside].map(|names| names.into_iter().map(String::from).collect());
    Ok(Some(FolderClasses { names, labels, empty, outside }))
}

/// Returns the names of the folders at `level` (counted from 1) if these are parts of a dataset, such as `train` and
/// `test`.
pub(crate) fn parts_at(files: &[String], level: usize) -> Option<Vec<&str>> {
    let names: BTreeSet<&str> = files.iter().filter_map(|name| folder_of(name, level)).collect();
    let names: Vec<&str> = names.into_iter().collect();
    (names.len() > 1 && are_parts(&names)).then_some(names)
}

/// Returns the name of the folder at `level` (counted from 1) that contains a file. `None` if there is no such folder.
fn folder_of(file: &str, level: usize) -> Option<&str> {
    let (folders, _) = file.rsplit_once('/')?;
    folders.split('/').nth(level - 1)
}

/// Returns the names of all folders at `level` (counted from 1). Each name is listed once.
fn folders_at(folders: &[String], level: usize) -> Vec<&str> {
    let at = folders.iter().filter_map(|name| name.split('/').nth(level - 1));
    at.collect::<BTreeSet<&str>>().into_iter().collect()
}

/// Returns [`Error::NotClasses`] if the folders `top`, directly in `dir`, are probably not classes. `dir` is `above`
/// levels below the folder that the user opened. `files` are paths relative to `dir`.
fn check(dir: &Path, files: &[&str], top: &[&str], above: usize) -> Result<()> {
    let refused = |got: String, kind: FolderKind| Err(Error::NotClasses { path: dir.into(), got, kind });
    // For each first-level folder: its sub-folders with recordings.
    let mut inside: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut loose = BTreeSet::new();
    for name in files {
        let Some(first) = folder_of(name, 1) else { continue };
        let below = inside.entry(first).or_default();
        match folder_of(name, 2) {
            Some(second) => _ = below.insert(second),
            None => _ = loose.insert(first),
        }
    }
    let firsts: Vec<&str> = inside.keys().copied().collect();
    let seconds: Vec<&str> = inside.values().flatten().copied().collect::<BTreeSet<&str>>().into_iter().collect();
    if are_parts(&firsts) {
        let parts = firsts.iter().map(|name| (*name).to_string()).collect();
        return refused(format!("{}, the parts of a dataset", some_of(&firsts)), FolderKind::Parts(parts));
    }
    let nested = firsts.iter().filter(|first| !inside[**first].is_empty()).count();
    if nested == 0 {
        if let Some((file, class)) = repeated_file(files).filter(|_| above == 0) {
            let got = format!("{}, with files of the same names in each, such as {file}", some_of(&firsts));
            return refused(got, FolderKind::SameFiles { file: file.into(), class: class.into() });
        }
        let groups = above == 0 && firsts.len() > 1 && firsts.iter().all(|name| is_group(name));
        let got = || format!("{}, with recordings in them and no folders", some_of(&firsts));
        return if groups { refused(got(), FolderKind::Groups) } else { Ok(()) };
    }
    if let ([only], [_]) = (&firsts[..], top) {
        let below: Vec<&str> = files.iter().filter_map(|name| name.split_once('/').map(|(_, rest)| rest)).collect();
        check(&dir.join(only), &below, &seconds, above + 1)?;
        if seconds.len() > 1 && loose.is_empty() && !seconds.iter().all(|name| is_group(name) || is_number(name)) {
            let got = format!("{only} alone, with the folders {} in it", some_of(&seconds));
            return refused(got, FolderKind::Above(above + 2));
        }
        return Ok(());
    }
    if loose.is_empty() && are_parts(&seconds) {
        let got = format!("the parts of a dataset, {}, in each of {}", some_of(&seconds), some_of(&firsts));
        return refused(got, FolderKind::PartsOfEach);
    }
    if firsts.iter().all(|name| is_group(name)) && 2 * nested > firsts.len() {
        for level in 2.. {
            let names: BTreeSet<&str> = files.iter().filter_map(|name| folder_of(name, level)).collect();
            let names: Vec<&str> = names.into_iter().collect();
            if names.is_empty() {
                return Ok(());
            }
            if are_parts(&names) {
                let got = format!("the parts of a dataset, {}, in each of {}", some_of(&names), some_of(&firsts));
                return refused(got, FolderKind::PartsOfEach);
            }
            if !names.iter().all(|name| is_group(name) || is_number(name)) {
                let got = format!("{}, with the folders {} in them", some_of(&firsts), some_of(&names));
                return refused(got, FolderKind::Above(above + level));
            }
        }
    }
    let numbered = seconds.iter().all(|name| is_number(name)) && !firsts.iter().all(|name| is_number(name));
    let pairs: usize = inside.values().map(BTreeSet::len).sum();
    let repeated = loose.is_empty() && seconds.len() > 1 && 3 * pairs >= 2 * firsts.len() * seconds.len();
    if repeated && !numbered && !seconds.iter().all(|name| is_group(name)) {
        let got = format!("{}, with the same folders in each: {}", some_of(&firsts), some_of(&seconds));
        return refused(got, FolderKind::Above(above + 2));
    }
    Ok(())
}

/// If several folders contain about the same files, such as `lab/wave.npy` and `led/wave.npy`, returns the path of one
/// of these files, and the file's name without its ending. Ignores numbered files.
fn repeated_file<'a>(files: &[&'a str]) -> Option<(&'a str, &'a str)> {
    let mut inside: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut first = None;
    for file in files {
        let (folder, name) = file.split_once('/')?;
        let stem = name.split_once('.').map_or(name, |(stem, _)| stem);
        let counted = stem.starts_with(|c: char| c.is_ascii_digit()) || is_group(stem) || is_numbered(stem, FILES);
        let names = inside.entry(folder).or_default();
        if !counted {
            names.insert(stem.chars().filter(|c| !c.is_ascii_digit()).collect());
            first = first.or(Some((*file, stem)));
        }
    }
    let all: BTreeSet<&String> = inside.values().flatten().collect();
    let pairs: usize = inside.values().map(BTreeSet::len).sum();
    first.filter(|_| inside.len() > 1 && all.len() > 1 && 3 * pairs >= 2 * inside.len() * all.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(files: &[&str]) -> Option<FolderKind> {
        let folders: BTreeSet<&str> = files.iter().filter_map(|name| folder_of(name, 1)).collect();
        match check(Path::new("data"), files, &folders.into_iter().collect::<Vec<_>>(), 0) {
            Ok(()) => None,
            Err(Error::NotClasses { kind, .. }) => Some(kind),
            Err(other) => panic!("{other}"),
        }
    }

    fn tree(firsts: &[&str], seconds: &[&str]) -> Option<FolderKind> {
        let files: Vec<String> =
            firsts.iter().flat_map(|a| seconds.iter().map(move |b| format!("{a}/{b}/1.npy"))).collect();
        kind(&files.iter().map(String::as_str).collect::<Vec<_>>())
    }

    #[test]
    fn parts_of_a_dataset_are_no_classes() {
        for parts in [
            &["train", "test"][..],
            &["Training", "Validation", "Testing"],
            &["TRAIN", "dev", "eval"],
            &["train_set", "test-set", "docs"],
            &["dvs_train", "dvs_test"],
            &["train2017", "val2017"],
            &["trainset", "held-out"],
            &["train", "test", "more", "old"],
            &["train"],
            &["ibmGestureTrain", "ibmGestureTest"],
            &["split_0", "split_1"],
            &["fold1", "fold2", "fold10"],
            &["train_set", "test_set"],
            &["tr", "te"],
            &["x_tr", "x_va", "test"],
            &["Part A", "Part B"],
        ] {
            let found = tree(parts, &["wave", "clap"]);
            assert_eq!(found, Some(FolderKind::Parts(sorted(parts))), "{parts:?}");
            let files: Vec<String> = parts.iter().map(|part| format!("{part}/1.npy")).collect();
            assert!(kind(&files.iter().map(String::as_str).collect::<Vec<_>>()).is_some(), "{parts:?} without classes");
        }
        for classes in [
            &["train", "car", "bus"][..],
            &["test", "wave"],
            &["trainer", "tester"],
            &["value", "devil"],
            &["en", "tr"],
            &["tr", "te", "hi"],
            &["te", "ts"],
            &["folder", "splits"],
            &["Trade", "Tea"],
        ] {
            assert_eq!(tree(classes, &["s1", "s2"]), None, "{classes:?}");
        }
        assert_eq!(tree(&["wave", "clap"], &["train", "test"]), Some(FolderKind::PartsOfEach));
        assert_eq!(
            kind(&["all/train/a/1.npy", "all/test/a/1.npy"]),
            Some(FolderKind::Parts(sorted(&["test", "train"])))
        );
    }

    fn sorted(names: &[&str]) -> Vec<String> {
        let mut names: Vec<String> = names.iter().map(|name| (*name).to_string()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn persons_and_sessions_are_no_classes() {
        for persons in [
            &["user01", "user02_led"][..],
            &["subject_3", "subject_4"],
            &["s01", "s02", "s03"],
            &["Session 1", "Session 2"],
            &["user_a", "user_b"],
            &["alice", "bob"],
            &["1", "2"],
            &["2024-01-05", "2024-01-06"],
        ] {
            assert_eq!(tree(persons, &["wave", "clap"]), Some(FolderKind::Above(2)), "{persons:?}");
            assert_eq!(tree(&["wave", "clap"], persons), None.or(same(persons)), "classes above {persons:?}");
        }
        // Not every person has every class.
        let some = ["user1/wave/1.npy", "user1/clap/1.npy", "user2/wave/1.npy", "user3/roll/1.npy"];
        assert_eq!(kind(&some), Some(FolderKind::Above(2)));
        let three = ["user1/session1/wave/1.npy", "user2/session1/clap/1.npy"];
        assert_eq!(kind(&three), Some(FolderKind::Above(3)));
        assert_eq!(kind(&["dataset/wave/1.npy", "dataset/clap/1.npy"]), Some(FolderKind::Above(2)));
        assert_eq!(kind(&["user1/s1/train/1.npy", "user2/s1/test/1.npy"]), Some(FolderKind::PartsOfEach));
        assert_eq!(kind(&["x/user1/wave/1.npy", "x/user2/wave/1.npy"]), Some(FolderKind::Above(3)));
    }

    /// Returns the expected result for first-level folders that all contain folders with the same `names`.
    fn same(names: &[&str]) -> Option<FolderKind> {
        (!names.iter().all(|name| is_group(name) || is_number(name))).then_some(FolderKind::Above(2))
    }

    #[test]
    fn sessions_with_the_same_files_in_each_are_no_classes() {
        let files = |firsts: &[&str], stems: &[&str]| {
            let all: Vec<String> =
                firsts.iter().flat_map(|a| stems.iter().map(move |b| format!("{a}/{b}.npy"))).collect();
            kind(&all.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let same = |file: &str, class: &str| Some(FolderKind::SameFiles { file: file.into(), class: class.into() });
        for sessions in [["lab", "led"], ["2021-01-01", "2021-01-02"], ["user1", "user2"]] {
            let file = |name: &str| format!("{}/{name}.npy", sessions[0]);
            assert_eq!(files(&sessions, &["clap", "wave"]), same(&file("clap"), "clap"), "{sessions:?}");
            assert_eq!(files(&sessions, &["clap_1", "clap_2", "wave_1"]), same(&file("clap_1"), "clap_1"));
        }
        assert_eq!(
            kind(&["a/wave.1.npy", "a/x.npy", "a/y.npy", "b/wave.2.npy", "b/y.npy"]),
            same("a/wave.1.npy", "wave")
        );
        for counted in [&["0001", "0002"][..], &["rec1", "rec2"], &["user01_led", "user02_lab"], &["1_left", "1_right"]]
        {
            assert_eq!(files(&["wave", "clap"], counted), None, "{counted:?}");
        }
        for counted in [&["sample_1", "data_2"][..], &["obj1", "obj2"], &["events"]] {
            assert_eq!(files(&["wave", "clap"], counted), None, "{counted:?}");
        }
        assert_eq!(kind(&["wave/jim.npy", "wave/ann.npy", "clap/bob.npy", "clap/eve.npy"]), None);
        assert_eq!(kind(&["wave/jim.npy", "wave/ann.npy"]), None, "one class");
        assert_eq!(files(&["2021-01-01", "2021-01-02"], &["1"]), Some(FolderKind::Groups));
    }

    #[test]
    fn folders_of_recordings_in_classes_are_none_of_these() {
        assert_eq!(kind(&["user1/1.npy", "user2_led/1.npy"]), Some(FolderKind::Groups));
        assert_eq!(kind(&["user1/1.npy", "wave/1.npy"]), None);
        assert_eq!(kind(&["wave/a/1.npy", "wave/b/1.npy", "clap/c/1.npy"]), None);
        assert_eq!(kind(&["wave/events/1.npy", "clap/events/1.npy"]), None);
        assert_eq!(kind(&["wave/1.npy", "wave/old/1.npy", "clap/1.npy", "clap/old/1.npy"]), None);
        assert_eq!(kind(&["wave/s1/1.npy", "wave/s2/1.npy"]), None, "one class");
    }
}
