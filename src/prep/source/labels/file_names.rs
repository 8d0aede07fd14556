//! Finds the recording that a row of a label table names. The row can have the path of the recording, or only the last
//! parts of this path.

use std::collections::HashMap;
use std::path::Path;

use unicode_normalization::UnicodeNormalization;

/// How well a name in a label table fits a recording, from the best fit to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// The name is the path of the recording relative to the folder, byte for byte.
    Same,
    /// The name is the path of the recording relative to the folder, in another Unicode normal form or with
    /// backslashes.
    Path,
    /// The name is only the last parts of the recording's path, such as `b/1.npy` for `a/b/1.npy`.
    End,
    /// The name is the recording's path without the ending of the file, such as `a/b/1` for `a/b/1.npy`.
    Stem,
    /// The name is only the last parts of the recording's path without its ending, such as `b/1` for `a/b/1.npy`.
    EndStem,
}

/// Finds the recording of a folder that a name in a label table stands for.
#[derive(Debug)]
pub(crate) struct FileNames {
    /// Two absolute paths of the folder: the one that was given, and the one with symbolic links resolved.
    roots: Vec<String>,
    /// For each name that a table may use: how well it fits, and the index of the recording. `None` if several
    /// recordings fit equally well.
    places: HashMap<String, (Fit, Option<usize>)>,
}

/// Result of looking up a name that a label table gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// The name fits the recording at this index best.
    One(usize),
    /// The name fits several recordings equally well.
    Several,
    /// The name fits no recording.
    Nothing,
}

impl FileNames {
    /// Collects the names of the recordings in the folder `dir`. `files` are the recordings' paths relative to `dir`.
    pub(crate) fn new(dir: &Path, files: &[String]) -> FileNames {
        let roots = [std::path::absolute(dir).ok(), dir.canonicalize().ok()];
        let roots = roots.into_iter().flatten().map(|root| normal(&root.to_string_lossy()));
        let mut places: HashMap<String, (Fit, Option<usize>)> = HashMap::new();
        for fit in [Fit::Same, Fit::Path, Fit::End, Fit::Stem, Fit::EndStem] {
            for (i, file) in files.iter().enumerate() {
                let whole: String = if fit == Fit::Same { file.clone() } else { file.nfc().collect() };
                let path = if fit >= Fit::Stem { stem(&whole) } else { &whole };
                // A file in gzip has two endings.
                let inner = (fit >= Fit::Stem && whole.ends_with(".gz")).then(|| stem(path));
                let mut put = |name: &str| {
                    let place = places.entry(name.to_string()).or_insert((fit, Some(i)));
                    if *place != (fit, Some(i)) && place.0 == fit {
                        place.1 = None;
                    }
                };
                for path in [Some(path), inner].into_iter().flatten() {
                    match fit {
                        Fit::Same | Fit::Path | Fit::Stem => put(path),
                        Fit::End | Fit::EndStem => path.match_indices('/').for_each(|(at, _)| put(&path[at + 1..])),
                    }
                }
            }
        }
        FileNames { roots: roots.collect(), places }
    }

    /// Finds the recording that a name in a label table stands for.
    pub(crate) fn find(&self, name: &str) -> Named {
        let found = self.places.get(name).copied().or_else(|| {
            let name = normal(name);
            let name = name.strip_prefix("./").unwrap_or(&name);
            self.places.get(name).copied().or_else(|| self.below_root(name))
        });
        match found {
            Some((_, Some(i))) => Named::One(i),
            Some((_, None)) => Named::Several,
            None => Named::Nothing,
        }
    }

    /// Finds the recording for a name that begins with the path of the folder, or with the last parts of this path. In
    /// the folder `/data/test`, such names are `/data/test/1.npy` and `test/1.npy`.
    fn below_root(&self, name: &str) -> Option<(Fit, Option<usize>)> {
        let whole = |fit: Fit| matches!(fit, Fit::Same | Fit::Path | Fit::Stem);
        name.match_indices('/').filter(|(at, _)| *at > 0).find_map(|(at, _)| {
            let (above, below) = (&name[..at], &name[at + 1..]);
            let ends =
                |root: &String| root.strip_suffix(above).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'));
            let place = self.roots.iter().any(ends).then(|| self.places.get(below).copied()).flatten();
            place.filter(|(fit, _)| whole(*fit))
        })
    }

    /// Returns the index of the recording whose name differs from `name` only in the ending. `None` if there is no such
    /// recording, or more than one.
    pub(crate) fn of_another_ending(&self, name: &str) -> Option<usize> {
        match self.find(stem(name)) {
            Named::One(i) => Some(i),
            _ => None,
        }
    }
}

/// Converts a name to Unicode normal form C, with slashes in place of backslashes.
fn normal(name: &str) -> String {
    name.nfc().map(|letter| if letter == '\\' { '/' } else { letter }).collect()
}

/// Returns the path without the ending of the file's name.
fn stem(path: &str) -> &str {
    let last = path.rfind(['/', '\\']).map_or(0, |at| at + 1);
    match path[last..].rfind('.') {
        Some(dot) if dot > 0 => &path[..last + dot],
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_finds_the_recording_that_it_fits_best() {
        let files =
            ["1.npy", "sub/1.npy", "sub/2.npy", "sub/é.npy", "x/y/3.v2.npz", "z/4.npy", "z/4.npz", "z/5.csv.gz"];
        let names = FileNames::new(Path::new("/data/test"), &files.map(String::from));
        for (name, expected) in [
            ("1.npy", Named::One(0)),
            ("./1.npy", Named::One(0)),
            ("1", Named::One(0)),
            ("sub/1.npy", Named::One(1)),
            ("sub\\1.npy", Named::One(1)),
            ("sub/1", Named::One(1)),
            ("2.npy", Named::One(2)),
            ("2", Named::One(2)),
            ("e\u{301}.npy", Named::One(3)),
            ("sub\\e\u{301}", Named::One(3)),
            ("3.v2", Named::One(4)),
            ("y/3.v2.npz", Named::One(4)),
            ("3", Named::Nothing),
            ("4", Named::Several),
            ("4.npz", Named::One(6)),
            ("z/5.csv.gz", Named::One(7)),
            ("5.csv", Named::One(7)),
            ("5", Named::One(7)),
            ("test/1.npy", Named::One(0)),
            ("test/sub/1.npy", Named::One(1)),
            ("/data/test/1.npy", Named::One(0)),
            ("data/test/1", Named::One(0)),
            ("train/1.npy", Named::Nothing),
            ("test/2.npy", Named::Nothing),
            ("other/test/1.npy", Named::Nothing),
            ("1.wav", Named::Nothing),
            ("", Named::Nothing),
        ] {
            assert_eq!(names.find(name), expected, "{name:?}");
        }
        assert_eq!(names.of_another_ending("sub/2.wav"), Some(2));
        assert_eq!(names.of_another_ending("6.wav"), None);
    }
}
