//! A folder of recordings with one recording per file. Classes come from subfolders or from a table of labels.
//!
//! The first file gives the layout of all files. A file is opened only when it is read, unless recordings are cut into
//! samples.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{BaseFault, Error, Result};
use crate::source::cut::{Pieces, cut_one_class};
use crate::source::detect::open_stream;
use crate::source::labels;
use crate::source::labels::Row;
use crate::source::long::Long;
use crate::source::options::{Cut, LabelSource, SourceOptions};
use crate::source::recording::Recording;
use crate::source::unit::TimeUnit;
use tonic_shard::NO_LABEL;

/// File extensions of recordings.
const ENDINGS: [&str; 5] = ["h5", "hdf5", "hdf", "npy", "npz"];
/// Maximum depth of nested folders, so that symbolic link loops end.
const MAX_DEPTH: usize = 16;

/// Opens a folder's recordings.
///
/// # Errors
/// [`tonic_base::Error::Io`]; [`Error::NotARecording`] for files that are not recordings or have no class, and for a
/// folder without recordings; [`Error::BadTable`] for a table that doesn't fit the folder; those of opening the first
/// file, and all files that are cut.
pub(super) fn open(dir: &Path, options: &SourceOptions) -> Result<Vec<Recording>> {
    let table = match &options.labels {
        LabelSource::Csv(path) => Some(path),
        _ => None,
    };
    let mut files = Vec::new();
    list(dir, String::new(), table, MAX_DEPTH, &mut files)?;
    files.sort_unstable();
    let mut notes = Vec::new();
    let (classes, labels) = match &options.labels {
        LabelSource::One(label) => (Some(vec![label.clone()]), vec![0; files.len()]),
        LabelSource::Csv(path) => {
            let rows = labels::read_labels(path, TimeUnit::Microseconds)?;
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
        LabelSource::Own => by_folder(dir, &files)?,
    };
    let Some(first) = files.first() else {
        return Err(Error::not_a_recording(dir, format!("recordings ({})", ENDINGS.join(", ")), "none"));
    };
    let first = open_stream(&dir.join(first), options)?;
    let options = Arc::new(SourceOptions { layout: Some(first.layout), ..options.clone() });
    let classes: Option<Arc<[String]>> = classes.map(Into::into);
    let mut recordings = Vec::with_capacity(files.len());
    for (name, label) in files.into_iter().zip(labels) {
        let path = dir.join(&name);
        let pieces = match options.cut {
            Cut::Whole => Pieces::whole(label),
            cut => cut_one_class(&mut open_stream(&path, &options)?, cut, label)?,
        };
        let labels = pieces.labels.clone();
        let (layout, sensor) = (first.layout, first.sensor);
        notes.extend(pieces.notes().into_iter().map(|note| format!("{name}: {note}")));
        let reader = Box::new(Long::closed(&path, Arc::clone(&options), pieces));
        let (classes, extras) = (classes.clone(), Vec::new());
        recordings.push(Recording { path, name, layout, sensor, labels, classes, extras, notes: Vec::new(), reader });
    }
    if let Some(first) = recordings.first_mut() {
        first.notes = notes;
    }
    Ok(recordings)
}

/// Adds the recordings in a folder and its subfolders to `files`. Their names start with `prefix`.
fn list(dir: &Path, prefix: String, table: Option<&PathBuf>, depth: usize, files: &mut Vec<String>) -> Result<()> {
    if depth == 0 {
        let expected = format!("at most {MAX_DEPTH} folders in each other");
        return Err(Error::not_a_recording(dir, expected, "deeper ones"));
    }
    for entry in std::fs::read_dir(dir).map_err(Error::io(dir, "list the folder"))? {
        let path = entry.map_err(Error::io(dir, "list the folder"))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return Err(Error::not_a_recording(dir, "names in UTF-8", path.display().to_string()));
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
            return Err(Error::not_a_recording(dir, format!("recordings only ({})", ENDINGS.join(", ")), name));
        }
        files.push(format!("{prefix}{name}"));
    }
    Ok(())
}

/// Takes classes from the top-level subfolders, in alphabetical order. Returns no class names if there are only files.
fn by_folder(dir: &Path, files: &[String]) -> Result<(Option<Vec<String>>, Vec<u32>)> {
    let Some(folders) = files.iter().map(|name| Some(name.split_once('/')?.0)).collect::<Option<Vec<&str>>>() else {
        if let Some(name) = files.iter().find(|name| name.contains('/')) {
            let loose = files.iter().find(|name| !name.contains('/')).map_or("", String::as_str);
            let got = format!("{loose} beside the folder of {name}");
            return Err(Error::not_a_recording(dir, "a folder a class, or files only", got));
        }
        return Ok((None, vec![NO_LABEL; files.len()]));
    };
    let (classes, labels) = labels::number_classes(folders.into_iter(), false);
    Ok((Some(classes), labels))
}

/// Takes classes from a table. Returns the class names, and the class of each file if the table has a row for it.
fn labelled(table: &Path, dir: &Path, files: &[String], rows: &[Row]) -> Result<(Vec<String>, Vec<Option<u32>>)> {
    let (classes, classes_of) = labels::number_classes(rows.iter().map(|row| row.label.as_str()), true);
    let mut places: HashMap<&str, Option<usize>> = HashMap::new();
    for (i, name) in files.iter().enumerate() {
        places.insert(name, Some(i));
    }
    for (i, name) in files.iter().enumerate() {
        // A row may give a file's name without its folder, if the name is unique.
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
