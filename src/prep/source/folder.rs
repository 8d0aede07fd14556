//! A folder of recordings, one a file: a folder a class, or a flat one with a table of labels.
//!
//! The first file tells the layout of all. Files are opened when they are read, and not before, unless they are cut.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::cut::Pieces;
use super::labels::{self, Row};
use super::long::Long;
use super::options::{Cut, Labels, SourceOptions};
use super::{Reader, Recording, open_stream};
use crate::error::{Error, Result};
use crate::shard::codec::NO_LABEL;

/// Endings of files that are recordings.
const ENDINGS: [&str; 5] = ["h5", "hdf5", "hdf", "npy", "npz"];
/// Folders in folders, at most: a link to a folder above ends somewhere.
const MAX_DEPTH: usize = 16;

/// Opens a folder's recordings.
///
/// # Errors
/// [`Error::Io`]; [`Error::BadFolder`] for files that are no recordings or in no class, and for none; [`Error::BadTable`]
/// for a table of something else; those of opening the first file, and of all that are cut.
pub fn open(dir: &Path, options: &SourceOptions) -> Result<Vec<Recording>> {
    let table = match &options.labels {
        Labels::Csv(path) => Some(path),
        _ => None,
    };
    let mut files = Vec::new();
    list(dir, String::new(), table, MAX_DEPTH, &mut files)?;
    files.sort_unstable();
    let mut notes = Vec::new();
    let (classes, labels) = match &options.labels {
        Labels::One(label) => (Some(vec![label.clone()]), vec![0; files.len()]),
        Labels::Csv(path) => {
            let rows = labels::read(path, super::TimeUnit::Microseconds)?;
            let (classes, found) = labelled(path, dir, &files, &rows)?;
            let mut labels = Vec::with_capacity(files.len());
            let before = files.len();
            let mut found = found.into_iter();
            files.retain(|_| found.next().flatten().inspect(|&label| labels.push(label)).is_some());
            if files.len() < before {
                notes.push(format!("{} files are not in {}; they were left out", before - files.len(), path.display()));
            }
            (Some(classes), labels)
        }
        Labels::Own => by_folder(dir, &files)?,
    };
    let bad =
        |expected: &str, got: &str| Error::BadFolder { path: dir.into(), expected: expected.into(), got: got.into() };
    let Some(first) = files.first() else {
        return Err(bad(&format!("recordings ({})", ENDINGS.join(", ")), "none"));
    };
    let first = open_stream(&dir.join(first), options)?;
    let options = Arc::new(SourceOptions { layout: Some(first.layout), ..options.clone() });
    let classes: Option<Arc<[String]>> = classes.map(Into::into);
    let mut recordings = Vec::with_capacity(files.len());
    for (name, label) in files.into_iter().zip(labels) {
        let path = dir.join(&name);
        let (pieces, more) = match options.cut {
            Cut::Whole => (Pieces { labels: vec![label], ..Pieces::default() }, Vec::new()),
            cut => {
                let mut stream = open_stream(&path, &options)?;
                let mut pieces = super::cut::cut(&mut stream, cut, &[])?;
                pieces.labels.fill(label);
                let notes = pieces.notes();
                (pieces, notes)
            }
        };
        let labels = pieces.labels.clone();
        let (layout, sensor) = (first.layout, first.sensor);
        notes.extend(more.into_iter().map(|note| format!("{name}: {note}")));
        let reader = Reader::Long(Box::new(Long::closed(&path, Arc::clone(&options), pieces)));
        let (classes, extras) = (classes.clone(), Vec::new());
        recordings.push(Recording { path, name, layout, sensor, labels, classes, extras, notes: Vec::new(), reader });
    }
    if let Some(first) = recordings.first_mut() {
        first.notes = notes;
    }
    Ok(recordings)
}

/// Adds the recordings under a folder, by their names from the given one on.
fn list(dir: &Path, prefix: String, table: Option<&PathBuf>, depth: usize, files: &mut Vec<String>) -> Result<()> {
    let refused =
        |name: &str, expected: &str| Error::BadFolder { path: dir.into(), expected: expected.into(), got: name.into() };
    if depth == 0 {
        return Err(refused("deeper ones", &format!("at most {MAX_DEPTH} folders in each other")));
    }
    for entry in std::fs::read_dir(dir).map_err(Error::io(dir, "list the folder"))? {
        let path = entry.map_err(Error::io(dir, "list the folder"))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return Err(refused(&path.display().to_string(), "names in UTF-8"));
        };
        if name.starts_with('.') || table.is_some_and(|table| *table == path) {
            continue;
        }
        let meta = std::fs::metadata(&path).map_err(Error::io(&path, "open the recording"))?;
        if meta.is_dir() {
            list(&path, format!("{prefix}{name}/"), table, depth - 1, files)?;
            continue;
        }
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
        if !ENDINGS.contains(&ending.as_str()) {
            return Err(refused(name, &format!("recordings only ({})", ENDINGS.join(", "))));
        }
        files.push(format!("{prefix}{name}"));
    }
    Ok(())
}

/// Classes by the folders at the top, in the order of their letters; none of a folder that has files only.
fn by_folder(dir: &Path, files: &[String]) -> Result<(Option<Vec<String>>, Vec<u32>)> {
    let Some(folders) = files.iter().map(|name| Some(name.split_once('/')?.0)).collect::<Option<Vec<&str>>>() else {
        if let Some(name) = files.iter().find(|name| name.contains('/')) {
            let loose = files.iter().find(|name| !name.contains('/')).map_or("", String::as_str);
            return Err(Error::BadFolder {
                path: dir.into(),
                expected: "a folder a class, or files only".into(),
                got: format!("{loose} beside the folder of {name}"),
            });
        }
        return Ok((None, vec![NO_LABEL; files.len()]));
    };
    let (classes, labels) = labels::classes(folders.into_iter(), false);
    Ok((Some(classes), labels))
}

/// The classes of a table of files, and of each file its class, if the table has it.
fn labelled(table: &Path, dir: &Path, files: &[String], rows: &[Row]) -> Result<(Vec<String>, Vec<Option<u32>>)> {
    let (classes, classes_of) = labels::classes(rows.iter().map(|row| row.label.as_str()), true);
    let mut places: HashMap<&str, Option<usize>> = HashMap::new();
    for (i, name) in files.iter().enumerate() {
        places.insert(name, Some(i));
    }
    for (i, name) in files.iter().enumerate() {
        // A name alone will do where only one folder has it.
        if let Some((_, alone)) = name.rsplit_once('/') {
            places.entry(alone).and_modify(|place| *place = None).or_insert(Some(i));
        }
    }
    let mut found = vec![None; files.len()];
    for (row, class) in rows.iter().zip(classes_of) {
        let bad = |expected: String, got: String| Error::BadTable { path: table.into(), line: row.line, expected, got };
        let Some(name) = row.file.as_deref().filter(|_| row.interval.is_none()) else {
            return Err(bad("a file and its label, for a folder of recordings".into(), "an interval".into()));
        };
        match places.get(name.strip_prefix("./").unwrap_or(name)) {
            Some(Some(i)) if found[*i].is_none() => found[*i] = Some(class),
            Some(Some(_)) => return Err(bad("each file once".into(), format!("{name} again"))),
            Some(None) => {
                return Err(bad("a file's path in the folder".into(), format!("{name}, of which there are several")));
            }
            None => return Err(bad(format!("a file of {}", dir.display()), name.into())),
        }
    }
    Ok((classes, found))
}
