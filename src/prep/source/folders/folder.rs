//! Opens a folder or zip archive in which each file is one recording. The classes come from the sub-folders, from a
//! label table, from the files or from the caller.
//!
//! The files can have different layouts. When the folder is opened, every file is opened and checked, so that most
//! damaged files are found before anything is converted. These checks read only some of the events. The rest are read
//! during the conversion. If the recordings are to be cut into samples, each file is also cut when the folder is
//! opened. Cutting a file can require reading all of its events.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::source::check::check_sensor;
use crate::source::detect::{Head, open_stream, read_head};
use crate::source::filler::Filler;
use crate::source::folders::class_folders::{by_folder, parts_at};
use crate::source::folders::listing::{LEAVE_OUT, Listing};
use crate::source::formats::{self, ENDINGS};
use crate::source::labels::{ClassList, FileNames, Named, Row, number_classes, read_labels};
use crate::source::layout::Layout;
use crate::source::notes::{Kinds, note_on};
use crate::source::options::{Cut, LabelSource, SourceOptions};
use crate::source::packed::{Archive, path_in, paths_in};
use crate::source::recording::{Recording, file_name};
use crate::source::samples::{Long, Pieces, cut, cut_one_class};
use crate::source::stream::ClassLabel;
use crate::source::together::{compare_files, vet_together};
use crate::source::vetting::vet_ends;
use crate::time_unit::TimeUnit;
use tonic_base::some_of;
use tonic_shard::NO_LABEL;

/// Opens all recordings of a folder.
///
/// # Errors
/// - [`tonic_base::Error::Io`]
/// - [`Error::NotARecording`] for a folder without recordings
/// - [`Error::NotClasses`] for sub-folders that are probably not classes
/// - [`Error::BadTable`] for a table that doesn't fit the folder
/// - errors of opening a file
pub(crate) fn open(dir: &Path, options: &SourceOptions) -> Result<Vec<Recording>> {
    open_listed(dir, list(dir, options)?, options)
}

/// Lists a folder or a zip archive.
fn list(dir: &Path, options: &SourceOptions) -> Result<Listing> {
    let table = match &options.labels {
        LabelSource::Csv(path) => Some(path.as_path()),
        _ => None,
    };
    let known: Vec<&Path> = table.into_iter().chain(options.classes.as_ref().map(ClassList::path)).collect();
    match &options.labels {
        LabelSource::Listed(listed) => Ok(Listing::taken(listed.files.iter().map(|file| file.name.clone()).collect())),
        _ => Listing::of(dir, &known, table.is_some()),
    }
}

/// Opens a zip archive like a folder. If it has only one recording, returns the path of that recording instead.
///
/// # Errors
/// Those of [`open`]; [`Error::Foreign`] for a spreadsheet or a file of PyTorch.
pub(crate) fn open_archive(path: &Path, archive: &Archive, options: &SourceOptions) -> Result<Archived> {
    if formats::is_document(&archive.names) {
        return Err(formats::zip_archive(path, &archive.names));
    }
    let listing = list(path, options)?;
    Ok(match &listing.files[..] {
        [only] if listing.has_no_unread() => Archived::One(path_in(path, only)),
        _ => Archived::Many(open_listed(path, listing, options)?),
    })
}

/// The recordings of a zip archive.
pub(crate) enum Archived {
    /// The archive has only one recording, at this path.
    One(PathBuf),
    Many(Vec<Recording>),
}

/// Opens the listed recordings of a folder or a zip archive.
///
/// # Errors
/// Those of [`open`].
fn open_listed(dir: &Path, mut listing: Listing, options: &SourceOptions) -> Result<Vec<Recording>> {
    let has_table = matches!(options.labels, LabelSource::Csv(_));
    let listed = match &options.labels {
        LabelSource::Listed(listed) => Some(&**listed),
        _ => None,
    };
    let unread = listing.check_unread(dir)?;
    if listing.files.is_empty() {
        let got = listing.skipped().map_or("none".into(), |skipped| format!("none, and other files: {skipped}"));
        let expected = format!("recordings ({})", ENDINGS.join(", "));
        return Err(Error::not_a_recording(dir, expected, got));
    }
    let mut notes = unread;
    notes.extend(listing.skipped().map(|skipped| format!("files that are no recordings were skipped: {skipped}")));
    let labelled = label_files(dir, &mut listing, options, &mut notes)?;
    let parts = parts_at(&listing.files, 1).filter(|_| options.class_level.is_none() && listed.is_none());
    notes.extend(parts.map(|parts| format!("the parts of a dataset, {}, are all in this set", some_of(&parts))));
    let paths = paths_in(dir, &listing.files);
    let heads = read_heads(&paths, options, has_table)?;
    if let Some(first) = paths.first() {
        vet_ends(&open_stream(first, options)?).map_err(|error| compare_files(error, &paths, options))?;
    }
    vet_together(dir, &paths, options)?;
    let labelled = labelled.map_or_else(|| by_file(dir, &listing, &heads), Ok)?;
    let sensor = heads.iter().find_map(|head| head.sensor);
    let sensor_of = |head: &Head| options.sensor.or(head.sensor).or(sensor);
    let mut told = Kinds::default();
    for ((name, path), head) in listing.files.iter().zip(&paths).zip(&heads) {
        check_sensor(path, head.layout, &head.taken, sensor_of(head))?;
        for note in &head.notes {
            if head.layout.is_of_camera() || head.layout == Layout::Csv {
                told.add(name, note.clone());
            } else if !notes.contains(note) {
                notes.push(note.clone());
            }
        }
    }
    let mut layouts = Vec::new();
    let classes: Option<Arc<[String]>> = labelled.classes.map(Into::into);
    let mut recordings = Vec::with_capacity(listing.files.len());
    let (mut outside, is_folder) = (0, dir.is_dir());
    for (i, ((name, label), head)) in listing.files.into_iter().zip(labelled.labels).zip(heads).enumerate() {
        let path = &paths[i];
        let options = with_layout(&mut layouts, head.layout, options);
        let placing = options.placing(path, sensor_of(&head))?;
        let intervals = listed.map_or(&[][..], |listed| &listed.files[i].intervals);
        let cut = cut_file(path, &options, label, intervals);
        let (mut pieces, more) = cut.map_err(|error| compare_files(error, &paths, &options))?;
        if !intervals.is_empty() {
            outside += std::mem::take(&mut pieces.left_out);
        }
        notes.extend(pieces.notes().iter().map(|note| note_on(&name, note)));
        more.into_iter().for_each(|note| told.add(&name, note));
        recordings.push(Recording {
            path: path.clone(),
            name: if is_folder { name } else { file_name(path) },
            layout: head.layout,
            sensor: sensor_of(&head),
            labels: pieces.labels.clone(),
            classes: classes.clone(),
            extras: Vec::new(),
            columns: head.taken,
            notes: Vec::new(),
            placing,
            unlabelled: None,
            out_of_range: head.out_of_range,
            filler: Filler::new(options.events),
            reader: Box::new(Long::closed(path, options, head.found, pieces)),
        });
    }
    notes.extend((outside > 0).then(|| format!("{outside} events are outside the labelled intervals, in no sample")));
    notes.extend(told.texts());
    if let Some(first) = recordings.first_mut() {
        first.notes = notes;
    }
    Ok(recordings)
}

/// Opens all files and finds out what is in each of them. The error for a file of unknown layout also says how to leave
/// the file out, unless a table lists the files.
fn read_heads(files: &[PathBuf], options: &SourceOptions, has_table: bool) -> Result<Vec<Head>> {
    let head_of = |path: &PathBuf| {
        read_head(path, options).map_err(|fault| match fault {
            Error::UnknownLayout { path, looked, has, maps } if !has_table => {
                Error::UnknownLayout { path, looked, has: format!("{has} {LEAVE_OUT}"), maps }
            }
            fault => fault,
        })
    };
    let heads: Vec<Result<Head>> = files.par_iter().map(head_of).collect();
    // Report the first fault in the order of the names, so that it is always the same one.
    heads.into_iter().collect()
}

/// Cuts the recording in a file into samples. If there are intervals, the samples have the labels of the intervals.
/// Otherwise all samples have the label `label`. If the options don't ask for a cut, the whole recording or each
/// interval is one sample. Also returns notes about the times of the recording, if they were read.
fn cut_file(
    path: &Path,
    options: &SourceOptions,
    label: u32,
    intervals: &[(Row, u32)],
) -> Result<(Pieces, Vec<String>)> {
    if options.cut == Cut::Whole && intervals.is_empty() {
        return Ok((Pieces::whole(label), Vec::new()));
    }
    let mut stream = open_stream(path, options)?;
    vet_ends(&stream)?;
    let intervals: Vec<(&Row, u32)> = intervals.iter().map(|(row, class)| (row, *class)).collect();
    let mut pieces = match intervals[..] {
        [] => cut_one_class(&mut stream, options.cut, label)?,
        _ => cut(&mut stream, options.cut, &intervals)?,
    };
    pieces.left_out += stream.time.left_out;
    Ok((pieces, stream.time.notes))
}

/// The class names of a folder, and the class index of each recording. `classes` is `None` if the classes have no
/// names.
struct Labelled {
    classes: Option<Vec<String>>,
    labels: Vec<u32>,
}

impl Labelled {
    /// Gives the same label to all recordings of the folder.
    fn all(listing: &Listing, classes: Option<Vec<String>>, label: u32) -> Labelled {
        Labelled { classes, labels: vec![label; listing.files.len()] }
    }
}

/// Labels the recordings of a folder in the way that the options give: one label for all, a label table, the list of a
/// dataset's preset, or the sub-folders. If there are no sub-folders, the recordings get no label. Returns `None` if
/// the option `map` names a label inside the file of each recording.
fn label_files(
    dir: &Path,
    listing: &mut Listing,
    options: &SourceOptions,
    notes: &mut Vec<String>,
) -> Result<Option<Labelled>> {
    match &options.labels {
        LabelSource::One(label) => return Ok(Some(Labelled::all(listing, Some(vec![label.clone()]), 0))),
        LabelSource::Csv(table) => return by_table(table, dir, listing, options, notes).map(Some),
        LabelSource::Listed(listed) => {
            notes.extend(listed.notes.iter().cloned());
            let classes = (!listed.classes.is_empty()).then(|| listed.classes.clone());
            return Ok(Some(Labelled { classes, labels: listed.files.iter().map(|file| file.class).collect() }));
        }
        LabelSource::Own if options.map.as_ref().is_some_and(|map| map.label.is_some()) => return Ok(None),
        LabelSource::Own => {}
    }
    let Some(found) = by_folder(dir, listing, options.class_level, options.classes.as_ref())? else {
        return Ok(Some(Labelled::all(listing, None, NO_LABEL)));
    };
    if !found.empty.is_empty() {
        notes.push(format!("folders without recordings count as classes: {}", some_of(&found.empty)));
    }
    if !found.outside.is_empty() {
        let outside = some_of(&found.outside);
        notes.push(format!(
            "warning: folders without recordings that are not in the list of classes are no classes: {outside}"
        ));
    }
    Ok(Some(Labelled { classes: Some(found.names), labels: found.labels }))
}

/// Returns a copy of `options` with the layout set to `layout`. Makes only one copy for each layout and keeps it in
/// `known`.
fn with_layout(
    known: &mut Vec<(Layout, Arc<SourceOptions>)>,
    layout: Layout,
    options: &SourceOptions,
) -> Arc<SourceOptions> {
    if let Some((_, options)) = known.iter().find(|(known, _)| *known == layout) {
        return Arc::clone(options);
    }
    let made = Arc::new(SourceOptions { layout: Some(layout), ..options.clone() });
    known.push((layout, Arc::clone(&made)));
    made
}

/// Takes the class of each recording from the recording's own file. The classes must be names in all files, or numbers
/// in all files.
fn by_file(dir: &Path, listing: &Listing, heads: &[Head]) -> Result<Labelled> {
    let number = |head: &Head| match &head.label {
        Some(ClassLabel::Number(number)) => Some(*number),
        _ => None,
    };
    if let Some(labels) = heads.iter().map(number).collect() {
        return Ok(Labelled { classes: None, labels });
    }
    let names = heads.iter().zip(&listing.files).map(|(head, file)| match &head.label {
        Some(ClassLabel::Name(name)) => Ok(name.as_str()),
        label => {
            let number = matches!(label, Some(ClassLabel::Number(_)));
            let got = format!("{} in {file}", if number { "a number" } else { "none" });
            let expected = "classes that are all names or all numbers";
            Err(Error::not_a_recording(dir, expected, got))
        }
    });
    let names = names.collect::<Result<Vec<&str>>>()?;
    let (classes, labels) = number_classes(names.into_iter(), false);
    Ok(Labelled { classes: Some(classes), labels })
}

/// Takes the class of each recording from a label table. Recordings without a row in the table are removed from
/// `listing`.
fn by_table(
    table: &PathBuf,
    dir: &Path,
    listing: &mut Listing,
    options: &SourceOptions,
    notes: &mut Vec<String>,
) -> Result<Labelled> {
    let rows = read_labels(table, options.time_unit.unwrap_or(TimeUnit::Microseconds))?;
    options.classes.as_ref().map(|classes| classes.check_rows(table, &rows)).transpose()?;
    let (classes, classes_of) = number_classes(rows.iter().map(|row| row.label.as_str()), true);
    let names = FileNames::new(dir, &listing.files);
    let mut found: Vec<Option<(u32, usize)>> = vec![None; listing.files.len()];
    for (row, class) in rows.iter().zip(classes_of) {
        let bad = |expected: String, got: String| Error::BadTable { path: table.into(), line: row.line, expected, got };
        let Some(name) = row.file.as_deref().filter(|_| row.interval.is_none()) else {
            return Err(bad("a file and its label, for a folder of recordings".into(), "an interval".into()));
        };
        match names.find(name) {
            Named::One(i) => match found[i] {
                None => found[i] = Some((class, row.line)),
                Some((_, line)) => {
                    let got = format!("{name} again: line {line} has {}", listing.files[i]);
                    return Err(bad("each file once".into(), got));
                }
            },
            Named::Several => {
                return Err(bad("a file's path in the folder".into(), format!("{name}, of which there are several")));
            }
            Named::Nothing => {
                let first = row.line == rows[0].line;
                let columns = if first { ", or names of columns such as file,label" } else { "" };
                let alike = names.of_another_ending(name);
                let alike = alike.map_or(String::new(), |i| format!(", while there is {}", listing.files[i]));
                let all = rows.iter().filter_map(|row| row.file.as_ref());
                let all = all.filter(|file| names.find(file) == Named::Nothing).count();
                let all = if all > 1 { format!(" ({all} rows name files that are not there)") } else { String::new() };
                return Err(bad(format!("a file of {}{columns}", dir.display()), format!("{name}{alike}{all}")));
            }
        }
    }
    let before = listing.files.len();
    let mut rows_of = found.iter();
    listing.files.retain(|_| rows_of.next().is_some_and(Option::is_some));
    if listing.files.len() < before {
        let left = before - listing.files.len();
        notes.push(format!("{left} files are not in {}; they were left out", table.display()));
    }
    Ok(Labelled { classes: Some(classes), labels: found.into_iter().flatten().map(|(class, _)| class).collect() })
}
