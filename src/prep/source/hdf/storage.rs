//! Checks that no data of a dataset is missing: that its chunks were written, that its external raw files are long
//! enough, and that a virtual dataset has all its sources.
//!
//! libhdf5 reads the fill value, usually zero, where data is missing. Such numbers would become events that nobody
//! recorded.

use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;

use hdf5::Dataset;
use hdf5::dataset::Layout;
use hdf5::plist::DatasetCreate;

use crate::reason::Absence;
use crate::source::hdf::absent::{missing_chunks, raw_files, shape};
use crate::source::hdf::cause::last_words;
use crate::source::hdf::coverage::{Gaps, Region, Selection, bounds, entries};
use crate::source::hdf::links::LinkedPath;
use crate::source::hdf::pieces::{Missing, pieces};
use crate::source::hdf::sources::{Piece, Sources};

/// Maximum depth of virtual datasets whose sources are virtual datasets too. The limit ends the check if virtual
/// datasets form a circle.
const DEEPEST: u32 = 8;
const CIRCLE: &str = "its sources are virtual datasets themselves, in a circle or more than 8 deep";

/// Why a dataset cannot be used.
#[derive(Debug)]
pub(super) enum Fault {
    /// Data is missing. The text says which rows are missing, and why.
    Absent(Absence, String),
    /// libhdf5 cannot say how the data is stored.
    Unreadable(hdf5::Error),
}

impl From<hdf5::Error> for Fault {
    fn from(error: hdf5::Error) -> Fault {
        Fault::Unreadable(error)
    }
}

/// Checks that no data of datasets is missing, and collects the other files that hold their data.
#[derive(Debug)]
pub(super) struct Checker {
    /// The word for the rows of the dataset in messages, such as "events" or "samples".
    unit: &'static str,
    sources: Sources,
    /// Source datasets that were checked completely. A key is the path of the file and the name of the dataset. A
    /// value is whether the dataset has all its data.
    whole: HashMap<(PathBuf, String), bool>,
    depth: u32,
    too_deep: bool,
}

impl Checker {
    /// Makes a checker. `unit` is the word for rows in messages, such as "events".
    pub(super) fn new(unit: &'static str) -> Checker {
        Checker { unit, sources: Sources::default(), whole: HashMap::new(), depth: 0, too_deep: false }
    }

    /// Returns the files that hold data of the checked datasets, except the files of the datasets themselves.
    pub(super) fn into_linked(self) -> Vec<LinkedPath> {
        self.sources.linked
    }

    /// Checks that no data of a region of a dataset is missing.
    pub(super) fn check(&mut self, dataset: &Dataset, region: &Region) -> Result<(), Fault> {
        let properties = dataset.dcpl()?;
        let layout = properties.get_layout()?;
        if dataset.size() == 0 && layout != Layout::Virtual {
            return Ok(());
        }
        let (mut missing, mut why) = (Gaps::default(), (Absence::NeverWritten, "were never written".to_string()));
        match layout {
            Layout::Compact => {}
            Layout::Chunked => missing = missing_chunks(dataset, &properties.get_chunk()?.unwrap_or_default(), region)?,
            Layout::Contiguous => {
                let files = properties.get_external()?;
                if !files.is_empty() {
                    let (gaps, linked, wrong) = raw_files(dataset, &files, region)?;
                    linked.into_iter().for_each(|file| self.sources.note(file));
                    let wrong = wrong.unwrap_or_else(|| "files, which are too short".into());
                    (missing, why) = (gaps, (Absence::RawFile, format!("come from the raw file {wrong}")));
                } else if dataset.offset().is_none() {
                    missing.add(region.rows.clone());
                }
            }
            Layout::Virtual => {
                if self.depth == DEEPEST {
                    self.too_deep = true;
                    return Err(Fault::Absent(Absence::VirtualSource, CIRCLE.into()));
                }
                self.depth += 1;
                let checked = self.check_virtual(dataset, &properties, region);
                self.depth -= 1;
                return checked;
            }
        }
        self.refuse(&missing, region, why.0, &why.1)
    }

    /// Checks that all sources of a region of a virtual dataset exist, and that they cover the region.
    fn check_virtual(&mut self, dataset: &Dataset, properties: &DatasetCreate, region: &Region) -> Result<(), Fault> {
        let (mut missing, mut covered, mut absence) = (Missing::default(), Vec::new(), Absence::VirtualSource);
        for piece in pieces(&mut self.sources, dataset, properties, &mut missing)? {
            let mut used: Vec<_> = piece.target.iter().filter(|axes| region.meets(axes)).cloned().collect();
            let rows = bounds(&used, 0);
            let rows = rows.start.max(region.rows.start)..rows.end.min(region.rows.end);
            if rows.is_empty() {
                continue;
            }
            match self.check_source(dataset, &piece) {
                Ok(()) => covered.append(&mut used),
                Err((from, wrong, of)) => {
                    absence = of;
                    missing.add(rows.start.max(from)..rows.end, wrong);
                }
            }
            // If this dataset is itself a source, or if sources form a circle, one missing source is enough to report.
            if missing.first.is_some() && (self.depth > 1 || self.too_deep) {
                break;
            }
        }
        if let Some((rows, wrong)) = missing.first {
            let text = match missing.more {
                _ if self.too_deep => CIRCLE.into(),
                0 => format!("{} come from {wrong}", self.rows(&rows)),
                more => {
                    format!("{} come from {wrong}, and the source of {} is missing", self.rows(&rows), ranges(more))
                }
            };
            return Err(Fault::Absent(absence, text));
        }
        let uncovered = "come from no source of the virtual dataset";
        let shape = shape(dataset);
        let gaps = if shape.len() > 2 {
            // If there are more than two axes, the entries are only counted.
            let all = shape.iter().fold(1_u64, |product, &length| product.saturating_mul(length));
            (entries(&covered) >= all).then(Gaps::default)
        } else {
            region.gaps(&covered)
        };
        match gaps {
            Some(gaps) => self.refuse(&gaps, region, Absence::NeverWritten, uncovered),
            None => Err(Fault::Absent(Absence::NeverWritten, format!("{} {uncovered}", self.rows(&region.rows)))),
        }
    }

    /// Checks that the source of a piece has the entries that are read, and that their data is not missing.
    ///
    /// # Errors
    /// A tuple: the index of the first missing row of the virtual dataset, what is wrong with the source, and the
    /// [`Absence`] that the user's error reports.
    fn check_source(&mut self, dataset: &Dataset, piece: &Piece) -> Result<(), (u64, String, Absence)> {
        let fault = |from: u64, wrong: &str| (from, piece.described(dataset, wrong), Absence::VirtualSource);
        let (source, path) = self.sources.open(dataset, piece).map_err(|wrong| fault(0, &wrong))?;
        let shape = shape(&source);
        let boxes = piece.source.boxes(&shape);
        let (wanted, read) = (entries(&piece.target), entries(&boxes));
        for (axis, &length) in shape.iter().enumerate() {
            let end = bounds(&boxes, axis).end;
            if end > length {
                let from = match (&piece.target[..], &boxes[..]) {
                    ([target], [read]) if target.len() == 1 && target[0].is_range() && read[0].is_range() => {
                        target[0].start + length.saturating_sub(read[0].start)
                    }
                    _ => 0,
                };
                return Err(fault(from, &format!("which has {length} entries on axis {axis} instead of {end}")));
            }
        }
        if piece.source == Selection::All && read != wanted {
            return Err(fault(0, &format!("which has {read} entries instead of {wanted}")));
        }
        if self.is_whole(path, &source) {
            return Ok(());
        }
        let columns = if shape.len() > 1 { bounds(&boxes, 1) } else { 0..1 };
        match self.check(&source, &Region { rows: bounds(&boxes, 0), columns }) {
            Ok(()) => Ok(()),
            Err(Fault::Absent(absence, what)) => {
                let (from, wrong, _) = fault(0, &format!("of which {what}"));
                Err((from, wrong, absence))
            }
            Err(Fault::Unreadable(error)) => Err(fault(0, &format!("which cannot be read ({})", last_words(&error)))),
        }
    }

    /// Returns whether a source dataset has all its data. Each source is checked only once.
    fn is_whole(&mut self, path: PathBuf, source: &Dataset) -> bool {
        let key = (path, source.name());
        if let Some(&whole) = self.whole.get(&key) {
            return whole;
        }
        // If sources form a circle, the check comes back to this source and takes it as incomplete.
        self.whole.insert(key.clone(), false);
        let whole = self.check(source, &Region::whole(&shape(source))).is_ok();
        self.whole.insert(key, whole);
        whole
    }

    /// Returns an error that describes the missing rows, if there are any. `of` is the region that was checked.
    fn refuse(&self, missing: &Gaps, of: &Region, kind: Absence, why: &str) -> Result<(), Fault> {
        if missing.ranges == 0 {
            return Ok(());
        }
        let (first, all) = (self.rows(&missing.first), of.rows.end - of.rows.start);
        let more = match missing.ranges - 1 {
            0 => String::new(),
            more => format!(" and {} ({} of {all} in all)", ranges(more), missing.rows),
        };
        Err(Fault::Absent(kind, format!("{first}{more} {why}")))
    }

    /// Names a range of rows in a message: "events 5 to 9".
    fn rows(&self, range: &Range<u64>) -> String {
        match range.end {
            u64::MAX => format!("{} from {} on", self.unit, range.start),
            end => format!("{} {} to {}", self.unit, range.start, end.saturating_sub(1)),
        }
    }
}

fn ranges(more: u64) -> String {
    format!("{more} more range{}", if more == 1 { "" } else { "s" })
}
