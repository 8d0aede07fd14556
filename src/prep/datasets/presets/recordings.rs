//! Data sets of long recordings whose labels are not classes, but poses, flow or depth. Recordings are read without a
//! label. If there are two cameras, the left one is read.
//!
//! | set | recording | labels that are not read |
//! |---|---|---|
//! | DSEC | `thun_00_a/events_left/events.h5`; times without `t_offset` | disparity, optical flow |
//! | the Event-Camera Dataset | `shapes_6dof.bag` or `shapes_6dof/events.txt` | poses |
//! | MVSEC | `indoor_flying/indoor_flying1_data.bag` or `.hdf5` | depth, poses |
//! | Brisbane-Event-VPR | `dvs_vpr_2020-04-21-17-03-03.bag` | GPS positions |
//! | TUM-VIE | `bike-easy/bike-easy-events_left.h5` | poses |

use std::path::Path;
use std::sync::Arc;

use tonic_base::some_of;
use tonic_shard::NO_LABEL;

use crate::datasets::presets::data_dir::{DataDir, Found, columns};
use crate::datasets::{Dataset, DatasetSplit};
use crate::error::Result;
use crate::source::{LabelSource, Layout, ListedFile, ListedFiles, SourceOptions};
use crate::time_unit::TimeUnit;

/// A data set of long recordings. Its files can have one of several forms. `datasets.toml` has the names of the
/// recordings.
#[derive(Debug)]
pub(super) struct Recordings(&'static [Form]);

/// One way in which the files of a data set are named. Only the first form for which files are found is used.
#[derive(Debug)]
struct Form {
    /// Path of a recording. `{r}` is its name, `{s}` its split.
    path: &'static str,
    layout: Layout,
    /// Order of the columns of a text file. The times in such a file are in seconds.
    columns: Option<&'static str>,
    /// Topic of the events in a bag.
    topic: Option<&'static str>,
}

const fn form(path: &'static str, layout: Layout) -> Form {
    Form { path, layout, columns: None, topic: None }
}

const fn bag(path: &'static str, topic: &'static str) -> Form {
    Form { path, layout: Layout::Rosbag, columns: None, topic: Some(topic) }
}

pub(super) const DSEC: Recordings = Recordings(&[
    form("{r}/events_left/events.h5", Layout::Dsec),
    form("{s}/{r}/events_left/events.h5", Layout::Dsec),
    form("{r}/events/left/events.h5", Layout::Dsec),
    form("{s}/{r}/events/left/events.h5", Layout::Dsec),
]);

pub(super) const TUMVIE: Recordings =
    Recordings(&[form("{r}/{r}-events_left.h5", Layout::Dsec), form("{r}-events_left.h5", Layout::Dsec)]);

pub(super) const DAVISDATA: Recordings = Recordings(&[
    bag("{r}.bag", "/dvs/events"),
    Form { path: "{r}/events.txt", layout: Layout::Csv, columns: Some("t,x,y,p"), topic: None },
]);

pub(super) const MVSEC: Recordings = Recordings(&[
    bag("{s}/{r}.bag", "/davis/left/events"),
    bag("{r}.bag", "/davis/left/events"),
    form("{s}/{r}.hdf5", Layout::Mvsec),
    form("{r}.hdf5", Layout::Mvsec),
]);

pub(super) const VPR: Recordings = Recordings(&[bag("{r}.bag", "/dvs/events")]);

/// Returns the names of the splits, followed by those of single recordings.
pub(super) fn splits(dataset: &Dataset) -> Vec<String> {
    let names = dataset.splits.iter().map(|split| split.name.clone());
    names.chain(dataset.splits.iter().flat_map(recordings)).collect()
}

/// Returns the names of the recordings of a split.
fn recordings(split: &DatasetSplit) -> Vec<String> {
    let mut names: Vec<String> = split.downloads().into_iter().map(|download| download.recording).collect();
    names.dedup();
    names
}

impl Recordings {
    /// Lists the recordings of a split whose files exist.
    ///
    /// # Errors
    /// [`crate::Error::NotADownload`] if no file exists.
    pub(super) fn find(&self, data: &DataDir<'_>) -> Result<Found> {
        let all = data.dataset.splits.iter();
        let all = all.flat_map(|split| recordings(split).into_iter().map(|name| (split.name.as_str(), name)));
        let wanted: Vec<(&str, String)> =
            all.filter(|(split, name)| *split == data.split || name == data.split).collect();
        let path_of =
            |form: &Form, (split, name): &(&str, String)| form.path.replace("{r}", name).replace("{s}", split);
        let there = |dir: &Path, form: &Form, one| Some(path_of(form, one)).filter(|name| dir.join(name).is_file());
        let places = data.places().flat_map(|dir| self.0.iter().map(move |form| (dir.clone(), form)));
        let mut places = places.filter(|(dir, form)| wanted.iter().any(|one| there(dir, form, one).is_some()));
        let Some((dir, form)) = places.next() else {
            let more = if wanted.len() > 1 { " or another recording" } else { "" };
            let expected = format!("{}{more}", path_of(&self.0[0], &wanted[0]));
            return Err(data.missing(data.dir, expected));
        };
        let (mut files, mut absent) = (Vec::new(), Vec::new());
        for one in &wanted {
            match there(&dir, form, one) {
                Some(name) => files.push(ListedFile::whole(name, NO_LABEL)),
                None => absent.push(one.1.as_str()),
            }
        }
        let mut notes = vec![data.count_note(files.len())];
        let lacks = || format!("warning: recordings of {} that are not there: {}", data.split, some_of(&absent));
        notes.extend((!absent.is_empty()).then(lacks));
        let right = files.iter().map(|file| file.name.replace("left", "right"));
        let is_there = |(name, left): &(String, &ListedFile)| *name != left.name && dir.join(name).is_file();
        let right: Vec<String> = right.zip(&files).filter(is_there).map(|(name, _)| name).collect();
        let elsewhere =
            || format!("of the right camera, in no sample; they convert by themselves: {}", some_of(&right));
        notes.extend((!right.is_empty()).then(elsewhere));
        let source = SourceOptions {
            layout: Some(form.layout),
            topic: form.topic.map(String::from),
            columns: form.columns.map(columns).transpose()?,
            time_unit: form.columns.map(|_| TimeUnit::Seconds),
            sensor: data.dataset.sensor,
            labels: LabelSource::Listed(Arc::new(ListedFiles { classes: Vec::new(), files, notes })),
            ..SourceOptions::default()
        };
        Ok((dir, source))
    }
}
