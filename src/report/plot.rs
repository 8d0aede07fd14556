//! Plots: curves over epochs, confusion matrices.

use plotters::chart::MeshStyle;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::error::Result;
use crate::picture::{DrawResult, Drawing, FAINT, GROUPS, INK, Picture, SERIES, draw, label, text};
use crate::sheet::Sheet;

/// One curve of a chart. Points whose value is NaN or infinite are not drawn.
#[derive(Clone, Debug)]
pub struct Curve {
    /// Name in the legend.
    pub name: String,
    /// Points of the curve, each as (epoch, value).
    pub points: Vec<(f64, f64)>,
}

/// Draws curves over epochs. The vertical axis covers `y_range`; by default, 0 to just above the largest value.
///
/// # Errors
/// [`Error::Plot`](crate::Error::Plot).
pub fn curves(title: &str, y_name: &str, y_range: Option<(f64, f64)>, curves: &[Curve]) -> Result<Picture> {
    let points = || curves.iter().flat_map(|c| &c.points).filter(|p| p.1.is_finite());
    let last = points().map(|p| p.0).fold(1.0, f64::max);
    let (low, high) = y_range.unwrap_or_else(|| {
        let high = points().map(|p| p.1).fold(0.0, f64::max);
        (0.0, if high > 0.0 { high * 1.06 } else { 1.0 })
    });
    draw((760, 420), "curves", |area| {
        let mut chart = ChartBuilder::on(area)
            .caption(label(title, 76), text(19))
            .margin(14)
            .x_label_area_size(42)
            .y_label_area_size(58)
            .build_cartesian_2d(0.0..last * 1.02, low..high)?;
        over_epochs(&mut chart.configure_mesh(), y_name, last).draw()?;
        for (curve, colour) in curves.iter().zip(SERIES.iter().cycle()) {
            let finite: Vec<(f64, f64)> = curve.points.iter().copied().filter(|p| p.1.is_finite()).collect();
            let style = colour.stroke_width(2);
            chart
                .draw_series(LineSeries::new(finite.iter().copied(), style))?
                .label(label(&curve.name, 32))
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

/// Draws curves of shares from 0 to 1 over time. `x_name` is the label of the time axis.
pub(crate) fn draw_shares(
    area: &Drawing<'_>,
    y_name: &str,
    x_name: &str,
    curves: &[Curve],
    legend: bool,
) -> DrawResult {
    let last = curves.iter().flat_map(|curve| &curve.points).map(|point| point.0).fold(f64::MIN_POSITIVE, f64::max);
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(42)
        .y_label_area_size(58)
        .build_cartesian_2d(0.0..last, 0.0..1.02)?;
    let mut mesh = chart.configure_mesh();
    over_epochs(&mut mesh, y_name, last).x_desc(x_name).x_labels(9).y_labels(6).y_label_formatter(&tenths);
    mesh.draw()?;
    for (curve, colour) in curves.iter().zip(GROUPS.iter().cycle()) {
        let style = colour.stroke_width(2);
        let series = chart.draw_series(LineSeries::new(curve.points.iter().copied(), style))?;
        series.label(label(&curve.name, 32)).legend(move |(x, y)| PathElement::new([(x, y), (x + 22, y)], style));
    }
    if legend {
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .margin(8)
            .legend_area_size(30)
            .background_style(WHITE.mix(0.85))
            .border_style(FAINT)
            .label_font(text(13))
            .draw()?;
    }
    Ok(())
}

#[allow(clippy::trivially_copy_pass_by_ref)] // plotters passes a reference
fn tenths(value: &f64) -> String {
    format!("{value:.1}")
}

/// Style of the grid and the axes of a chart over epochs.
type EpochMesh<'a, 'b, 'c> = MeshStyle<'a, 'b, RangedCoordf64, RangedCoordf64, Sheet<'c>>;

/// Sets the style of a chart over epochs. `last` is the number of the last epoch.
pub(crate) fn over_epochs<'m, 'a, 'b, 'c>(
    mesh: &'m mut EpochMesh<'a, 'b, 'c>,
    y_name: &str,
    last: f64,
) -> &'m mut EpochMesh<'a, 'b, 'c> {
    mesh.light_line_style(TRANSPARENT)
        .bold_line_style(FAINT)
        .axis_style(INK.mix(0.4))
        .label_style(text(13))
        .axis_desc_style(text(14))
        .x_desc("epoch")
        .y_desc(label(y_name, 48))
        .x_labels((last as usize).clamp(2, 12))
        .x_label_formatter(&whole)
}

#[allow(clippy::trivially_copy_pass_by_ref)] // plotters passes a reference
fn whole(value: &f64) -> String {
    format!("{value:.0}")
}

/// Maximum number of characters of a class name in a confusion matrix.
const MOST_LETTERS: usize = 22;

/// Draws a confusion matrix. `matrix[t][p]` is the number of samples of class `t` that were predicted as class `p`.
/// The darkness of a square shows its share of the samples of class `t`.
///
/// # Errors
/// [`Error::Plot`](crate::Error::Plot).
pub fn confusion(title: &str, classes: &[String], matrix: &[Vec<u64>]) -> Result<Picture> {
    let n = classes.len().max(1);
    let cell = (520 / n).clamp(16, 52);
    let names: Vec<String> = classes.iter().map(|name| label(name, MOST_LETTERS)).collect();
    let widest = names.iter().map(|name| name.chars().count()).max().unwrap_or(1);
    let margin = (widest * 7 + 16).clamp(34, 130);
    let (grid, font) = (cell * n, (cell / 3).clamp(9, 14));
    let size = ((margin + grid + 60) as u32, (grid + margin + 92) as u32);
    draw(size, "a confusion matrix", |area| {
        let (left, top) = ((margin + 34) as i32, 50);
        let at = |column: usize, row: usize| (left + (column * cell) as i32, top + (row * cell) as i32);
        let anchored = |size: usize, h, v| text(size).pos(Pos::new(h, v));
        area.draw(&Text::new(label(title, 90), (left, 14), text(19)))?;
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
        for (i, name) in names.iter().enumerate() {
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
