//! Draws curves of many runs over epochs, in several plots with one legend. Each group of runs has one colour.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::bars::{figures, power};
use crate::error::Result;
use crate::page::number;
use crate::picture::{DrawResult, Drawing, GROUPS, Picture, draw, label, text};
use crate::plot::over_epochs;

/// Width and height of a plot in pixels.
const PANEL: (u32, u32) = (560, 400);
const TOP: u32 = 44;
const LEGEND_ROW: u32 = 24;
/// Maximum number of characters of a group's name in the legend. Longer names are cut.
const MOST_LETTERS: usize = 96;
/// With [`Scale::Auto`], the axis is logarithmic if the largest value is more than `FAR` times the smallest value.
const FAR: f64 = 30.0;
/// Smallest value on a logarithmic axis. Smaller values are drawn as this value.
const SMALLEST: f64 = 1e-6;

/// Points (epoch, value) of a curve.
type Points = Vec<(f64, f64)>;

/// Curves that are drawn in the same colour, such as the curves of runs that differ only in the seed.
#[derive(Clone, Debug)]
pub struct CurveGroup {
    /// Name in the legend.
    pub name: String,
    /// For each plot, the curves of this group as points (epoch, value). Points whose value is NaN or infinite are not
    /// drawn.
    pub panels: Vec<Vec<Vec<(f64, f64)>>>,
}

/// Scale of a vertical axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Linear, for shares from 0 to 1.
    Share,
    /// Logarithmic if the largest value is more than 30 times the smallest value, else linear.
    Auto,
}

/// Draws several plots, two in each row. `y_axes` has the label and the scale of each plot's vertical axis. The first
/// seven groups have a colour each; others are grey. If a group has several curves in a plot, their mean is a thick
/// line.
///
/// # Errors
/// [`Error::Plot`](crate::Error::Plot).
pub fn curve_groups(title: &str, y_axes: &[(&str, Scale)], groups: &[CurveGroup]) -> Result<Picture> {
    let mut legend: Vec<(String, RGBColor)> =
        groups.iter().zip(GROUPS).map(|(group, colour)| (group.name.clone(), colour)).collect();
    if groups.len() > GROUPS.len() {
        legend.push((format!("{} other groups", groups.len() - GROUPS.len()), OTHERS));
    }
    let rows = legend.len().div_ceil(2);
    let below = TOP + PANEL.1 * y_axes.len().div_ceil(2) as u32;
    let size = (PANEL.0 * 2, below + LEGEND_ROW * rows as u32 + 16);
    draw(size, "curves of groups", |area| {
        area.draw(&Text::new(label(title, 110), (14, 14), text(20)))?;
        for (i, &y_axis) in y_axes.iter().enumerate() {
            let (column, row) = (i as u32 % 2, i as u32 / 2);
            let place = area.clone().shrink(((PANEL.0 * column) as i32, (TOP + PANEL.1 * row) as i32), PANEL);
            panel(&place, y_axis, &groups.iter().map(|group| group.panels[i].as_slice()).collect::<Vec<_>>())?;
        }
        for (i, (name, colour)) in legend.iter().enumerate() {
            let x = 24 + (PANEL.0 as usize * (i / rows)) as i32;
            let y = (below + LEGEND_ROW * (i % rows) as u32 + LEGEND_ROW / 2) as i32;
            area.draw(&PathElement::new([(x, y), (x + 26, y)], colour.stroke_width(3)))?;
            let style = text(15).pos(Pos::new(HPos::Left, VPos::Center));
            area.draw(&Text::new(label(name, MOST_LETTERS), (x + 36, y), style))?;
        }
        Ok(())
    })
}

/// Colour of all groups after the first seven.
const OTHERS: RGBColor = RGBColor(176, 182, 190);

/// Draws one plot with the curves of each group.
pub(crate) fn panel(area: &Drawing<'_>, (y_name, scale): (&str, Scale), groups: &[&[Points]]) -> DrawResult {
    let finite = |points: &Points| -> Points { points.iter().copied().filter(|p| p.1.is_finite()).collect() };
    let groups: Vec<Vec<Points>> = groups.iter().map(|curves| curves.iter().map(finite).collect()).collect();
    let points = || groups.iter().flatten().flatten();
    let (first, last) = points().fold((f64::MAX, 1.0_f64), |(a, b), p| (a.min(p.0), b.max(p.0)));
    let (lowest, highest) = points().fold((f64::MAX, f64::MIN), |(a, b), p| (a.min(p.1), b.max(p.1)));
    // A logarithmic axis shows both a curve that diverged and curves that are near 0.
    let is_log = scale == Scale::Auto && highest > FAR * lowest.max(SMALLEST);
    let place = |value: f64| if is_log { value.max(SMALLEST).log10() } else { value };
    let (low, high) = (place(lowest), place(highest));
    let margin = ((high - low) * 0.05).max(0.01);
    let low = if is_log { low - margin } else { (low - margin).max(0.0) };
    let high = if scale == Scale::Share { (high + margin).min(1.01) } else { high + margin };
    let mut chart = ChartBuilder::on(area)
        .margin(14)
        .x_label_area_size(42)
        .y_label_area_size(62)
        .build_cartesian_2d(first.min(last - 1.0).max(0.0)..last + (last - first).max(1.0) * 0.02, low..high)?;
    let y_name = if is_log { format!("{y_name} (logarithmic)") } else { y_name.into() };
    let mut mesh = chart.configure_mesh();
    over_epochs(&mut mesh, &y_name, last);
    if is_log {
        mesh.y_label_formatter(&power_label);
    } else {
        mesh.y_label_formatter(&number);
    }
    mesh.draw()?;
    let inside = |points: &Points| -> Points { points.iter().map(|&(x, y)| (x, place(y))).collect() };
    // The first groups are drawn last, on top of the others.
    for (i, curves) in groups.iter().enumerate().rev() {
        let colour = GROUPS.get(i).copied().unwrap_or(OTHERS);
        let many = curves.len() > 1;
        let thin = if many { colour.mix(0.45).stroke_width(1) } else { colour.stroke_width(2) };
        for curve in curves {
            chart.draw_series(LineSeries::new(inside(curve), thin))?;
        }
        let mean = if many { mean(curves) } else { curves.first().cloned().unwrap_or_default() };
        if many {
            chart.draw_series(LineSeries::new(inside(&mean), colour.stroke_width(3)))?;
        }
        if mean.len() <= 12 {
            chart.draw_series(inside(&mean).into_iter().map(|p| Circle::new(p, 3, colour.filled())))?;
        }
    }
    Ok(())
}

/// Label for the value 10^`exponent` on a logarithmic axis.
#[allow(clippy::trivially_copy_pass_by_ref)] // plotters passes a reference
fn power_label(exponent: &f64) -> String {
    match 10_f64.powf(*exponent) {
        _ if (exponent - exponent.round()).abs() < 1e-9 => power(exponent.round() as i32),
        value if value < 0.001 => format!("{value:.1e}"),
        value => figures(value),
    }
}

/// Returns the mean of the curves, at each epoch at which every curve has a point.
fn mean(curves: &[Points]) -> Points {
    let at = |x: f64| curves.iter().map(|curve| curve.iter().find(|p| p.0 == x).map(|p| p.1)).sum::<Option<f64>>();
    curves[0].iter().filter_map(|&(x, _)| Some((x, at(x)? / curves.len() as f64))).collect()
}

#[cfg(test)]
mod tests {
    use super::{mean, power_label};

    #[test]
    fn a_logarithmic_axis_has_short_labels() {
        for (exponent, label) in
            [(0.0, "1"), (-1.0, "0.1"), (2.5, "316"), (-0.5, "0.316"), (-3.5, "3.2e-4"), (-4.0, "1e-4")]
        {
            assert_eq!(power_label(&exponent), label);
        }
    }

    #[test]
    fn a_mean_ends_with_the_shortest_curve() {
        let curves = [vec![(1.0, 2.0), (2.0, 4.0), (3.0, 9.0)], vec![(1.0, 4.0), (2.0, 5.0)]];
        assert_eq!(mean(&curves), [(1.0, 3.0), (2.0, 4.5)]);
    }
}
