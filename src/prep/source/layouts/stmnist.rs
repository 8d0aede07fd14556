//! The files of ST-MNIST: MATLAB files of version 5 with a matrix of spikes. Source: the description of the data set,
//! and the reader of earlier versions of Tonic, which reads the same events.
//!
//! | variable | shape | meaning |
//! |---|---|---|
//! | `spiketrain` | (101, N) | in each column: 100 taxels, 1 for ON, -1 for OFF, 0 for none; then the time in seconds |
//!
//! Taxels are the pixels of the touch sensor. Taxel i is at x = i % 10, y = i / 10.

use std::path::Path;

use crate::error::{Error, Result};
use crate::events::SensorSize;
use crate::source::columns::{EventBlock, Part, Stamps, TakenColumns, TakenField, list};
use crate::source::layout::Layout;
use crate::source::matlab::MatFile;
use crate::source::numpy::Header;
use crate::source::options::SourceOptions;
use crate::source::raw::Coordinates;
use crate::source::stream::{EventStore, EventStream};
use crate::source::times::Timeline;
use crate::time_unit::TimeUnit;

const SPIKES: &str = "spiketrain";
const SIDE: usize = 10;
const TAXELS: usize = SIDE * SIDE;
const SENSOR: SensorSize = SensorSize { width: SIDE as u32, height: SIDE as u32, polarities: 2 };
/// Maximum size of a matrix in bytes. Real samples are much smaller: they last two seconds.
const MAX_BYTES: u64 = 1 << 28;

/// Opens a file and reads its events.
///
/// # Errors
/// Errors of [`MatFile::open`]; [`Error::MissingDataset`] and [`Error::WrongType`] for a missing or wrong `spiketrain`.
pub(crate) fn open(path: &Path, options: &SourceOptions) -> Result<EventStream> {
    let file = MatFile::open(path)?;
    let header = file.header(SPIKES).ok_or_else(|| Error::MissingDataset {
        path: path.into(),
        dataset: SPIKES.into(),
        layout: Layout::Stmnist.name(),
        present: list(file.arrays()),
    })?;
    let wrong = |expected: &str| Error::wrong_type(path, SPIKES, expected, header.info(""));
    if header.shape.len() != 2 || header.shape[0] != TAXELS as u64 + 1 {
        return Err(wrong("a matrix (101, N): 100 taxels and the time"));
    }
    if header.data_bytes() > MAX_BYTES {
        return Err(wrong("a matrix of at most 256 MiB"));
    }
    let flat = Header { shape: vec![header.items()], ..header.clone() };
    let numbers = flat.lane(&Part::Whole).map_err(|expected| wrong(&expected))?;
    let numbers = numbers.of_array(&file.read(SPIKES, u64::MAX)?, u64::MAX).floats();
    file.finish()?;
    let unit = options.time_unit.unwrap_or(TimeUnit::Seconds);
    let (mut t, mut x, mut y, mut p) = (Stamps::default(), Vec::new(), Vec::new(), Vec::new());
    for column in numbers.chunks_exact(TAXELS + 1) {
        if column[..TAXELS].iter().any(|spike| ![-1.0, 0.0, 1.0].contains(spike)) {
            return Err(wrong("spikes of 1, -1 or 0"));
        }
        let time = unit.of_float(column[TAXELS]);
        for (taxel, spike) in column[..TAXELS].iter().enumerate().filter(|(_, spike)| **spike != 0.0) {
            if time.is_none() {
                t.missing.push(t.us.len());
            }
            t.us.push(time.unwrap_or(0));
            x.push((taxel % SIDE) as u8);
            y.push((taxel / SIDE) as u8);
            p.push(u8::from(*spike > 0.0));
        }
    }
    let mut time = Timeline::new(options, TimeUnit::Microseconds, Vec::new());
    time.unit_given = true;
    let field = |kind: &str| Some(TakenField { field: SPIKES.into(), kind: kind.into() });
    let fields = [field("float64"), field("uint8"), field("uint8"), field("uint8")];
    let len = t.us.len() as u64;
    let (x, y, p) = (Coordinates::U8(x), Some(Coordinates::U8(y)), Some(Coordinates::U8(p)));
    Ok(EventStream {
        path: path.into(),
        layout: Layout::Stmnist,
        time,
        len,
        sensor: Some(SENSOR),
        label: None,
        taken: TakenColumns { fields, unit: Some(unit), ..TakenColumns::default() },
        time_offset: None,
        linked: Vec::new(),
        notes: Vec::new(),
        columns: EventStore::Memory(EventBlock { t, x, y, p }),
    })
}
