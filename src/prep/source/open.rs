//! Opens recordings: a file of any layout, or a folder of files.

use std::path::Path;

use tonic_shard::NO_LABEL;

use crate::error::{BaseFault, Error, Result};
use crate::source::check::check_sensor;
use crate::source::detect::{layout_of, open_stream};
use crate::source::filler::Filler;
use crate::source::folders::folder::{self, Archived};
use crate::source::labels::{FileNames, Named, Row, number_classes, read_labels};
use crate::source::layout::Layout;
use crate::source::layouts::{Hsd, ebssa, ntidigits, smnist};
use crate::source::options::{Cut, LabelSource, SourceOptions};
use crate::source::packed::Archive;
use crate::source::recording::{Recording, file_name};
use crate::source::samples::{Long, cut, cut_one_class, extents};
use crate::source::stream::{ClassLabel, EventStream};
use crate::source::unlabelled::Unlabelled;
use crate::source::vetting::{vet_all, vet_ends};
use crate::time_unit::TimeUnit;

/// If a recording is a single sample with at most this many events, its times are read twice: when the recording is
/// opened, to check them, and later with the sample.
const MAX_TWICE: u64 = 1 << 20;

impl Recording {
    /// Opens a file of any layout, or all recordings in a folder.
    ///
    /// # Errors
    /// Errors of reading a file of the layout; [`tonic_base::Error::Usage`] for options that do not fit the layout.
    pub fn open(path: &Path, options: &SourceOptions) -> Result<Vec<Recording>> {
        let mut recordings = Recording::open_as_found(path, options)?;
        if let Some(classes) = &options.classes {
            classes.apply(&mut recordings)?;
        }
        Ok(recordings)
    }

    /// Opens recordings, with the classes that files, folders and tables give. The caller applies `options.classes`.
    fn open_as_found(path: &Path, options: &SourceOptions) -> Result<Vec<Recording>> {
        if path.is_dir() {
            return folder::open(path, options);
        }
        if Archive::is(path)
            && options.layout != Some(Layout::Npz)
            && let Some(archive) = Archive::of_recordings(path)?
        {
            return match folder::open_archive(path, &archive, options)? {
                Archived::One(only) => Recording::open_as_found(&only, options),
                Archived::Many(recordings) => Ok(recordings),
            };
        }
        if let Some(level) = options.class_level {
            return Err(Error::usage("class_level", format!("a folder, unlike {}", path.display()), level));
        }
        let layout = layout_of(path, options)?;
        if layout.has_samples() {
            let given = match (&options.labels, options.cut) {
                (LabelSource::One(_), _) => Some("label"),
                (LabelSource::Csv(_) | LabelSource::Listed(_), _) => Some("labels"),
                (_, Cut::Duration { .. }) => Some("sample_duration"),
                (_, Cut::Events { .. }) => Some("sample_events"),
                _ if options.events.is_some() => Some("events"),
                _ => None,
            };
            if let Some(given) = given {
                let expected = format!("a recording without samples and labels of its own, unlike {}", path.display());
                return Err(Error::usage(given, expected, layout.title()));
            }
            let recording = match layout {
                Layout::Ntidigits => ntidigits::open(path, options),
                Layout::Smnist => smnist::open(path),
                Layout::Ebssa => ebssa::open(path, options),
                _ => Hsd::open(path, options),
            };
            let recording = recording.map_err(without_map)?;
            check_sensor(path, layout, &recording.columns, options.sensor)?;
            let placing = options.placing(path, recording.sensor)?;
            return Ok(vec![Recording { placing, ..recording }]);
        }
        cut_recording(open_stream(path, options)?, options).map(|recording| recording.into_iter().collect())
    }
}

/// Cuts a recording into samples. `None` if a table of labels has no row for the recording.
pub(super) fn cut_recording(mut stream: EventStream, options: &SourceOptions) -> Result<Option<Recording>> {
    vet_ends(&stream)?;
    let name = file_name(&stream.path);
    let mut classes: Option<Vec<String>> = None;
    let mut unlabelled = None;
    let mut pieces = match &options.labels {
        LabelSource::Csv(table) => {
            let unit = options.time_unit.unwrap_or(TimeUnit::Microseconds);
            let rows = read_labels(table, unit)?;
            options.classes.as_ref().map(|classes| classes.check_rows(table, &rows)).transpose()?;
            let (names, numbers) = number_classes(rows.iter().map(|row| row.label.as_str()), true);
            classes = Some(names);
            let named = FileNames::new(stream.path.parent().unwrap_or(&stream.path), std::slice::from_ref(&name));
            let mine = |row: &Row| row.file.as_ref().is_none_or(|file| named.find(file) == Named::One(0));
            let rows: Vec<_> = rows.iter().zip(numbers).filter(|(row, _)| mine(row)).collect();
            match rows[..] {
                [] => return Ok(None),
                [(row, class)] if row.interval.is_none() => cut_one_class(&mut stream, options.cut, class)?,
                _ => match rows.iter().find(|(row, _)| row.interval.is_none()) {
                    None => {
                        let pieces = cut(&mut stream, options.cut, &rows)?;
                        let (intervals, times) = extents(&stream, &rows)?;
                        unlabelled = Unlabelled::new((pieces.left_out, stream.len), intervals, times, unit);
                        pieces
                    }
                    Some((row, _)) => {
                        let (expected, got) = ("a start and an end".into(), "a file and its label".into());
                        return Err(Error::BadTable { path: table.clone(), line: row.line, expected, got });
                    }
                },
            }
        }
        LabelSource::One(label) => {
            classes = Some(vec![label.clone()]);
            cut_one_class(&mut stream, options.cut, 0)?
        }
        LabelSource::Own | LabelSource::Listed(_) => {
            let class = match stream.label.take() {
                Some(ClassLabel::Number(class)) => class,
                Some(ClassLabel::Name(name)) => {
                    classes = Some(vec![name]);
                    0
                }
                None => NO_LABEL,
            };
            cut_one_class(&mut stream, options.cut, class)?
        }
    };
    if pieces.spans.is_empty() && stream.len <= MAX_TWICE {
        vet_all(&stream)?;
    }
    pieces.left_out += stream.time.left_out;
    let mut notes = std::mem::take(&mut stream.notes);
    notes.append(&mut stream.time.notes);
    notes.extend(pieces.notes());
    Ok(Some(Recording {
        path: stream.path.clone(),
        name,
        layout: stream.layout,
        sensor: stream.sensor,
        labels: std::mem::take(&mut pieces.labels),
        classes: classes.map(Into::into),
        extras: Vec::new(),
        columns: stream.taken.clone(),
        notes,
        placing: options.placing(&stream.path, stream.sensor)?,
        unlabelled,
        out_of_range: stream.time.left_out,
        filler: Filler::new(options.events),
        reader: Box::new(Long::open(stream, pieces)),
    }))
}

/// Sets `mapped` of [`Error::WrongType`] to `false`, for layouts whose datasets the option `map` cannot name.
fn without_map(error: Error) -> Error {
    match error {
        Error::WrongType { path, dataset, expected, got, .. } => {
            Error::WrongType { path, dataset, expected, got, mapped: false }
        }
        other => other,
    }
}
