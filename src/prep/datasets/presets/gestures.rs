//! DVS Gesture: the download of Tonic, in which each gesture is a file, or the original recordings.
//!
//! | | |
//! |---|---|
//! | `ibmGestureTrain/user01_lab/0.npy` | Tonic's: tables x, y, p, t in milliseconds; the file's name is the class |
//! | `DvsGesture/user01_lab.aedat` | the original: AEDAT 3.1, all gestures of a person one after the other |
//! | `DvsGesture/user01_lab_labels.csv` | class (from 1 on), start and end of each gesture in microseconds |
//! | `DvsGesture/trials_to_train.txt` | the recordings of the split |

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::datasets::presets::data_dir::{DataDir, Entries, Found, columns};
use crate::error::{BaseFault, Error, Result};
use crate::source::{LabelSource, Layout, ListedFile, ListedFiles, SourceOptions, read_labels};
use crate::time_unit::TimeUnit;
use tonic_shard::NO_LABEL;

/// Each split: its name, its folder in Tonic's download, and its list of original recordings.
pub(super) const SPLITS: [(&str, &str, &str); 2] =
    [("train", "ibmGestureTrain", "trials_to_train.txt"), ("test", "ibmGestureTest", "trials_to_test.txt")];

/// Tonic's names of the classes, in the order of their numbers.
const CLASSES: [&str; 11] = [
    "Hand clapping",
    "Right hand wave",
    "Left hand wave",
    "Right arm cw",
    "Right arm ccw",
    "Left arm cw",
    "Left arm ccw",
    "Arm roll",
    "Air drums",
    "Air guitar",
    "Other gestures",
];

/// Lists the gestures of a split.
///
/// # Errors
/// [`Error::NotADownload`]; errors of reading the tables of the original.
pub(super) fn find(data: &DataDir<'_>) -> Result<Found> {
    let (_, folder, list) = *SPLITS.iter().find(|(split, ..)| *split == data.split).unwrap_or(&SPLITS[0]);
    let found = data.find(&[folder, list])?;
    let (dir, files, notes, source) = if found.is_dir() {
        let files = gestures(data, &found)?;
        let notes = data.notes(files.len());
        let time_unit = Some(TimeUnit::Milliseconds);
        (
            found,
            files,
            notes,
            SourceOptions { columns: Some(columns("x,y,p,t")?), time_unit, ..SourceOptions::default() },
        )
    } else {
        let dir = found.parent().unwrap_or(data.dir).to_path_buf();
        let files = trials(data, &dir, &found)?;
        let notes = vec![data.count_note(files.len())]; // the known numbers of samples are those of Tonic's download
        (dir, files, notes, SourceOptions { layout: Some(Layout::Aedat3), ..SourceOptions::default() })
    };
    let listed = ListedFiles { classes: CLASSES.map(String::from).into(), notes, files };
    Ok((dir, SourceOptions { sensor: data.dataset.sensor, labels: LabelSource::Listed(Arc::new(listed)), ..source }))
}

/// Lists the files of Tonic's download: a folder for each person and lighting, a file for each gesture.
fn gestures(data: &DataDir<'_>, dir: &Path) -> Result<Vec<ListedFile>> {
    let mut files = Vec::new();
    for folder in Entries::of(dir)?.folders {
        let place = dir.join(&folder);
        for name in Entries::of(&place)?.ending_with("npy") {
            let class = name.strip_suffix(".npy").and_then(|number| number.parse().ok());
            let Some(class) = class.filter(|class| (0..CLASSES.len() as u32).contains(class)) else {
                return Err(data.unlike(&place, "files 0.npy to 10.npy", name));
            };
            files.push(ListedFile::whole(format!("{folder}/{name}"), class));
        }
    }
    if files.is_empty() {
        Err(data.missing(dir, "folders such as user01_lab/ with 0.npy to 10.npy"))
    } else {
        Ok(files)
    }
}

/// Lists the original recordings that the file `list` names, with the intervals of their gestures.
fn trials(data: &DataDir<'_>, dir: &Path, list: &PathBuf) -> Result<Vec<ListedFile>> {
    let text = std::fs::read_to_string(list).map_err(Error::io(list, "read the list of recordings"))?;
    let mut files = Vec::new();
    for name in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let stem = name.strip_suffix(".aedat").unwrap_or(name);
        let (name, table) = (format!("{stem}.aedat"), format!("{stem}_labels.csv"));
        if let Some(absent) = [&name, &table].into_iter().find(|file| !dir.join(file).is_file()) {
            return Err(data.missing(dir, format!("{absent}, because {} lists {name}", list.display())));
        }
        let table = dir.join(table);
        let rows = read_labels(&table, TimeUnit::Microseconds)?;
        let numbered = rows.into_iter().map(|row| {
            let number = row.label.parse().ok().filter(|number| (1..=CLASSES.len() as u32).contains(number));
            let bad = |expected: &str, got: String| {
                Err(Error::BadTable { path: table.clone(), line: row.line, expected: expected.into(), got })
            };
            match number {
                None => bad("a class from 1 to 11", row.label),
                Some(_) if row.interval.is_none() => bad("a class, a start and an end", "no interval".into()),
                Some(number) => Ok((row, number - 1)),
            }
        });
        files.push(ListedFile { name, class: NO_LABEL, intervals: numbered.collect::<Result<_>>()? });
    }
    if files.is_empty() { Err(data.unlike(list, "names of recordings", "none")) } else { Ok(files) }
}
