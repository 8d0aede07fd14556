//! Pictures, for both wings: a raster, curves, a confusion matrix.
//!
//! A picture is drawn once, as SVG; its PNG is rendered from that, with the same font built in, so that it looks the
//! same on a cluster node without fonts as on a laptop.

mod bars;
mod page;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};
use resvg::{tiny_skia, usvg};

use crate::error::{Error, Result};
use crate::publish::publish;

pub use bars::{BarColumn, BarGroup, BarRow, bars, figures};
pub use page::{Panel, PanelKind, page};

/// PNG pixels an SVG unit: sharp on screens of high density.
const SCALE: f32 = 2.0;
const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(38, 43, 51);
const FAINT: RGBColor = RGBColor(228, 231, 236);
/// Okabe and Ito's colours, which colour-blind readers tell apart.
const SERIES: [RGBColor; 4] =
    [RGBColor(0, 114, 178), RGBColor(213, 94, 0), RGBColor(0, 158, 115), RGBColor(204, 121, 167)];

/// A finished picture.
#[derive(Clone, Debug)]
pub struct Picture {
    svg: String,
}

impl Picture {
    /// Writes it as SVG.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_svg(&self, path: &Path) -> Result<()> {
        publish(path, self.svg.as_bytes())
    }

    /// Writes it as PNG.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Plot`].
    pub fn write_png(&self, path: &Path) -> Result<()> {
        let failed = |reason: String| Error::Plot { what: path.display().to_string(), reason };
        let mut fonts = usvg::fontdb::Database::new();
        fonts.load_font_data(epaint_default_fonts::UBUNTU_LIGHT.to_vec());
        let family = fonts.faces().next().map(|face| face.families[0].0.clone());
        fonts.set_sans_serif_family(family.unwrap_or_default());
        let options = usvg::Options { fontdb: Arc::new(fonts), ..usvg::Options::default() };
        let tree = usvg::Tree::from_str(&self.svg, &options).map_err(|e| failed(e.to_string()))?;
        let size = tree.size().to_int_size();
        let side = |n: u32| (n as f32 * SCALE) as u32;
        let mut pixels = tiny_skia::Pixmap::new(side(size.width()), side(size.height()))
            .ok_or_else(|| failed("it has no size".into()))?;
        resvg::render(&tree, tiny_skia::Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
        publish(path, &pixels.encode_png().map_err(|e| failed(e.to_string()))?)
    }
}

/// A file whose name says that it is a picture, so that a slip of the hand does not replace a manifest.
///
/// # Errors
/// What was expected.
pub fn png_path(text: &str) -> std::result::Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let is_png = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png"));
    if is_png { Ok(path) } else { Err("expected a name that ends in .png".into()) }
}

/// One occupied cell of a raster.
#[derive(Clone, Copy, Debug)]
pub struct RasterPoint {
    /// Frame.
    pub frame: usize,
    /// Row of the raster: a channel.
    pub row: u32,
    /// Events.
    pub value: f64,
    /// Whether it is drawn in the second colour (polarity 0 of a camera).
    pub second: bool,
}

/// What a raster's axes say.
#[derive(Clone, Debug)]
pub struct RasterAxes {
    /// Above the picture.
    pub title: String,
    /// Frames.
    pub frames: usize,
    /// Rows.
    pub rows: u32,
    /// Length of a frame, and its unit: `(4.0, "time (ms)")`.
    pub frame_length: (f64, &'static str),
    /// What a row is.
    pub row_name: &'static str,
}

/// A sample's raster: a mark for every occupied cell, darker with more events.
///
/// # Errors
/// [`Error::Plot`].
pub fn raster(axes: &RasterAxes, points: &[RasterPoint]) -> Result<Picture> {
    let (length, unit) = axes.frame_length;
    let most = points.iter().map(|p| p.value.abs()).fold(f64::MIN_POSITIVE, f64::max);
    draw((900, 420), "a raster", |area| {
        let span = (axes.frames.max(1) as f64) * length;
        let mut chart = ChartBuilder::on(area)
            .caption(&axes.title, text(19))
            .margin(12)
            .x_label_area_size(42)
            .y_label_area_size(58)
            .build_cartesian_2d(0.0..span, 0.0..f64::from(axes.rows))?;
        chart
            .configure_mesh()
            .disable_mesh()
            .axis_style(INK.mix(0.4))
            .label_style(text(13))
            .axis_desc_style(text(14))
            .x_desc(unit)
            .y_desc(axes.row_name)
            .x_labels(9)
            .y_labels(6)
            .x_label_formatter(&|v| format!("{v:.0}"))
            .y_label_formatter(&|v| format!("{v:.0}"))
            .draw()?;
        chart.draw_series(points.iter().map(|p| {
            // The square root keeps single events visible beside the busiest cell.
            let strength = 0.25 + 0.75 * (p.value.abs() / most).sqrt();
            let colour = if p.second { SERIES[1] } else { SERIES[0] };
            let (x, y) = (p.frame as f64 * length, f64::from(p.row));
            Rectangle::new([(x, y), (x + length, y + 1.0)], colour.mix(strength).filled())
        }))?;
        Ok(())
    })
}

/// One line of a chart of curves; a point that is not finite interrupts it.
#[derive(Clone, Debug)]
pub struct Curve {
    /// Its name in the legend.
    pub name: String,
    /// (epoch, value).
    pub points: Vec<(f64, f64)>,
}

/// Curves over epochs.
///
/// # Errors
/// [`Error::Plot`].
pub fn curves(title: &str, y_name: &str, y_range: Option<(f64, f64)>, curves: &[Curve]) -> Result<Picture> {
    let points = || curves.iter().flat_map(|c| &c.points).filter(|p| p.1.is_finite());
    let last = points().map(|p| p.0).fold(1.0, f64::max);
    let (low, high) = y_range.unwrap_or_else(|| {
        let high = points().map(|p| p.1).fold(0.0, f64::max);
        (0.0, if high > 0.0 { high * 1.06 } else { 1.0 })
    });
    draw((760, 420), "curves", |area| {
        let mut chart = ChartBuilder::on(area)
            .caption(title, text(19))
            .margin(14)
            .x_label_area_size(42)
            .y_label_area_size(58)
            .build_cartesian_2d(0.0..last * 1.02, low..high)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(FAINT)
            .axis_style(INK.mix(0.4))
            .label_style(text(13))
            .axis_desc_style(text(14))
            .x_desc("epoch")
            .y_desc(y_name)
            .x_labels((last as usize).clamp(2, 12))
            .x_label_formatter(&|v| format!("{v:.0}"))
            .draw()?;
        for (curve, colour) in curves.iter().zip(SERIES.iter().cycle()) {
            let finite: Vec<(f64, f64)> = curve.points.iter().copied().filter(|p| p.1.is_finite()).collect();
            let style = colour.stroke_width(2);
            chart
                .draw_series(LineSeries::new(finite.iter().copied(), style))?
                .label(&curve.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 22, y)], style));
            if finite.len() <= 40 {
                chart.draw_series(finite.iter().map(|&p| Circle::new(p, 3, colour.filled())))?;
            }
        }
        chart
            .configure_series_labels()
            .position(if y_range.is_some() { SeriesLabelPosition::LowerRight } else { SeriesLabelPosition::UpperRight })
            .margin(14)
            .legend_area_size(30)
            .background_style(WHITE.mix(0.85))
            .border_style(FAINT)
            .label_font(text(14))
            .draw()?;
        Ok(())
    })
}

/// A confusion matrix, rows the true classes, columns the predictions, shaded by the share of the row.
///
/// # Errors
/// [`Error::Plot`].
pub fn confusion(title: &str, classes: &[String], matrix: &[Vec<u64>]) -> Result<Picture> {
    let n = classes.len().max(1);
    let cell = (520 / n).clamp(16, 52);
    let widest = classes.iter().map(|c| c.chars().count()).max().unwrap_or(1);
    let label = (widest * 7 + 16).clamp(34, 130);
    let (grid, font) = (cell * n, (cell / 3).clamp(9, 14));
    let size = ((label + grid + 60) as u32, (grid + label + 92) as u32);
    draw(size, "a confusion matrix", |area| {
        let (left, top) = ((label + 34) as i32, 50);
        let at = |column: usize, row: usize| (left + (column * cell) as i32, top + (row * cell) as i32);
        let anchored = |size: usize, h, v| text(size).pos(plotters::style::text_anchor::Pos::new(h, v));
        use plotters::style::text_anchor::{HPos, VPos};
        area.draw(&Text::new(title.to_string(), (left, 14), text(19)))?;
        for (row, counts) in matrix.iter().enumerate() {
            let total = counts.iter().sum::<u64>().max(1) as f64;
            for (column, &count) in counts.iter().enumerate() {
                let share = count as f64 / total;
                let (x, y) = at(column, row);
                let corners = [(x, y), (x + cell as i32 - 1, y + cell as i32 - 1)];
                area.draw(&Rectangle::new(corners, FAINT.mix(0.6).filled()))?;
                let colour = if row == column { SERIES[0] } else { SERIES[1] };
                area.draw(&Rectangle::new(corners, colour.mix(share.sqrt()).filled()))?;
                if count > 0 && cell >= 22 {
                    let ink = if share > 0.4 { WHITE } else { INK };
                    let middle = (x + cell as i32 / 2, y + cell as i32 / 2);
                    let style = anchored(font, HPos::Center, VPos::Center).color(&ink);
                    area.draw(&Text::new(count.to_string(), middle, style))?;
                }
            }
        }
        for (i, name) in classes.iter().enumerate() {
            let half = cell as i32 / 2;
            let (x, y) = (at(0, i).0 - 8, at(0, i).1 + half);
            area.draw(&Text::new(name.clone(), (x, y), anchored(font, HPos::Right, VPos::Center)))?;
            let (x, y) = (at(i, n).0 + half, at(i, n).1 + 8);
            let style = anchored(font, HPos::Right, VPos::Center).transform(FontTransform::Rotate270);
            area.draw(&Text::new(name.clone(), (x, y), style))?;
        }
        let middle = grid as i32 / 2;
        let below = anchored(14, HPos::Center, VPos::Bottom);
        area.draw(&Text::new("predicted", (left + middle, size.1 as i32 - 8), below))?;
        let beside = anchored(14, HPos::Center, VPos::Top).transform(FontTransform::Rotate270);
        area.draw(&Text::new("true", (8, top + middle), beside))?;
        Ok(())
    })
}

type Drawing<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type DrawResult = std::result::Result<(), Box<dyn std::error::Error>>;

fn draw(size: (u32, u32), what: &str, body: impl FnOnce(&Drawing<'_>) -> DrawResult) -> Result<Picture> {
    static FONT_REGISTERED: Once = Once::new();
    // Only a font that is no font is refused.
    FONT_REGISTERED.call_once(|| drop(register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)));
    let mut svg = String::new();
    let drawn = (|| {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&WHITE)?;
        body(&area)?;
        area.present()?;
        Ok(())
    })();
    drawn.map_err(|e: Box<dyn std::error::Error>| Error::Plot { what: what.into(), reason: e.to_string() })?;
    Ok(Picture { svg })
}

fn text(size: usize) -> TextStyle<'static> {
    (FONT, size as i32).into_font().color(&INK)
}
