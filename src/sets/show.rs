//! Draws the raster of a sample: as a picture or in the terminal.

use tonic_prep::Recipe;
use tonic_report::{Picture, Raster, RasterPoint};

use crate::error::Result;
use crate::sample::Sample;

/// Maximum height of a raster in the terminal, in characters of 2 x 4 dots.
const LINES: usize = 24;

/// Returns the time between the starts of consecutive frames, in seconds. `recipe` is the recipe of the frames, as
/// TOML. `None` if the recipe doesn't fix this time.
pub fn frame_seconds(recipe: &str) -> Option<f64> {
    Recipe::parse(None, recipe).ok()?.frames.frame_time().map(|us| us / 1e6)
}

/// Returns two things for the time axis of a raster: the distance between consecutive frames, and the label. `recipe`
/// is the recipe of the frames, as TOML.
///
/// - If [`frame_seconds`] returns a time, the unit of the axis is ms.
/// - Otherwise, the axis counts frames, and the distance is 1.
pub fn frame_length(recipe: &str) -> (f64, &'static str) {
    frame_seconds(recipe).map_or((1.0, "frame"), |seconds| (seconds * 1000.0, "time (ms)"))
}

impl Sample<'_> {
    fn raster(&self) -> Raster {
        let shape = self.shape();
        let point = |(frame, cell, value)| {
            let (row, second) = shape.raster_place(cell);
            RasterPoint { frame, row, value, second }
        };
        let (rows, row_names) = shape.raster_rows();
        let frame_length = frame_length(&self.description().recipe);
        let points = self.frames().iter().map(point).collect();
        Raster { title: self.title(), frames: self.frames().frames(), rows, frame_length, row_names, points }
    }

    /// Draws the raster as a picture. With more than 400 frames, several frames share a column.
    ///
    /// # Errors
    /// [`tonic_report::Error::Plot`].
    pub fn picture(&self) -> Result<Picture> {
        Ok(self.raster().picture()?)
    }

    /// Draws the raster in braille characters. The last line explains the axes.
    pub fn braille(&self) -> String {
        self.raster().braille(LINES)
    }
}
