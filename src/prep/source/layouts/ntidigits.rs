//! The N-TIDIGITS18 layout: spoken digits and digit sequences, recorded by a silicon cochlea with 64 channels.
//!
//! | path | type |
//! |---|---|
//! | `train_labels`, `test_labels` | strings: sample names, ending in `-` and the spoken digits, such as `1` or `o7z` |
//! | `train_addresses/NAME`, `test_addresses/NAME` | integers: channels |
//! | `train_timestamps/NAME`, `test_timestamps/NAME` | floats: seconds |
//!
//! The samples, their order and their events are the same as in Tonic's `NTIDIGITS18`. The only polarity is 0 here and
//! 1 in Tonic. Classes of single digits are the same as in Tonic: `o` is 0, `1` to `9` are 1 to 9, and `z` is 10. If
//! digit sequences are read too, each different sequence is a class of its own.

use std::ops::Range;
use std::path::{Path, PathBuf};

use hdf5::types::TypeDescriptor;

use crate::error::{BaseFault, Error, Result};
use crate::events::SensorSize;
use crate::source::columns::{EventBlock, FieldPath, Numbers, Part, TakenColumns};
use crate::source::filler::Filler;
use crate::source::hdf;
use crate::source::hdf::{LinkedPath, NumberColumn};
use crate::source::labels::number_classes;
use crate::source::layout::Layout;
use crate::source::options::SourceOptions;
use crate::source::placing::Placing;
use crate::source::raw::RawSamples;
use crate::source::recording::{ReadSamples, Recording, file_name};
use crate::source::times::{Timeline, ToldUnit, told_unit};
use crate::source::vetting::{RowClocks, probe};
use crate::time_unit::TimeUnit;

/// The sensor: a cochlea with 64 channels.
const SENSOR: SensorSize = SensorSize { width: 64, height: 1, polarities: 1 };
/// Classes of single digits, in Tonic's order.
const DIGITS: [&str; 11] = ["o", "1", "2", "3", "4", "5", "6", "7", "8", "9", "z"];

/// Reads the samples of one part (train or test) of a file.
#[derive(Debug)]
pub(crate) struct Ntidigits {
    path: PathBuf,
    file: hdf::File,
    part: &'static str,
    names: Vec<String>,
    clocks: RowClocks,
}

/// Returns whether a file has a list of sample names and a group of events, for train or for test. The list must
/// contain strings. Broken links count, so that opening the file can report them.
pub(crate) fn detect(file: &hdf::File) -> bool {
    use TypeDescriptor::{FixedAscii, FixedUnicode, VarLenAscii, VarLenUnicode};
    let names = |list: &str| {
        let kind = file.dataset(list).and_then(|dataset| dataset.dtype()?.to_descriptor());
        matches!(kind, Ok(FixedAscii(_) | FixedUnicode(_) | VarLenAscii | VarLenUnicode)) || file.dangles(list)
    };
    let events = |part: &&str| {
        let groups = ["addresses", "timestamps"].map(|group| format!("{part}_{group}"));
        groups.iter().any(|group| file.group(group).is_ok() || file.dangles(group))
    };
    ["train", "test"].iter().any(|part| names(&format!("{part}_labels")) && events(part))
}

/// Opens one part (train or test) of a file.
///
/// # Errors
/// - [`Error::OddUnit`] for times in an unknown unit.
/// - [`Error::BadSample`] for a sample name without a known digit.
/// - [`Error::ImplausibleTimes`] and [`Error::ClockTrouble`] for the times of the few samples that are checked here.
/// - [`tonic_base::Error::Usage`] if the part has none of the requested samples.
/// - Other errors for missing datasets and for those of wrong types.
pub(crate) fn open(path: &Path, options: &SourceOptions) -> Result<Recording> {
    let digits = options.digits;
    let file = hdf::open_cached(path)?;
    let part = if digits.train { "train" } else { "test" };
    let list = format!("{part}_labels");
    let mut names = hdf::strings(path, &hdf::dataset(path, &file, &list, Layout::Ntidigits.name())?, &list)?;
    let mut others = others(&file, part, names.len());
    if digits.single {
        names.retain(|name| said(name).chars().count() == 1);
    }
    for name in &names {
        for group in ["addresses", "timestamps"] {
            hdf::events(path, &file, &field(part, group, name), Layout::Ntidigits.name())?;
        }
    }
    if names.is_empty() {
        let what = if digits.single { "single digits" } else { "samples" };
        return Err(Error::usage(list, format!("some {what}"), "none"));
    }
    let (classes, labels) = if digits.single {
        let class = |name: &String| DIGITS.iter().position(|digit| *digit == said(name)).map(|class| class as u32);
        let labels = names.iter().enumerate().map(|(i, name)| {
            class(name).ok_or_else(|| Error::bad_sample(path, i as u64, "digit", DIGITS.join(", "), name))
        });
        (DIGITS.map(String::from).to_vec(), labels.collect::<Result<Vec<u32>>>()?)
    } else {
        number_classes(names.iter().map(|name| said(name)), false)
    };
    let (addresses, timestamps) = (format!("{part}_addresses"), format!("{part}_timestamps"));
    let first = &*format!("{timestamps}/{}", names[0]);
    let ToldUnit { unit: told, notes, dataset } =
        told_unit(path, &file, (first, first), options.time_unit, TimeUnit::Seconds)?;
    let mut time = Timeline::new(options, told, notes);
    let (unit, notes) = (time.unit, std::mem::take(&mut time.notes));
    let mut columns = TakenColumns::of_cochlea(
        (&timestamps, "a dataset a sample".into()),
        (&addresses, "a dataset a sample".into()),
        unit,
    );
    others.retain(|name| Some(name) != dataset.as_ref());
    columns.others.append(&mut others);
    let notes = notes.into_iter().chain(columns.left_over_note()).collect();
    let samples = names.len() as u64;
    let reader = Ntidigits { path: path.into(), file, part, names, clocks: RowClocks::new(path.into(), time) };
    probe(samples, |sample| reader.vetted(sample)).map_err(|error| reader.of_all_rows(error))?;
    Ok(Recording {
        path: path.into(),
        name: file_name(path),
        layout: Layout::Ntidigits,
        sensor: Some(SENSOR),
        labels,
        classes: Some(classes.into()),
        extras: Vec::new(),
        columns,
        notes,
        placing: Placing::default(),
        unlabelled: None,
        out_of_range: 0,
        filler: Filler::default(),
        reader: Box::new(reader),
    })
}

/// Lists what is in the file but not read: other groups and datasets, and samples that are not named in the labels of
/// `part`. `listed` is the number of samples named there.
fn others(file: &hdf::File, part: &str, listed: usize) -> Vec<String> {
    let kinds = ["labels", "addresses", "timestamps"];
    let known =
        |name: &String| ["train", "test"].iter().any(|part| kinds.iter().any(|kind| *name == format!("{part}_{kind}")));
    let mut others = file.member_names().unwrap_or_default();
    others.retain(|name| !known(name));
    let samples = format!("{part}_timestamps");
    let more = file.group(&samples).map_or(0, |group| group.len()).saturating_sub(listed as u64);
    if more > 0 {
        others.push(format!("{samples}/ ({more} arrays that {part}_labels does not list)"));
    }
    others
}

/// Returns the spoken digits, such as `o7z`, from the end of a sample name.
fn said(name: &str) -> &str {
    name.rsplit('-').next().unwrap_or(name)
}

/// Returns the path of one array of the sample `name`. `group` says which array: `addresses` or `timestamps`.
fn field(part: &str, group: &str, name: &str) -> FieldPath {
    FieldPath { array: format!("{part}_{group}/{name}"), part: Part::Whole }
}

impl Ntidigits {
    /// Opens one array of the sample `name`. `group` says which array: `addresses` or `timestamps`.
    fn column(&self, group: &str, name: &str) -> Result<NumberColumn> {
        let field = field(self.part, group, name);
        let column = NumberColumn::open(&self.path, &self.file, &field, Layout::Ntidigits.name())?;
        match column.scale {
            Some(scale) => Err(hdf::scaled(&self.path, &column.name, scale)),
            None => Ok(column),
        }
    }
}

impl ReadSamples for Ntidigits {
    fn linked(&self) -> Vec<LinkedPath> {
        self.file.linked()
    }

    fn events(&self) -> Result<u64> {
        self.names.iter().map(|name| Ok(self.column("timestamps", name)?.len)).sum()
    }

    fn assumed_unit(&self) -> Option<TimeUnit> {
        self.clocks.time.assumed()
    }

    fn notes(&self) -> Vec<String> {
        self.clocks.notes()
    }

    fn read(&self, samples: Range<u64>) -> Result<RawSamples> {
        self.vetted(samples).map_err(|error| self.of_all_rows(error))
    }
}

impl Ntidigits {
    /// Extends an error about the times of one sample to all samples with this kind of fault.
    fn of_all_rows(&self, error: Error) -> Error {
        let samples = self.names.len() as u64;
        let error = RowClocks::of_all_rows(error, samples, |sample| self.vetted(sample..sample + 1));
        self.clocks.compare_rows(error, samples, |sample| Ok(self.unchecked(sample..sample + 1)?.times))
    }

    /// Reads consecutive samples, without checks of their clocks.
    fn unchecked(&self, samples: Range<u64>) -> Result<RawSamples> {
        let (path, part) = (&self.path, self.part);
        let (mut blocks, mut lengths) = (Vec::new(), Vec::new());
        for sample in samples {
            let name = &self.names[sample as usize];
            let column = |group: &str| self.column(group, name)?.read_all(path);
            let (x, t): (Numbers, Numbers) = (column("addresses")?, column("timestamps")?);
            if x.len() != t.len() {
                let what = format!("length of {part}_addresses/{name}");
                let expected = format!("{}, as {part}_timestamps/{name} has", t.len());
                return Err(Error::bad_sample(path, sample, what, expected, x.len()));
            }
            lengths.push(x.len());
            blocks.push(EventBlock { t: t.times(self.clocks.time.unit), x: x.pixels(), y: None, p: None });
        }
        let origins = vec![None; lengths.len()];
        Ok(EventBlock::concatenate(blocks).into_samples(&lengths, &origins))
    }

    /// Reads consecutive samples, and checks the clock of each sample.
    fn vetted(&self, samples: Range<u64>) -> Result<RawSamples> {
        let (first, raw) = (samples.start, self.unchecked(samples)?);
        let arrays = |sample| {
            let name = &self.names[sample as usize];
            (["timestamps", "addresses"].map(|group| field(self.part, group, name).array), None)
        };
        let times = self.clocks.vet(first, raw.times, &raw.offsets, arrays)?;
        Ok(RawSamples { times, ..raw })
    }
}
