//! Draws the raster of a sample: as a picture or in the terminal.

use std::collections::BTreeMap;

use ndarray::Array2;
use tonic_prep::Recipe;
use tonic_report::{Picture, RasterAxes, RasterPoint, raster};

use crate::error::Result;
use crate::sample::Sample;

/// Maximum width of a raster in the terminal, in characters of 2 x 4 dots. `ROWS` is the maximum height.
const COLUMNS: usize = 96;
const ROWS: usize = 24;
/// Maximum number of columns of a raster in a picture.
const FRAMES_DRAWN: usize = 400;

impl Sample<'_> {
    /// Returns the length of a frame on the time axis, and the label of this axis.
    fn frame_length(&self) -> (f64, &'static str) {
        let recipe = Recipe::parse(None, &self.description().recipe);
        match recipe.map(|r| r.frames.frame_time()) {
            Ok(Some(us)) => (us / 1000.0, "time (ms)"),
            _ => (1.0, "frame"),
        }
    }

    /// Returns the number of rows of the raster, and the word for a row in singular and plural.
    fn rows(&self) -> (u32, [&'static str; 2]) {
        let shape = self.shape();
        if shape.height == 1 {
            (shape.width, ["channel", "channels"])
        } else {
            (shape.height, ["row of pixels", "rows of pixels"])
        }
    }

    /// Returns the row of the raster in which a cell is drawn, counted from 0 at the bottom.
    fn row(&self, cell: u32) -> u32 {
        let shape = self.shape();
        let pixel = cell % (shape.height * shape.width);
        if shape.height == 1 { pixel } else { shape.height - 1 - pixel / shape.width }
    }

    /// Draws the raster as a picture. With more than 400 frames, several frames share a column.
    ///
    /// # Errors
    /// [`tonic_report::Error::Plot`].
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
        Ok(raster(&RasterAxes { title: self.title(), frames, rows, frame_length, row_name }, &points)?)
    }

    /// Draws the raster in braille characters. The last line explains the axes.
    pub fn braille(&self) -> String {
        /// Bit of each dot of a braille character in Unicode, by the dot's row and column.
        const DOTS: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
        let (rows, [_, names]) = self.rows();
        let (frames, rows) = (self.frames().frames(), rows as usize);
        let columns = COLUMNS.min(frames.div_ceil(2));
        let lines = ROWS.min(rows.div_ceil(4));
        let mut dots = Array2::<u8>::zeros((lines, columns));
        for (frame, cell, _) in self.frames().iter() {
            let x = frame * columns * 2 / frames;
            let y = lines * 4 - 1 - self.row(cell) as usize * lines * 4 / rows;
            dots[[y / 4, x / 2]] |= DOTS[y % 4][x % 2];
        }
        let character = |&bits: &u8| char::from_u32(0x2800 + u32::from(bits)).unwrap_or(' ');
        let raster: String =
            dots.rows().into_iter().flat_map(|line| line.into_iter().map(character).chain(['\n'])).collect();
        let (length, unit) = self.frame_length();
        let last = frames as f64 * length;
        format!("{raster}{unit} 0 to {last:.0} from left to right, {names} 0 to {} upwards", rows - 1)
    }
}
