//! Spiking sequential MNIST: images of the MNIST format (IDX), whose pixels are read one after the other. Each of 49
//! thresholds has two channels: one has an event at each upward crossing of the threshold by the grey value, and the
//! other one at each downward crossing. Source: Tonic's `SMNIST` with its defaults, which makes the same events.
//!
//! | file | content |
//! |---|---|
//! | `...images-idx3-ubyte` | 4 big-endian numbers (2051, images, 28, 28), and a byte for each pixel |
//! | `...labels-idx1-ubyte`, next to it | 2 big-endian numbers (2049, images), and a byte for each label |
//!
//! | channel | events |
//! |---|---|
//! | 0 | white pixels |
//! | 50 - i | downward crossings of threshold i, counted from 0 |
//! | 99 - i | upward crossings of threshold i, counted from 0 |
//!
//! A step from one pixel to the next takes 2 ms. Each event occurs twice: at the beginning and at the middle of the
//! step.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::{BaseFault, Error, Result};
use crate::events::SensorSize;
use crate::source::columns::TakenColumns;
use crate::source::filler::Filler;
use crate::source::hdf::LinkedPath;
use crate::source::layout::Layout;
use crate::source::packed::local;
use crate::source::placing::Placing;
use crate::source::raw::{Coordinates, RawSamples, Times};
use crate::source::recording::{ReadSamples, Recording, file_name};
use crate::time_unit::TimeUnit;

/// The first bytes of a file of images.
const IMAGES: [u8; 4] = 2051_u32.to_be_bytes();
/// The first bytes of a file of labels.
const LABELS: [u8; 4] = 2049_u32.to_be_bytes();
const SIDE: [u8; 4] = 28_u32.to_be_bytes();
const PIXELS: usize = 28 * 28;
const HEADER: u64 = 16;
const SENSOR: SensorSize = SensorSize { width: 99, height: 1, polarities: 1 };
/// Number of thresholds. Each has two channels: one for upward crossings, and one for downward crossings.
const THRESHOLDS: u16 = 49;
/// Duration of half a step in microseconds.
const HALF_STEP: i64 = 1_000;
/// Tonic's names of the digits.
pub(crate) const DIGITS: [&str; 10] = [
    "0 - zero",
    "1 - one",
    "2 - two",
    "3 - three",
    "4 - four",
    "5 - five",
    "6 - six",
    "7 - seven",
    "8 - eight",
    "9 - nine",
];

/// Encodes the images of a file.
#[derive(Debug)]
struct Smnist {
    path: PathBuf,
    labels: LinkedPath,
    images: u64,
    /// For each grey value: the number of thresholds that are not greater than it.
    ranks: [u16; 256],
}

/// Returns whether `head` is the header of an image file with 28 by 28 pixels per image.
pub(crate) fn detect(head: &[u8]) -> bool {
    head.len() >= HEADER as usize && head.starts_with(&IMAGES) && head[8..12] == SIDE && head[12..16] == SIDE
}

/// Opens a file of images, and the file of their labels.
///
/// # Errors
/// [`tonic_base::Error::Io`]; [`Error::NotARecording`] for files of another format or of a wrong length.
pub(crate) fn open(path: &Path) -> Result<Recording> {
    let name = file_name(path);
    let of_labels = name.replace("images", "labels").replace("idx3", "idx1");
    let labels_path = path.with_file_name(&of_labels);
    let bytes = |path: &Path, head: &mut [u8]| {
        let mut file = File::open(&*local(path)?).map_err(Error::io(path, "open the images"))?;
        file.read_exact(head).map_err(Error::io(path, "read the header"))?;
        file.metadata().map(|meta| meta.len()).map_err(Error::io(path, "read the header"))
    };
    let mut head = [0; HEADER as usize];
    let length = bytes(path, &mut head)?;
    if !detect(&head) {
        return Err(Error::not_a_recording(path, "images of 28 by 28 pixels (IDX)", "another header"));
    }
    let images = u64::from(u32::from_be_bytes([head[4], head[5], head[6], head[7]]));
    let expected = HEADER + images * PIXELS as u64;
    if length != expected {
        return Err(Error::not_a_recording(path, format!("{expected} bytes for {images} images"), format!("{length}")));
    }
    if of_labels == name || !labels_path.is_file() {
        let expected = format!("a file of labels next to {name}, such as train-labels-idx1-ubyte");
        return Err(Error::not_a_recording(&labels_path, expected, "none"));
    }
    let labels = std::fs::read(&*local(&labels_path)?).map_err(Error::io(&labels_path, "read the labels"))?;
    let numbers = labels.strip_prefix(&LABELS).and_then(|rest| rest.strip_prefix(&head[4..8]));
    let Some(numbers) = numbers.filter(|numbers| numbers.len() as u64 == images) else {
        let expected = format!("a header (IDX, 2049), and {images} labels, as {name} has images");
        return Err(Error::not_a_recording(&labels_path, expected, format!("{} bytes", labels.len())));
    };
    if let Some(i) = numbers.iter().position(|&label| usize::from(label) >= DIGITS.len()) {
        return Err(Error::bad_sample(&labels_path, i as u64, "label", "0 to 9", numbers[i]));
    }
    let columns =
        TakenColumns::of_cochlea(("step", "uint16".into()), ("channel", "uint16".into()), TimeUnit::Microseconds);
    let labels = numbers.iter().map(|&label| label.into()).collect();
    let linked = LinkedPath { name: of_labels, path: labels_path };
    Ok(Recording {
        path: path.into(),
        name,
        layout: Layout::Smnist,
        sensor: Some(SENSOR),
        labels,
        classes: Some(DIGITS.map(String::from).into()),
        extras: Vec::new(),
        columns,
        notes: Vec::new(),
        placing: Placing::default(),
        unlabelled: None,
        out_of_range: 0,
        filler: Filler::default(),
        reader: Box::new(Smnist { path: path.into(), labels: linked, images, ranks: ranks() }),
    })
}

/// For each grey value, returns the number of Tonic's thresholds that are not greater than it.
fn ranks() -> [u16; 256] {
    let step = 254.0 / f64::from(THRESHOLDS - 1);
    let threshold = |i: u16| if i + 1 == THRESHOLDS { 254 } else { (f64::from(i) * step) as u8 };
    std::array::from_fn(|grey| (0..THRESHOLDS).filter(|&i| usize::from(threshold(i)) <= grey).count() as u16)
}

/// For each event at the beginning of a step, adds the same event at the middle of the step. `step` is the index of the
/// step, and `first` is the index of its first event.
fn repeat(step: usize, first: usize, times: &mut Vec<i64>, channels: &mut Vec<u16>) {
    let events = first..channels.len();
    times.extend(events.clone().map(|_| (2 * step as i64 + 1) * HALF_STEP));
    channels.extend_from_within(events);
}

impl Smnist {
    fn pixels(&self, images: Range<u64>) -> Result<Vec<u8>> {
        let mut pixels = vec![0; (images.end - images.start) as usize * PIXELS];
        let mut file = File::open(&*local(&self.path)?).map_err(Error::io(&self.path, "open the images"))?;
        file.seek(SeekFrom::Start(HEADER + images.start * PIXELS as u64))
            .map_err(Error::io(&self.path, "read the images"))?;
        file.read_exact(&mut pixels).map_err(Error::io(&self.path, "read the images"))?;
        Ok(pixels)
    }

    /// Calls `see` with the step and the channel of each event at the beginning of a step of an image. Steps are in
    /// ascending order, and so are the channels of each step.
    fn encode(&self, image: &[u8], mut see: impl FnMut(usize, u16)) {
        for (step, &grey) in image.iter().enumerate() {
            if grey == u8::MAX {
                see(step, 0);
            }
            let Some(&next) = image.get(step + 1) else { continue };
            let (from, to) = (self.ranks[usize::from(grey)], self.ranks[usize::from(next)]);
            (to..from).rev().for_each(|threshold| see(step, 50 - threshold));
            (from..to).rev().for_each(|threshold| see(step, 99 - threshold));
        }
    }
}

impl ReadSamples for Smnist {
    fn read(&self, samples: Range<u64>) -> Result<RawSamples> {
        let (mut times, mut channels, mut offsets) = (Vec::new(), Vec::new(), vec![0]);
        for image in self.pixels(samples)?.chunks(PIXELS) {
            let (mut step, mut first) = (0, channels.len());
            self.encode(image, |now, channel| {
                if now != step {
                    repeat(step, first, &mut times, &mut channels);
                    (step, first) = (now, channels.len());
                }
                times.push(2 * now as i64 * HALF_STEP);
                channels.push(channel);
            });
            repeat(step, first, &mut times, &mut channels);
            offsets.push(channels.len());
        }
        Ok(RawSamples { times: Times::Us(times), x: Coordinates::U16(channels), y: None, p: None, offsets })
    }

    fn events(&self) -> Result<u64> {
        const IMAGES_AT_ONCE: usize = 1024;
        let mut events = 0;
        for first in (0..self.images).step_by(IMAGES_AT_ONCE) {
            let pixels = self.pixels(first..self.images.min(first + IMAGES_AT_ONCE as u64))?;
            pixels.chunks(PIXELS).for_each(|image| self.encode(image, |_, _| events += 2));
        }
        Ok(events)
    }

    fn linked(&self) -> Vec<LinkedPath> {
        vec![self.labels.clone()]
    }
}
