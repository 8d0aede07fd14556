//! A sample for the eye: its raster as a picture, and in the terminal.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::frames::{FrameShape, SampleFrames};
use crate::plot::{Picture, RasterAxes, RasterPoint, raster};
use crate::prep::transform::Recipe;
use crate::shard::codec::{Chunk, Decoder};
use crate::shard::reader::ShardSet;

/// The terminal raster's size in characters; each is 2 dots wide and 4 high.
const COLUMNS: usize = 96;
const ROWS: usize = 24;
/// The most columns of frames that a picture has room for.
const FRAMES_DRAWN: usize = 400;

/// One sample of a set, decoded.
#[derive(Debug)]
pub struct Shown<'a> {
    set: &'a ShardSet,
    chunk: Chunk,
    inside: usize,
    sample: u64,
}

impl<'a> Shown<'a> {
    /// Decodes sample number `sample`.
    ///
    /// # Errors
    /// [`Error::Usage`] for a number that the set has not, [`Error::Corrupt`].
    pub fn open(set: &'a ShardSet, sample: u64) -> Result<Shown<'a>> {
        if sample >= set.len() {
            return Err(Error::usage("--sample", format!("0 to {}", set.len().saturating_sub(1)), sample));
        }
        let per_chunk = u64::from(set.manifest().description.chunk_samples);
        let mut chunk = set.empty_chunk();
        set.decode(sample / per_chunk, &mut Decoder::new(), &mut chunk)?;
        Ok(Shown { set, chunk, inside: (sample % per_chunk) as usize, sample })
    }

    pub(super) fn frames(&self) -> SampleFrames<'_> {
        self.chunk.frames.sample(self.inside)
    }

    pub(super) fn shape(&self) -> FrameShape {
        self.set.manifest().description.shape
    }

    pub(super) fn number(&self) -> u64 {
        self.sample
    }

    /// The class's name, if it has one.
    pub fn class(&self) -> &str {
        self.set.manifest().description.class_name(self.chunk.table.labels[self.inside])
    }

    /// One line that says which sample it is.
    pub fn title(&self) -> String {
        let frames = self.frames();
        let events = self.chunk.table.ledgers[self.inside].binned;
        format!("sample {}: {} ({events} events in {} frames)", self.sample, self.class(), frames.frames())
    }

    /// The length of a frame, and what it is measured in.
    fn frame_length(&self) -> (f64, &'static str) {
        let recipe = Recipe::parse(None, &self.set.manifest().description.recipe);
        match recipe.map(|r| r.frames.frame_time()) {
            Ok(Some(us)) => (us / 1000.0, "time (ms)"),
            _ => (1.0, "frame"),
        }
    }

    /// The raster's rows, and what one and several are called: a cochlea's channels, a camera's rows of pixels.
    fn rows(&self) -> (u32, [&'static str; 2]) {
        let shape = self.shape();
        if shape.height == 1 {
            (shape.width, ["channel", "channels"])
        } else {
            (shape.height, ["row of pixels", "rows of pixels"])
        }
    }

    /// The raster's row of a cell, from the bottom.
    fn row(&self, cell: u32) -> u32 {
        let shape = self.shape();
        let pixel = cell % (shape.height * shape.width);
        if shape.height == 1 { pixel } else { shape.height - 1 - pixel / shape.width }
    }

    /// The raster as a picture. Frames that are too many to be told apart are drawn several in one.
    ///
    /// # Errors
    /// [`Error::Plot`].
    pub fn picture(&self) -> Result<Picture> {
        let shape = self.shape();
        let together = self.frames().frames().div_ceil(FRAMES_DRAWN).max(1);
        let mut values = BTreeMap::new();
        for (frame, cell, value) in self.frames().iter() {
            let second = cell < shape.height * shape.width && shape.polarities > 1;
            *values.entry((frame / together, self.row(cell), second)).or_insert(0.0) += value;
        }
        let point = |((frame, row, second), value)| RasterPoint { frame, row, value, second };
        let points: Vec<RasterPoint> = values.into_iter().map(point).collect();
        let (length, unit) = self.frame_length();
        let frame_length = (length * together as f64, unit);
        let (rows, [row_name, _]) = self.rows();
        let frames = self.frames().frames().div_ceil(together);
        raster(&RasterAxes { title: self.title(), frames, rows, frame_length, row_name }, &points)
    }

    /// The raster in braille dots, low channels at the bottom, and a line that says what the axes are.
    pub fn braille(&self) -> String {
        /// The bit of each of a character's dots, by row and column, as Unicode numbers them.
        const DOTS: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
        let (rows, [_, names]) = self.rows();
        let (frames, rows) = (self.frames().frames(), rows as usize);
        let columns = COLUMNS.min(frames.div_ceil(2));
        let lines = ROWS.min(rows.div_ceil(4));
        let mut dots = vec![vec![0_u8; columns]; lines];
        for (frame, cell, _) in self.frames().iter() {
            let x = frame * columns * 2 / frames;
            let y = lines * 4 - 1 - self.row(cell) as usize * lines * 4 / rows;
            dots[y / 4][x / 2] |= DOTS[y % 4][x % 2];
        }
        let character = |&bits: &u8| char::from_u32(0x2800 + u32::from(bits)).unwrap_or(' ');
        let line = |line: &Vec<u8>| line.iter().map(character).collect::<String>() + "\n";
        let raster: String = dots.iter().map(line).collect();
        let (length, unit) = self.frame_length();
        let last = frames as f64 * length;
        format!("{raster}{unit} 0 to {last:.0} from left to right, {names} 0 to {} upwards", rows - 1)
    }
}
