//! Data sets without classes. 3ET lists the recordings of a split in a text file. NeRDD has no list: all recordings
//! that are found are taken.
//!
//! | set | recordings | columns | labels that are not read |
//! |---|---|---|---|
//! | 3ET | `data/NAME.h5`, for each NAME in `train_files.txt` or `val_files.txt` | `events`: t, x, y, p | gaze |
//! | NeRDD | `DATA/ARCHIVE/SCENE/Event/output_events.npz` | `data`: x, y, p, t | boxes |

use std::sync::Arc;

use tonic_shard::NO_LABEL;

use crate::datasets::presets::data_dir::{DataDir, Entries, Found, columns};
use crate::error::{BaseFault, Error, Result};
use crate::source::{LabelSource, Layout, ListedFile, ListedFiles, SourceOptions};
use crate::time_unit::TimeUnit;

/// Each split of 3ET: its name, and the file that lists its recordings.
pub(super) const THREEET: [(&str, &str); 2] = [("train", "train_files.txt"), ("val", "val_files.txt")];

const SCENE: &str = "Event/output_events.npz";

/// Lists the recordings of a split of 3ET.
///
/// # Errors
/// [`Error::NotADownload`].
pub(super) fn threeet(data: &DataDir<'_>) -> Result<Found> {
    let (_, list) = *THREEET.iter().find(|(split, _)| *split == data.split).unwrap_or(&THREEET[0]);
    let list = data.find(&[list])?;
    let dir = list.parent().unwrap_or(data.dir);
    let text = std::fs::read_to_string(&list).map_err(Error::io(&list, "read the list of recordings"))?;
    let names: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if names.is_empty() {
        return Err(data.unlike(&list, "names of recordings", "none"));
    }
    let files: Vec<String> = names.into_iter().map(|name| format!("data/{name}.h5")).collect();
    if let Some(absent) = files.iter().find(|file| !dir.join(file).is_file()) {
        return Err(data.missing(&dir.join("data"), format!("{absent}, which {} lists", list.display())));
    }
    let map = "t=events[0],x=events[1],y=events[2],p=events[3]";
    let map = map.parse().map_err(|expected: String| Error::usage("map", expected, map))?;
    let source = SourceOptions { layout: Some(Layout::Map), map: Some(map), ..unlabelled(data, files) };
    Ok((dir.into(), source))
}

/// Lists all scenes of NeRDD.
///
/// # Errors
/// [`Error::NotADownload`].
pub(super) fn nerdd(data: &DataDir<'_>) -> Result<Found> {
    let dir = data.find(&["DATA"])?;
    let mut files = Vec::new();
    for archive in Entries::of(&dir)?.folders {
        for scene in Entries::of(&dir.join(&archive))?.folders {
            let file = format!("{archive}/{scene}/{SCENE}");
            if dir.join(&file).is_file() {
                files.push(file);
            }
        }
    }
    if files.is_empty() {
        return Err(data.missing(&dir, format!("folders of scenes with {SCENE}")));
    }
    Ok((dir.clone(), SourceOptions { columns: Some(columns("x,y,p,t")?), ..unlabelled(data, files) }))
}

/// The options for files without labels, whose times are microseconds.
fn unlabelled(data: &DataDir<'_>, files: Vec<String>) -> SourceOptions {
    let notes = data.notes(files.len());
    let files = files.into_iter().map(|name| ListedFile::whole(name, NO_LABEL)).collect();
    SourceOptions {
        sensor: data.dataset.sensor,
        time_unit: Some(TimeUnit::Microseconds),
        labels: LabelSource::Listed(Arc::new(ListedFiles { classes: Vec::new(), files, notes })),
        ..SourceOptions::default()
    }
}
