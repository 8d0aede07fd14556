//! Sources: the layouts that recordings come in.
//!
//! A file of any layout is opened as a [`Recording`], which knows its samples and reads the raw events of any of them.
//! The layouts of datasets ([`hsd`], [`ntidigits`]) have many samples and a label for each. Those of cameras and of NumPy
//! hold one recording, a [`stream::Stream`] of events, which is one sample or is cut into many ([`cut`]), and whose label
//! comes from the [`folder`] that it is in, a table ([`labels`]) or the command line.

pub mod camera;
pub mod cut;
pub mod folder;
pub mod hdf;
pub mod heap;
pub mod hsd;
pub mod labels;
pub mod long;
pub mod ntidigits;
pub mod numbers;
pub mod numpy;
pub mod options;
pub mod raw;
pub mod stream;
pub mod synth;
pub mod unit;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use super::events::SensorSize;
use crate::error::{Error, Result};
use crate::shard::codec::NO_LABEL;
use cut::Pieces;
pub use options::SourceOptions;
use options::{Cut, Labels};
use raw::RawSamples;
use stream::{Label, Stream};
use unit::TimeUnit;

/// The most events of a sample.
const MAX_SAMPLE_EVENTS: u64 = 1 << 27;
/// The most classes of a file that names none: a stray label must not become a flood of classes.
const MAX_NAMELESS_CLASSES: u32 = 1 << 16;

/// How a file holds its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Heidelberg: SHD, SSC.
    Hsd,
    /// N-TIDIGITS18.
    Ntidigits,
    /// DSEC, TUM-VIE.
    Dsec,
    /// e2vid, ESIM and much that followed them.
    E2vid,
    /// MVSEC.
    Mvsec,
    /// Prophesee's Metavision.
    Prophesee,
    /// A NumPy array.
    Npy,
    /// NumPy arrays in an archive.
    Npz,
    /// Whatever `--map` says.
    Map,
}

impl Layout {
    /// All of them, with their names and what they are known by.
    pub const ALL: [(Layout, &str, &str); 9] = [
        (Layout::Hsd, "hsd", "spikes/times"),
        (Layout::Ntidigits, "ntidigits", "train_labels"),
        (Layout::Dsec, "dsec", "events/t"),
        (Layout::E2vid, "e2vid", "events/ts"),
        (Layout::Mvsec, "mvsec", "davis/left/events"),
        (Layout::Prophesee, "prophesee", "CD/events"),
        (Layout::Npy, "npy", "a NumPy array"),
        (Layout::Npz, "npz", "a NumPy archive"),
        (Layout::Map, "map", "--map"),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(layout, ..)| *layout == self).map_or("", |(_, name, _)| name)
    }

    /// What it is called in a sentence.
    pub fn title(self) -> &'static str {
        match self {
            Layout::Hsd => "Heidelberg (SHD, SSC)",
            Layout::Ntidigits => "N-TIDIGITS18",
            Layout::Dsec => "camera (DSEC)",
            Layout::E2vid => "camera (e2vid)",
            Layout::Mvsec => "camera (MVSEC)",
            Layout::Prophesee => "camera (Prophesee)",
            Layout::Npy => "NumPy array",
            Layout::Npz => "NumPy archive",
            Layout::Map => "as --map says",
        }
    }

    /// Whether its files hold samples with labels, and not one recording each.
    fn has_samples(self) -> bool {
        matches!(self, Layout::Hsd | Layout::Ntidigits)
    }
}

impl FromStr for Layout {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Layout, String> {
        let names = || Self::ALL.map(|(_, name, _)| name).join(", ");
        let found = Self::ALL.iter().find(|(_, name, _)| *name == text);
        found.map(|(layout, ..)| *layout).ok_or_else(|| format!("expected one of {}", names()))
    }
}

/// A recording, open for reading.
#[derive(Debug)]
pub struct Recording {
    /// The file.
    pub path: PathBuf,
    /// What a set calls it: its file name, from the given folder on.
    pub name: String,
    /// How it holds its events.
    pub layout: Layout,
    /// The size of its sensor, where the file or the layout tells it.
    pub sensor: Option<SensorSize>,
    /// Class of each sample, or [`NO_LABEL`].
    pub labels: Vec<u32>,
    /// Class names, if the file has them.
    pub classes: Option<Arc<[String]>>,
    /// Names and numbers of the extra columns, sorted by name.
    pub extras: Vec<(String, Vec<i64>)>,
    /// What users should know of how it was opened.
    pub notes: Vec<String>,
    reader: Reader,
}

/// Samples that are read together where each is a row of its own: of SSC's, 300 kB.
const ROWS_TOGETHER: u64 = 8;

/// What reads a recording's events.
#[derive(Debug)]
enum Reader {
    Hsd(Box<hsd::Hsd>),
    Ntidigits(ntidigits::Ntidigits),
    Long(Box<long::Long>),
}

impl Recording {
    /// Opens a file of any layout, or all files of a folder.
    ///
    /// # Errors
    /// Those of its layout; [`Error::Usage`] for options that do not fit it.
    pub fn open(path: &Path, options: &SourceOptions) -> Result<Vec<Recording>> {
        if path.is_dir() {
            return folder::open(path, options);
        }
        let layout = layout_of(path, options)?;
        if layout.has_samples() {
            let given = options.labels != Labels::Own || options.cut != Cut::Whole;
            if given {
                let expected = format!("a recording without samples and labels of its own, unlike {}", path.display());
                return Err(Error::usage(
                    "--label, --labels, --sample-duration and --sample-events",
                    expected,
                    layout.title(),
                ));
            }
            if layout == Layout::Hsd && options.time_unit.is_some() {
                return Err(Error::usage("--time-unit", "a layout whose times are not always seconds", layout.title()));
            }
            return Ok(vec![match layout {
                Layout::Ntidigits => ntidigits::open(path, options.digits, options.time_unit)?,
                _ => hsd::Hsd::open(path)?,
            }]);
        }
        Recording::cut(open_stream(path, options)?, options).map(|recording| recording.into_iter().collect())
    }

    /// Cuts a recording into samples as the options say; `None` where their table has no row for it.
    fn cut(mut stream: Stream, options: &SourceOptions) -> Result<Option<Recording>> {
        let name = file_name(&stream.path);
        let mut classes: Option<Vec<String>> = None;
        let mut pieces = match &options.labels {
            Labels::Csv(table) => {
                let rows = labels::read(table, options.time_unit.unwrap_or(TimeUnit::Microseconds))?;
                let (names, numbers) = labels::classes(rows.iter().map(|row| row.label.as_str()), true);
                classes = Some(names);
                let mine = |row: &labels::Row| row.file.as_ref().is_none_or(|file| *file == name);
                let rows: Vec<_> = rows.iter().zip(numbers).filter(|(row, _)| mine(row)).collect();
                match rows[..] {
                    [] => return Ok(None),
                    [(row, class)] if row.interval.is_none() => labelled(&mut stream, options.cut, class)?,
                    _ => match rows.iter().find(|(row, _)| row.interval.is_none()) {
                        None => cut::cut(&mut stream, options.cut, &rows)?,
                        Some((row, _)) => {
                            let (expected, got) = ("a start and an end".into(), "a file and its label".into());
                            return Err(Error::BadTable { path: table.clone(), line: row.line, expected, got });
                        }
                    },
                }
            }
            Labels::One(label) => {
                classes = Some(vec![label.clone()]);
                labelled(&mut stream, options.cut, 0)?
            }
            Labels::Own => {
                let class = match stream.label.take() {
                    Some(Label::Number(class)) => class,
                    Some(Label::Name(name)) => {
                        classes = Some(vec![name]);
                        0
                    }
                    None => NO_LABEL,
                };
                labelled(&mut stream, options.cut, class)?
            }
        };
        let mut notes = pieces.notes();
        if let Some(offset) = stream.time_offset {
            notes.push(format!("times are the file's own; its t_offset of {offset} us is not added"));
        }
        Ok(Some(Recording {
            path: stream.path.clone(),
            name,
            layout: stream.layout,
            sensor: stream.sensor,
            labels: std::mem::take(&mut pieces.labels),
            classes: classes.map(Into::into),
            extras: Vec::new(),
            notes,
            reader: Reader::Long(Box::new(long::Long::open(stream, pieces))),
        }))
    }

    /// How many samples.
    pub fn samples(&self) -> u64 {
        self.labels.len() as u64
    }

    /// Whether a sample's events had another order in the file, because the recording was sorted before it was cut.
    pub fn reordered(&self, sample: u64) -> bool {
        match &self.reader {
            Reader::Long(long) => long.reordered(sample),
            _ => false,
        }
    }

    /// How many samples from `first` on should be read together, at most `most`, so that they fit memory; rows, so that
    /// they fit a core's cache.
    pub fn together(&self, first: u64, most: u64) -> u64 {
        match &self.reader {
            Reader::Long(long) => long.together(first, most),
            _ => most.min(ROWS_TOGETHER),
        }
    }

    /// Reads the raw events of consecutive samples; any thread may.
    ///
    /// # Errors
    /// [`Error::DamagedRecording`], [`Error::BadSample`], and for a file that is opened now those of opening.
    pub fn read(&self, samples: Range<u64>) -> Result<RawSamples> {
        match &self.reader {
            Reader::Hsd(rows) => rows.read(samples),
            Reader::Ntidigits(digits) => digits.read(samples),
            Reader::Long(long) => long.read(samples),
        }
    }

    /// The largest x and y of a recording that does not tell its sensor.
    ///
    /// # Errors
    /// Those of reading.
    pub fn extent(&self) -> Result<Option<(i64, i64)>> {
        match &self.reader {
            Reader::Long(long) => long.extent().map(Some),
            _ => Ok(None),
        }
    }
}

/// The samples of a recording that are all of one class.
fn labelled(stream: &mut Stream, cut: Cut, class: u32) -> Result<Pieces> {
    if cut == Cut::Whole {
        return Ok(Pieces { labels: vec![class], ..Pieces::default() });
    }
    let mut pieces = cut::cut(stream, cut, &[])?;
    pieces.labels.fill(class);
    Ok(pieces)
}

/// The layout of a file: the one that was asked for, or the first that its content fits.
fn layout_of(path: &Path, options: &SourceOptions) -> Result<Layout> {
    if let Some(layout) = options.layout.or(options.map.is_some().then_some(Layout::Map)) {
        return Ok(layout);
    }
    let mut head = [0; 4];
    let file = std::fs::File::open(path).map_err(Error::io(path, "open the recording"))?;
    if std::io::Read::read_exact(&mut &file, &mut head).is_ok() {
        match &head {
            b"\x93NUM" => return Ok(Layout::Npy),
            b"PK\x03\x04" | b"PK\x05\x06" => return Ok(Layout::Npz),
            _ => {}
        }
    }
    let file = open_hdf5(path)?;
    if file.group("spikes").is_ok() {
        Ok(Layout::Hsd)
    } else if ntidigits::detect(&file) {
        Ok(Layout::Ntidigits)
    } else if let Some(layout) = camera::detect(&file) {
        Ok(layout)
    } else {
        let known = Layout::ALL[..6].iter().map(|(_, name, mark)| format!("{mark} ({name})"));
        let looked = known.collect::<Vec<_>>().join(", ");
        Err(Error::UnknownLayout { path: path.into(), looked, has: hdf::contents(&file) })
    }
}

/// Opens a file that holds one recording.
///
/// # Errors
/// Those of its layout; [`Error::Usage`] for a layout of many samples.
fn open_stream(path: &Path, options: &SourceOptions) -> Result<Stream> {
    match layout_of(path, options)? {
        Layout::Npy => numpy::open_npy(path, options),
        Layout::Npz => numpy::open_npz(path, options),
        layout if layout.has_samples() => {
            let expected = format!("one recording a file in a folder; give {} by itself", path.display());
            Err(Error::usage("layout", expected, layout.title()))
        }
        layout => camera::open(path, layout, options),
    }
}

/// A file's name without its folder.
fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Opens an HDF5 file, and says plainly what is wrong where that fails.
///
/// # Errors
/// [`Error::Io`] for a file that is not there or may not be read, [`Error::NotHdf5`] for one that is no HDF5 or is cut
/// short.
pub fn open_hdf5(path: &Path) -> Result<hdf5::File> {
    open_hdf5_with(path, &hdf5::File::with_options())
}

/// As [`open_hdf5`], with options.
fn open_hdf5_with(path: &Path, options: &hdf5::FileBuilder) -> Result<hdf5::File> {
    let file = std::fs::File::open(path).map_err(Error::io(path, "open the recording"))?;
    let meta = file.metadata().map_err(Error::io(path, "open the recording"))?;
    let not_hdf5 = |got: String| Error::NotHdf5 { path: path.into(), got };
    if meta.is_dir() {
        return Err(not_hdf5("a directory".into()));
    }
    if meta.len() == 0 {
        return Err(not_hdf5("an empty file".into()));
    }
    options.open(path).map_err(|e| {
        if e.to_string().contains("unable to lock file") {
            let why = "it is locked: another program writes it, or its file system has no locks \
                       (with HDF5_USE_FILE_LOCKING=FALSE in the environment, it is read all the same)";
            return Error::io(path, "open the recording")(std::io::Error::new(std::io::ErrorKind::WouldBlock, why));
        }
        let head = std::io::Read::bytes(file).take(8).filter_map(std::result::Result::ok).collect::<Vec<u8>>();
        if head == *b"\x89HDF\r\n\x1a\n" {
            not_hdf5(format!("a damaged one of {} bytes, cut short perhaps ({})", meta.len(), last_words(&e)))
        } else {
            not_hdf5(format!("a file that begins with {:?}", String::from_utf8_lossy(&head)))
        }
    })
}

/// The innermost of libhdf5's messages, which is the one that says why.
pub(crate) fn last_words(error: &hdf5::Error) -> String {
    let text = error.to_string();
    text.rsplit(": ").next().unwrap_or(&text).to_string()
}
