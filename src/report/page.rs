//! A page of small plots, two per row: bars, histograms and heat maps.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::error::Result;
use crate::picture::{DrawResult, Drawing, FAINT, INK, Picture, SERIES, draw, label, text};

const PANEL: (u32, u32) = (480, 300);
/// Maximum number of squares in a row of a heat map. On a wider sensor, a square shows the mean of several pixels.
const HEAT_COLUMNS: usize = 128;
/// Maximum number of bars that have names on the axis.
const NAMED_BARS: usize = 40;
/// Maximum number of characters of a bar's name. Longer names are cut.
const MOST_LETTERS: usize = 14;

/// One plot of a page.
#[derive(Clone, Debug)]
pub struct Panel {
    /// Text above the plot.
    pub title: String,
    /// Type of the plot, with its data.
    pub kind: PanelKind,
}

/// Type of a plot, with its data.
#[derive(Clone, Debug)]
pub enum PanelKind {
    /// Bar chart. Each item is the name and the height of a bar.
    Bars(Vec<(String, f64)>),
    /// Histogram: (lower bound, upper bound, height) of each bin in ascending order, and the label of the horizontal
    /// axis.
    Histogram(Vec<(f64, f64, f64)>, String),
    /// Heat map of a sensor.
    Heat {
        /// Number of pixels in a row of the sensor.
        width: usize,
        /// Value of each pixel of the sensor, row by row from the top.
        values: Vec<f64>,
        /// Unit of the values.
        unit: String,
    },
}

/// Draws a title and the plots below it, two in each row.
///
/// # Errors
/// [`Error::Plot`](crate::Error::Plot).
pub fn page(title: &str, panels: &[Panel]) -> Result<Picture> {
    let rows = panels.len().div_ceil(2) as u32;
    draw((PANEL.0 * 2, PANEL.1 * rows + 44), "a page of plots", |area| {
        area.draw(&Text::new(label(title, 100), (14, 14), text(20)))?;
        for (i, panel) in panels.iter().enumerate() {
            let (column, row) = (i as u32 % 2, i as u32 / 2);
            let corner = ((column * PANEL.0) as i32, (row * PANEL.1) as i32 + 44);
            let place = area.clone().shrink(corner, PANEL);
            place.draw(&Text::new(label(&panel.title, 64), (14, 6), text(15)))?;
            let inside = place.margin(28, 8, 10, 14);
            match &panel.kind {
                PanelKind::Bars(bars) => draw_bars(&inside, bars)?,
                PanelKind::Histogram(bins, axis) => draw_histogram(&inside, bins, axis)?,
                PanelKind::Heat { width, values, unit } => draw_heat(&inside, *width, values, unit)?,
            }
        }
        Ok(())
    })
}

fn draw_bars(area: &Drawing<'_>, bars: &[(String, f64)]) -> DrawResult {
    let named = bars.len() <= NAMED_BARS;
    let names: Vec<String> = bars.iter().map(|(name, _)| label(name, MOST_LETTERS)).collect();
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let room = if named { (longest * 7 + 8).clamp(20, 90) } else { 36 };
    let n = bars.len().max(1) as f64;
    let highest = bars.iter().map(|bar| bar.1).fold(0.0, f64::max).max(1.0);
    let mut chart = ChartBuilder::on(area)
        .x_label_area_size(room as u32)
        .y_label_area_size(52)
        .build_cartesian_2d(0.0..n, 0.0..highest * 1.06)?;
    let mut mesh = chart.configure_mesh();
    mesh.disable_x_mesh().light_line_style(TRANSPARENT).bold_line_style(FAINT).axis_style(INK.mix(0.4));
    mesh.label_style(text(12)).axis_desc_style(text(13)).y_labels(5).y_label_formatter(&number);
    if named {
        mesh.x_labels(0);
    } else {
        mesh.x_labels(8).x_desc("class").x_label_formatter(&|v| format!("{v:.0}"));
    }
    mesh.draw()?;
    chart.draw_series(bars.iter().enumerate().map(|(i, (_, height))| {
        let x = i as f64;
        Rectangle::new([(x + 0.1, 0.0), (x + 0.9, *height)], SERIES[0].mix(0.8).filled())
    }))?;
    if named {
        let size = (420 / bars.len().max(1)).clamp(8, 12);
        let style = text(size).pos(Pos::new(HPos::Right, VPos::Center)).transform(FontTransform::Rotate270);
        let (left, top) = area.get_base_pixel();
        for (i, name) in names.into_iter().enumerate() {
            let (x, y) = chart.backend_coord(&(i as f64 + 0.5, 0.0));
            area.draw(&Text::new(name, (x - left, y - top + 7), style.clone()))?;
        }
    }
    Ok(())
}

fn draw_histogram(area: &Drawing<'_>, bins: &[(f64, f64, f64)], axis: &str) -> DrawResult {
    let from = bins.first().map_or(0.0, |bin| bin.0);
    let to = bins.last().map_or(1.0, |bin| bin.1);
    let highest = bins.iter().map(|bin| bin.2).fold(0.0, f64::max);
    let highest = if highest > 0.0 { highest } else { 1.0 };
    // In a narrow range far from 0, rounding to thousands would give all axis labels the same text.
    let narrow = to - from < 0.05 * to;
    let place = |value: &f64| match value {
        v if to - from < 7.0 && v.fract() != 0.0 => String::new(),
        v if narrow => format!("{v:.0}"),
        v => number(v),
    };
    let mut chart = ChartBuilder::on(area)
        .x_label_area_size(40)
        .y_label_area_size(52)
        .build_cartesian_2d(from..to.max(from + 1e-9), 0.0..highest * 1.06)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(FAINT)
        .axis_style(INK.mix(0.4))
        .label_style(text(12))
        .axis_desc_style(text(13))
        .x_labels(7)
        .y_labels(5)
        .x_desc(label(axis, 64))
        .x_label_formatter(&place)
        .y_label_formatter(&number)
        .draw()?;
    let gap = if bins.len() <= 60 { (to - from) / bins.len().max(1) as f64 * 0.04 } else { 0.0 };
    chart.draw_series(bins.iter().map(|&(from, to, height)| {
        Rectangle::new([(from + gap, 0.0), (to - gap, height)], SERIES[0].mix(0.8).filled())
    }))?;
    Ok(())
}

fn draw_heat(area: &Drawing<'_>, width: usize, values: &[f64], unit: &str) -> DrawResult {
    let (width, height) = (width.max(1), values.len() / width.max(1));
    let block = width.div_ceil(HEAT_COLUMNS);
    let (columns, rows) = (width.div_ceil(block), height.div_ceil(block).max(1));
    let mut sums = vec![(0.0, 0_u32); columns * rows];
    for (i, value) in values.iter().enumerate() {
        let sum = &mut sums[i / width / block * columns + i % width / block];
        *sum = (sum.0 + value, sum.1 + 1);
    }
    let means: Vec<f64> = sums.iter().map(|(sum, n)| sum / f64::from((*n).max(1))).collect();
    let most = means.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let (room_x, room_y) = area.dim_in_pixel();
    let side = (f64::from(room_x) - 20.0) / columns as f64;
    let side = side.min((f64::from(room_y) - 34.0) / rows as f64);
    let left = ((f64::from(room_x) - side * columns as f64) / 2.0) as i32;
    let at = |column: usize, row: usize| (left + (column as f64 * side) as i32, 4 + (row as f64 * side) as i32);
    let (low, high) = (at(0, 0), at(columns, rows));
    area.draw(&Rectangle::new([low, high], FAINT.mix(0.4).filled()))?;
    for (i, mean) in means.iter().enumerate().filter(|(_, mean)| **mean > 0.0) {
        let (column, row) = (i % columns, i / columns);
        // The square root keeps quiet pixels visible next to the busiest.
        let colour = SERIES[0].mix((mean / most).sqrt());
        area.draw(&Rectangle::new([at(column, row), at(column + 1, row + 1)], colour.filled()))?;
    }
    area.draw(&Rectangle::new([low, high], INK.mix(0.4).stroke_width(1)))?;
    let averaged = if block > 1 { format!(", means of {block} x {block}") } else { String::new() };
    let words = format!("{width} x {height} pixels{averaged}; darkest: {} {unit}", number(&most));
    let style = text(13).pos(Pos::new(HPos::Center, VPos::Top));
    area.draw(&Text::new(words, (room_x as i32 / 2, high.1 + 8), style))?;
    Ok(())
}

/// Text for a number on an axis: "2.5", "15k", "1.25M".
#[allow(clippy::trivially_copy_pass_by_ref)] // plotters passes a reference
pub(crate) fn number(value: &f64) -> String {
    let magnitude = value.abs();
    if magnitude >= 1e6 {
        format!("{}M", trimmed(value / 1e6, 2))
    } else if magnitude >= 1e4 {
        format!("{}k", trimmed(value / 1e3, 1))
    } else if magnitude >= 10.0 {
        trimmed(*value, 1)
    } else {
        trimmed(*value, 4)
    }
}

fn trimmed(value: f64, places: usize) -> String {
    let text = format!("{value:.places$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text }
}
