//! Rasters show which cells of a sample, or which neurons of a layer, are active at which time. A raster can be drawn
//! as a picture, as text in braille characters, or as a small image in a web page.

use std::collections::BTreeMap;

use plotters::prelude::*;

use crate::error::Result;
use crate::html::image;
use crate::picture::{DrawResult, Drawing, INK, Picture, SERIES, draw, encode_png, label, text};
use crate::plot::{Curve, draw_shares};

/// Maximum width of a raster in the terminal, in characters of 2 x 4 dots.
pub const COLUMNS: usize = 96;
/// Maximum number of columns of a raster in a picture.
const FRAMES_DRAWN: usize = 400;
/// Maximum number of columns and rows of an image in a web page.
const IMAGE: (usize, usize) = (400, 140);
/// Width of a picture in pixels.
const WIDTH: u32 = 900;
/// Height in pixels of a raster that is alone in a picture.
const SINGLE: u32 = 420;
/// Height in pixels of each raster in a picture of several rasters.
const STACKED: u32 = 230;
/// Height in pixels of the curves below several rasters.
const CURVES: u32 = 260;

/// One mark of a raster, for all occupied cells in one frame and one row.
#[derive(Clone, Copy, Debug)]
pub struct RasterPoint {
    /// Index of the frame, from 0.
    pub frame: usize,
    /// Row of the raster, from 0 at the bottom: a channel of a cochlea, a row of pixels of a camera, or a neuron.
    pub row: u32,
    /// Number of events or spikes. For float32 frames (such as time surfaces), the sum of the cells' values.
    pub value: f64,
    /// Whether to draw the mark in the second colour (polarity 0 of a camera).
    pub second: bool,
}

/// A raster: its marks, and what its axes mean.
#[derive(Clone, Debug)]
pub struct Raster {
    /// Text above the picture.
    pub title: String,
    /// Number of frames on the time axis.
    pub frames: usize,
    /// Number of rows.
    pub rows: u32,
    /// Length of a frame on the time axis, and the label of this axis, such as `(4.0, "time (ms)")`.
    pub frame_length: (f64, &'static str),
    /// Word for a row, in singular and plural.
    pub row_names: [&'static str; 2],
    /// The marks, in any order. Several marks can have the same frame and row.
    pub points: Vec<RasterPoint>,
}

impl Raster {
    /// Draws the raster as a picture. Marks with more events are darker. With more than 400 frames, several frames
    /// share a column.
    ///
    /// # Errors
    /// [`Error::Plot`](crate::Error::Plot).
    pub fn picture(&self) -> Result<Picture> {
        draw((WIDTH, SINGLE), "a raster", |area| self.draw(area))
    }

    fn draw(&self, area: &Drawing<'_>) -> DrawResult {
        let together = self.frames.div_ceil(FRAMES_DRAWN).max(1);
        let points = self.cells(self.frames.div_ceil(together), self.rows as usize);
        let (length, unit) = self.frame_length;
        let most = points.values().fold(f64::MIN_POSITIVE, |most, value| most.max(value.abs()));
        let span = self.frames.max(1) as f64 * length;
        let mut chart = ChartBuilder::on(area)
            .caption(label(&self.title, 90), text(19))
            .margin(12)
            .x_label_area_size(42)
            .y_label_area_size(58)
            .build_cartesian_2d(0.0..span, 0.0..f64::from(self.rows.max(1)))?;
        chart
            .configure_mesh()
            .disable_mesh()
            .axis_style(INK.mix(0.4))
            .label_style(text(13))
            .axis_desc_style(text(14))
            .x_desc(unit)
            .y_desc(self.row_names[0])
            .x_labels(9)
            .y_labels(6)
            .x_label_formatter(&|v| format!("{v:.0}"))
            .y_label_formatter(&|v| format!("{v:.0}"))
            .draw()?;
        let wide = length * together as f64;
        chart.draw_series(points.into_iter().map(|((column, row, second), value)| {
            let colour = if second { SERIES[1] } else { SERIES[0] };
            let (x, y) = (column as f64 * wide, row as f64);
            Rectangle::new([(x, y), ((x + wide).min(span), y + 1.0)], colour.mix(strength(value, most)).filled())
        }))?;
        Ok(())
    }

    /// Returns the sum of the values of the points in each cell of a grid of at most `columns` x `rows`. The key of a
    /// sum is the column, the row, and whether the points have the second colour. Cells without points are left out.
    fn cells(&self, columns: usize, rows: usize) -> BTreeMap<(usize, usize, bool), f64> {
        let together = self.frames.div_ceil(columns.max(1)).max(1);
        let mut cells = BTreeMap::new();
        for point in &self.points {
            let row = point.row as usize * rows / (self.rows.max(1) as usize);
            *cells.entry((point.frame / together, row, point.second)).or_insert(0.0) += point.value;
        }
        cells
    }

    /// Draws the raster in braille characters, in at most `lines` lines. The last line explains the axes.
    pub fn braille(&self, lines: usize) -> String {
        /// Bit of each dot of a braille character in Unicode, by the dot's row and column.
        const DOTS: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
        let (frames, rows) = (self.frames, self.rows as usize);
        let columns = COLUMNS.min(frames.div_ceil(2));
        let lines = lines.min(rows.div_ceil(4));
        let mut dots = vec![vec![0_u8; columns]; lines];
        for point in &self.points {
            let x = point.frame * columns * 2 / frames;
            let y = lines * 4 - 1 - point.row as usize * lines * 4 / rows;
            dots[y / 4][x / 2] |= DOTS[y % 4][x % 2];
        }
        let character = |bits: u8| char::from_u32(0x2800 + u32::from(bits)).unwrap_or(' ');
        let raster: String = dots.into_iter().flat_map(|line| line.into_iter().map(character).chain(['\n'])).collect();
        let (length, unit) = self.frame_length;
        let (last, names) = (frames as f64 * length, self.row_names[1]);
        format!("{raster}{unit} 0 to {last:.0} from left to right, {names} 0 to {} upwards", rows.saturating_sub(1))
    }

    /// Returns the raster as an `img` element for a web page, on a transparent background. If the raster has more than
    /// 400 frames, several frames share a pixel. If it has more than 140 rows, several rows share a pixel.
    ///
    /// # Errors
    /// [`Error::Plot`](crate::Error::Plot) if the image cannot be encoded.
    pub fn image(&self) -> Result<String> {
        let together = self.frames.div_ceil(IMAGE.0).max(1);
        let (columns, rows) = (self.frames.div_ceil(together).max(1), (self.rows as usize).clamp(1, IMAGE.1));
        let cells = self.cells(columns, rows);
        let most = cells.values().fold(f64::MIN_POSITIVE, |most, value| most.max(value.abs()));
        let mut pixels = vec![0; columns * rows * 4];
        for ((column, row, second), value) in cells {
            // The colours are lighter than in pictures, so that marks are visible on a black and on a white background.
            let (r, g, b) = if second { (225, 110, 30) } else { (38, 132, 204) };
            let pixel = ((rows - 1 - row) * columns + column) * 4;
            pixels[pixel..pixel + 4].copy_from_slice(&[r, g, b, (strength(value, most) * 255.0) as u8]);
        }
        let png = encode_png((columns as u32, rows as u32), png::ColorType::Rgba, &pixels, &self.title)?;
        Ok(image(&png, &self.title, "raster", (rows * 4).clamp(48, IMAGE.1)))
    }
}

/// Draws several rasters below each other, and below them the curves `shares`, with values from 0 to 1. All have the
/// same time axis. `name` is the label of the curves' vertical axis.
///
/// # Errors
/// [`Error::Plot`](crate::Error::Plot).
pub fn raster_page(title: &str, rasters: &[Raster], (name, shares): (&str, &[Curve])) -> Result<Picture> {
    const TOP: u32 = 40;
    let height = TOP + STACKED * rasters.len() as u32 + CURVES;
    draw((WIDTH, height), "rasters", |area| {
        area.draw(&Text::new(label(title, 100), (14, 14), text(20)))?;
        let mut top = TOP;
        for raster in rasters {
            raster.draw(&area.clone().shrink((0, top as i32), (WIDTH, STACKED)))?;
            top += STACKED;
        }
        let unit = rasters.first().map_or("frame", |raster| raster.frame_length.1);
        draw_shares(&area.clone().shrink((0, top as i32), (WIDTH, CURVES)), name, unit, shares, true)
    })
}

/// Returns the opacity of a mark. The square root keeps single events visible next to the busiest cell.
fn strength(value: f64, most: f64) -> f64 {
    0.25 + 0.75 * (value.abs() / most).sqrt()
}

#[cfg(test)]
mod tests {
    use super::{Raster, RasterPoint};

    fn raster(frames: usize, rows: u32, places: &[(usize, u32)]) -> Raster {
        let point = |&(frame, row)| RasterPoint { frame, row, value: 1.0, second: false };
        let points = places.iter().map(point).collect();
        let (frame_length, row_names) = ((1.0, "frame"), ["neuron", "neurons"]);
        Raster { title: "spikes".into(), frames, rows, frame_length, row_names, points }
    }

    #[test]
    fn braille_has_frame_0_on_the_left_and_row_0_at_the_bottom() {
        let text = raster(4, 4, &[(0, 0), (3, 3)]).braille(24);
        assert_eq!(text, "\u{2840}\u{2808}\nframe 0 to 4 from left to right, neurons 0 to 3 upwards");
        assert!(raster(0, 4, &[]).braille(24).contains("frame 0 to 0"));
    }

    #[test]
    fn an_image_has_a_pixel_for_each_cell() {
        let decoded = |raster: &Raster| {
            use base64::prelude::{BASE64_STANDARD, Engine};
            let html = raster.image().unwrap();
            let data = html.split_once("base64,").unwrap().1.split_once('"').unwrap().0;
            let bytes = BASE64_STANDARD.decode(data).unwrap();
            let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
            let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
            let info = reader.next_frame(&mut pixels).unwrap();
            ((info.width, info.height), pixels.chunks(4).map(|pixel| pixel[3]).collect::<Vec<u8>>())
        };
        assert_eq!(decoded(&raster(3, 2, &[(0, 0), (2, 1)])), ((3, 2), vec![0, 0, 255, 255, 0, 0]));
        let (size, opacity) = decoded(&raster(900, 280, &[(899, 279), (0, 0), (1, 1)]));
        assert_eq!((size, opacity.iter().filter(|&&a| a > 0).count()), ((300, 140), 2));
        assert!(opacity[299] > 0 && opacity[139 * 300] == 255);
    }
}
