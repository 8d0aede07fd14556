//! Opens the recordings of a conversion, and checks that they fit into one set: the same sensor, classes and extra
//! columns, and no recording twice.

use std::collections::HashSet;
use std::path::PathBuf;

use tonic_base::{and_more, some_of};
use tonic_shard::{Error as ShardError, NO_LABEL, listed};

use crate::convert::added::AddedSamples;
use crate::convert::inputs::{Input, Inputs, Rowless};
use crate::convert::sensor::unknown_sensor;
use crate::error::{BaseFault, Error, Result};
use crate::source::{Kinds, Layout, Recording, SourceOptions, alike, compare_files, events_of, twins, vet_together};

impl Inputs {
    /// Opens recordings and checks that they match each other.
    ///
    /// # Errors
    /// Errors of opening; [`tonic_shard::Error::Mismatch`] if the recordings have different classes, extra columns or
    /// sensors; [`tonic_base::Error::Usage`] if the sensor size is unknown.
    pub fn open(paths: &[PathBuf], options: &SourceOptions) -> Result<Inputs> {
        let mut recordings = Vec::with_capacity(paths.len());
        let (mut told, mut rowless, mut small) = (Vec::new(), Rowless::default(), Vec::new());
        for path in paths {
            let opened = Recording::open(path, options).map_err(|error| compare_files(error, paths, options));
            let mut opened = opened?;
            if opened.is_empty() {
                rowless.recordings += 1;
                rowless.events += events_of(path, options)?;
            }
            let folder = path.is_dir() || opened.len() > 1;
            for recording in &mut opened {
                let name = if folder { path.display().to_string() } else { recording.name.clone() };
                told.extend(std::mem::take(&mut recording.notes).into_iter().map(|note| (name.clone(), note)));
            }
            small.extend(
                opened.iter().filter(|only| !folder && !only.layout.has_samples()).map(|only| only.path.clone()),
            );
            recordings.extend(opened);
        }
        if paths.len() > 1 {
            check_once(&recordings)?;
        }
        if let [first, _, ..] = &small[..] {
            vet_together(first, &small, options)?;
        }
        let mut notes: Vec<String> = match paths {
            [_] => told.into_iter().map(|(_, note)| note).collect(),
            _ => told.into_iter().collect::<Kinds>().texts().collect(),
        };
        notes.extend(twins(&recordings, options));
        if rowless.recordings > 0 {
            let n = rowless.recordings;
            notes.push(format!("{n} recordings have no row in the table of labels; they were left out"));
        }
        Ok(Inputs { rowless, ..Inputs::of(recordings, notes, options)? })
    }

    /// Makes the inputs from the samples that a program has added.
    pub(in crate::convert) fn of_added(added: AddedSamples, options: &SourceOptions) -> Result<Inputs> {
        Inputs::of(vec![added.into_recording()?], Vec::new(), options)
    }

    fn of(mut recordings: Vec<Recording>, mut notes: Vec<String>, options: &SourceOptions) -> Result<Inputs> {
        if let [only] = &mut recordings[..] {
            // If there is only one recording, the user gave the range for it. Then events outside the range are not a
            // loss.
            only.out_of_range = 0;
        }
        let Some(first) = recordings.first() else {
            return Err(Error::usage("recordings", "at least one with a row in the table of labels", "none"));
        };
        let names = |r: &Recording| r.extras.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let classes =
            |r: &Recording| r.classes.as_ref().map_or("none; labels are numbers".into(), |names| listed(names));
        let sensor_of = |r: &Recording| options.sensor.or(r.sensor);
        let size = |r: &Recording| sensor_of(r).map_or("unknown".into(), |sensor| sensor.to_string());
        for recording in &recordings[1..] {
            let same_names =
                recording.extras.iter().map(|(name, _)| name).eq(first.extras.iter().map(|(name, _)| name));
            if recording.classes == first.classes && sensor_of(recording) == sensor_of(first) && same_names {
                continue;
            }
            let fields = [
                ("list of classes", classes(first), classes(recording)),
                ("list of extra columns", listed(&names(first)), listed(&names(recording))),
                ("sensor", size(first), size(recording)),
            ];
            ShardError::refuse_difference(&recording.path, &first.path, fields)?;
        }
        let Some(sensor) = sensor_of(first) else { return Err(unknown_sensor(first)?) };
        let classes = first.classes.as_ref().map_or_else(
            || {
                let largest = recordings.iter().flat_map(|r| &r.labels).filter(|&&label| label != NO_LABEL).max();
                (0..largest.map_or(0, |&largest| largest + 1)).map(|label| label.to_string()).collect()
            },
            |names| names.to_vec(),
        );
        let alike: Vec<String> = alike(&classes).iter().map(|names| format!("{names:?}")).collect();
        notes.extend(
            (!alike.is_empty())
                .then(|| format!("warning: different classes that may be meant to be one: {}", some_of(&alike))),
        );
        let (extras, layout, columns) = (names(first), first.layout, first.columns.clone());
        let is_image = |r: &Recording| r.layout == Layout::Smnist;
        let flat =
            |r: &Recording| !r.columns.has_more() && !is_image(r) && r.sensor.is_none_or(|told| told.height == 1);
        let cochlea = sensor.height == 1 && recordings.iter().all(flat);
        notes.extend(other_columns(&recordings));
        let mut layouts = vec![layout];
        for recording in &recordings {
            if !layouts.contains(&recording.layout) {
                layouts.push(recording.layout);
            }
        }
        let mut inputs = Vec::with_capacity(recordings.len());
        let mut first = 0;
        for recording in recordings {
            let samples = recording.samples();
            inputs.push(Input { recording, skipped: 0, first, samples });
            first += samples;
        }
        Ok(Inputs {
            inputs,
            sensor,
            classes,
            extras,
            layout,
            layouts,
            columns,
            cochlea,
            notes,
            rowless: Rowless::default(),
            options: options.clone(),
        })
    }
}

/// Returns an error if a recording is given twice, even by two different paths.
fn check_once(recordings: &[Recording]) -> Result<()> {
    let mut seen = HashSet::new();
    let twice = recordings.iter().find(|r| !seen.insert(r.path.canonicalize().unwrap_or_else(|_| r.path.clone())));
    let Some(twice) = twice else { return Ok(()) };
    Err(Error::usage("recordings", "each recording once", format!("{} twice", twice.path.display())))
}

/// Notes about recordings whose columns come from other fields than in the first recording. Recordings with the same
/// fields share one note.
fn other_columns(recordings: &[Recording]) -> Vec<String> {
    let mut kinds: Vec<(&Recording, usize)> = Vec::new();
    for recording in recordings {
        match kinds.iter_mut().find(|(first, _)| !recording.columns.has_other_fields(&first.columns)) {
            Some((_, more)) => *more += 1,
            None => kinds.push((recording, 0)),
        }
    }
    let note = |&(Recording { name, columns, .. }, more): &(&Recording, usize)| {
        format!("{}: other columns: {}", and_more(name, more), columns.text())
    };
    kinds.iter().skip(1).map(note).collect()
}
