//! EBSSA, recordings of satellites and planets: one HDF5 file with a group for each recording. Source: Tonic's `EBSSA`,
//! which reads the same events.
//!
//! | path | type |
//! |---|---|
//! | `NAME/TD/ts` | times in microseconds; the first time of each recording is subtracted |
//! | `NAME/TD/x`, `NAME/TD/y` | pixels, counted from 1 (`--origin 1`) |
//! | `NAME/TD/p` | polarities |
//! | `NAME/Obj` | boxes, which are not read |

use std::ops::Range;
use std::path::{Path, PathBuf};

use tonic_shard::NO_LABEL;

use crate::error::{Error, Result};
use crate::events::SensorSize;
use crate::source::columns::{EventBlock, FieldPath, Part, TakenColumns, TakenField};
use crate::source::filler::Filler;
use crate::source::hdf;
use crate::source::hdf::{LinkedPath, NumberColumn};
use crate::source::layout::Layout;
use crate::source::options::SourceOptions;
use crate::source::placing::Placing;
use crate::source::raw::RawSamples;
use crate::source::recording::{ReadSamples, Recording, file_name};
use crate::time_unit::TimeUnit;

const SENSOR: SensorSize = SensorSize { width: 240, height: 180, polarities: 2 };
const COLUMNS: [&str; 4] = ["ts", "x", "y", "p"];

/// Reads the recordings of a file, each as one sample.
#[derive(Debug)]
struct Ebssa {
    path: PathBuf,
    file: hdf::File,
    names: Vec<String>,
    unit: TimeUnit,
}

/// Returns whether the group `name` has events.
fn has_events(file: &hdf::File, name: &str) -> bool {
    file.group(&format!("{name}/TD")).is_ok() && file.dataset(&format!("{name}/TD/ts")).is_ok()
}

/// Opens a file.
///
/// # Errors
/// - [`Error::NotARecording`] if no group has events
/// - [`Error::MissingDataset`] for a missing column
/// - [`Error::WrongType`] for a column without numbers, and for columns of different lengths
pub(crate) fn open(path: &Path, options: &SourceOptions) -> Result<Recording> {
    let file = hdf::open_cached(path)?;
    let mut names = file.member_names().unwrap_or_default();
    names.sort_unstable();
    let (names, others): (Vec<String>, Vec<String>) = names.into_iter().partition(|name| has_events(&file, name));
    if names.is_empty() {
        return Err(Error::not_a_recording(path, "groups with TD/ts, TD/x, TD/y and TD/p", "none"));
    }
    let unit = options.time_unit.unwrap_or(TimeUnit::Microseconds);
    let reader = Ebssa { path: path.into(), file, names, unit };
    for sample in 0..reader.names.len() {
        let columns = reader.columns(sample as u64)?;
        if let Some(i) = (1..COLUMNS.len()).find(|&i| columns[i].len != columns[0].len) {
            let expected = format!("{} entries, as {} has", columns[0].len, columns[0].name);
            return Err(Error::wrong_type(path, &columns[i].name, expected, columns[i].len));
        }
    }
    let field = |name: &str| Some(TakenField { field: format!("*/TD/{name}"), kind: "a dataset a recording".into() });
    let columns = TakenColumns { fields: COLUMNS.map(field), unit: Some(unit), others, ..TakenColumns::default() };
    Ok(Recording {
        path: path.into(),
        name: file_name(path),
        layout: Layout::Ebssa,
        sensor: Some(SENSOR),
        labels: vec![NO_LABEL; reader.names.len()],
        classes: None,
        extras: Vec::new(),
        notes: columns.left_over_note().into_iter().collect(),
        columns,
        placing: Placing::default(),
        unlabelled: None,
        out_of_range: 0,
        filler: Filler::default(),
        reader: Box::new(reader),
    })
}

impl Ebssa {
    /// Opens the columns t, x, y and p of a recording.
    fn columns(&self, sample: u64) -> Result<[NumberColumn; 4]> {
        let name = &self.names[sample as usize];
        let open = |column: &str| {
            let field = FieldPath { array: format!("{name}/TD/{column}"), part: Part::Whole };
            NumberColumn::open(&self.path, &self.file, &field, Layout::Ebssa.name())
        };
        let [t, x, y, p] = COLUMNS;
        Ok([open(t)?, open(x)?, open(y)?, open(p)?])
    }
}

impl ReadSamples for Ebssa {
    fn linked(&self) -> Vec<LinkedPath> {
        self.file.linked()
    }

    fn events(&self) -> Result<u64> {
        (0..self.names.len()).map(|sample| Ok(self.columns(sample as u64)?[0].len)).sum()
    }

    fn together(&self, _first: u64, _most: u64) -> u64 {
        1
    }

    fn read(&self, samples: Range<u64>) -> Result<RawSamples> {
        let (mut blocks, mut lengths, mut firsts) = (Vec::new(), Vec::new(), Vec::new());
        for sample in samples {
            let [t, x, y, p] = self.columns(sample)?;
            let read = |column: NumberColumn| column.read_all(&self.path);
            let t = read(t)?.times(self.unit);
            lengths.push(t.us.len());
            firsts.push(t.first(0..t.us.len()));
            blocks.push(EventBlock {
                t,
                x: read(x)?.pixels(),
                y: Some(read(y)?.pixels()),
                p: Some(read(p)?.polarities()),
            });
        }
        Ok(EventBlock::concatenate(blocks).into_samples(&lengths, &firsts))
    }
}
