//! A sample for the eye: its raster as a picture, and in the terminal.

use super::transform::Recipe;
use crate::error::{Error, Result};
use crate::frames::{FrameShape, SampleFrames};
use crate::plot::{Picture, RasterAxes, RasterPoint, raster};
use crate::shard::codec::{Chunk, Decoder, NO_LABEL};
use crate::shard::reader::ShardSet;

/// The terminal raster's size in characters; each is 2 dots wide and 4 high.
const COLUMNS: usize = 96;
const ROWS: usize = 24;

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

    fn frames(&self) -> SampleFrames<'_> {
        self.chunk.frames.sample(self.inside)
    }

    fn shape(&self) -> FrameShape {
        self.set.manifest().description.shape
    }

    /// The class's name, if it has one.
    pub fn class(&self) -> &str {
        let label = self.chunk.table.labels[self.inside];
        let classes = &self.set.manifest().description.classes;
        if label == NO_LABEL { "no label" } else { classes.get(label as usize).map_or("unknown", String::as_str) }
    }

    /// One line that says which sample it is.
    pub fn title(&self) -> String {
        let frames = self.frames();
        format!("sample {}: {} ({} events in {} frames)", self.sample, self.class(), frames.events(), frames.frames())
    }

    /// The length of a frame, and what it is measured in.
    fn frame_length(&self) -> (f64, &'static str) {
        let recipe = Recipe::parse(None, &self.set.manifest().description.recipe);
        match recipe.map(|r| r.frames.time_window) {
            Ok(Some(window)) => (window as f64 / 1000.0, "time (ms)"),
            _ => (1.0, "frame"),
        }
    }

    /// The raster as a picture.
    ///
    /// # Errors
    /// [`Error::Plot`].
    pub fn picture(&self) -> Result<Picture> {
        let shape = self.shape();
        let frame_length = self.frame_length();
        let rows = shape.height * shape.width;
        let point = |(frame, cell, count): (usize, u32, u32)| RasterPoint {
            frame,
            row: cell % rows,
            count,
            second: cell < rows && shape.polarities > 1,
        };
        let points: Vec<RasterPoint> = self.frames().iter().map(point).collect();
        let row_name = if shape.height == 1 { "channel" } else { "pixel (y * W + x)" };
        raster(
            &RasterAxes { title: self.title(), frames: self.frames().frames(), rows, frame_length, row_name },
            &points,
        )
    }

    /// The raster in braille dots, low channels at the bottom, and a line that says what the axes are.
    pub fn braille(&self) -> String {
        /// The bit of each of a character's dots, by row and column, as Unicode numbers them.
        const DOTS: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
        let shape = self.shape();
        let (frames, rows) = (self.frames().frames(), (shape.height * shape.width) as usize);
        let columns = COLUMNS.min(frames.div_ceil(2));
        let lines = ROWS.min(rows.div_ceil(4));
        let mut dots = vec![vec![0_u8; columns]; lines];
        for (frame, cell, _) in self.frames().iter() {
            let x = frame * columns * 2 / frames;
            let y = lines * 4 - 1 - (cell as usize % rows) * lines * 4 / rows;
            dots[y / 4][x / 2] |= DOTS[y % 4][x % 2];
        }
        let character = |&bits: &u8| char::from_u32(0x2800 + u32::from(bits)).unwrap_or(' ');
        let line = |line: &Vec<u8>| line.iter().map(character).collect::<String>() + "\n";
        let raster: String = dots.iter().map(line).collect();
        let (length, unit) = self.frame_length();
        let last = frames as f64 * length;
        format!("{raster}{unit} 0 to {last:.0} from left to right, channels 0 to {} from bottom to top", rows - 1)
    }
}
