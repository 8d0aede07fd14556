//! Horizontal bar charts: one row per item, one column with its own logarithmic axis per measured quantity.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::error::Result;
use crate::picture::{FAINT, INK, Picture, SERIES, draw, label, text};

/// Width in pixels of a column of bars, with the space for a number to the right of the bars.
const COLUMN: i32 = 236;
/// Width in pixels of the space for a number to the right of the bars.
const FIGURE: i32 = 62;
const GAP: i32 = 22;
const ROW: i32 = 30;
const BAR: i32 = 20;
const MARGIN: i32 = 18;
const TOP: i32 = 92;
/// Maximum number of characters of a row's name. Longer names are cut.
const MOST_LETTERS: usize = 48;

/// Heading of a column of bars.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BarColumn {
    /// Name of the quantity in the column, with its unit.
    pub name: &'static str,
    /// Text below the name, in smaller letters, such as "less is better".
    pub hint: &'static str,
}

/// A group of rows of the chart, with one title and one colour.
#[derive(Clone, Debug)]
pub(crate) struct BarGroup {
    pub title: String,
    pub rows: Vec<BarRow>,
}

/// A row of the chart: the name and the values of an item.
#[derive(Clone, Debug)]
pub(crate) struct BarRow {
    /// Text to the left of the bars.
    pub name: String,
    /// Value for each column, greater than 0. `None` draws no bar.
    pub values: Vec<Option<f64>>,
    /// Text instead of the bars of this row, such as why there are no values.
    pub note: Option<String>,
}

pub(crate) fn bars(title: &str, columns: &[BarColumn], groups: &[BarGroup]) -> Result<Picture> {
    let rows = || groups.iter().flat_map(|group| &group.rows);
    let name = |row: &BarRow| label(&row.name, MOST_LETTERS);
    let widest = rows().map(|row| name(row).chars().count()).max().unwrap_or(0) as i32;
    let left = MARGIN + (widest * 8 + 16).clamp(120, 330);
    let bottom = TOP + groups.iter().map(|group| ROW * (group.rows.len() as i32 + 1) + 8).sum::<i32>();
    let size = (left + (COLUMN + GAP) * columns.len() as i32, bottom + 40);
    let faint = INK.mix(0.65);
    let anchored = |points: usize, h, v| text(points).pos(Pos::new(h, v));
    draw((size.0 as u32, size.1 as u32), "bars", |area| {
        area.draw(&Text::new(label(title, size.0 as usize / 9), (MARGIN, 14), text(20)))?;
        for (i, column) in columns.iter().enumerate() {
            let axis = Axis::new(left + (COLUMN + GAP) * i as i32, rows().filter_map(|row| *row.values.get(i)?));
            area.draw(&Text::new(column.name, (axis.left, TOP - 40), text(16)))?;
            area.draw(&Text::new(column.hint, (axis.left, TOP - 20), text(12).color(&faint)))?;
            for decade in axis.decades() {
                let x = axis.at(10_f64.powi(decade));
                let style = anchored(13, HPos::Center, VPos::Top);
                area.draw(&Text::new(power(decade), (x, bottom + 6), style))?;
            }
            let mut top = TOP;
            for (group, colour) in groups.iter().zip(SERIES.iter().cycle()) {
                top += ROW;
                let end = top + ROW * group.rows.len() as i32;
                for x in axis.decades().map(|decade| axis.at(10_f64.powi(decade))) {
                    area.draw(&PathElement::new([(x, top), (x, end)], FAINT.stroke_width(1)))?;
                }
                for row in &group.rows {
                    let middle = top + ROW / 2;
                    if let Some(value) = row.values.get(i).copied().flatten().filter(|_| row.note.is_none()) {
                        let end = axis.at(value);
                        let corners = [(axis.left, middle - BAR / 2), (end, middle + BAR / 2)];
                        area.draw(&Rectangle::new(corners, colour.mix(0.85).filled()))?;
                        let style = anchored(15, HPos::Left, VPos::Center);
                        area.draw(&Text::new(figures(value), (end + 6, middle), style))?;
                    }
                    top += ROW;
                }
                top += 8;
            }
        }
        let mut top = TOP;
        for group in groups {
            let style = anchored(15, HPos::Left, VPos::Center);
            area.draw(&Text::new(group.title.clone(), (MARGIN, top + ROW / 2), style))?;
            top += ROW;
            for row in &group.rows {
                let middle = top + ROW / 2;
                let style = anchored(15, HPos::Right, VPos::Center);
                area.draw(&Text::new(name(row), (left - 10, middle), style))?;
                if let Some(note) = &row.note {
                    let style = anchored(14, HPos::Left, VPos::Center).color(&faint);
                    let room = ((size.0 - left) / 7) as usize;
                    area.draw(&Text::new(label(note, room), (left, middle), style))?;
                }
                top += ROW;
            }
            top += 8;
        }
        Ok(())
    })
}

/// Horizontal, logarithmic axis of a column of bars.
struct Axis {
    left: i32,
    /// Base-10 logarithm of the value at the left end of the axis.
    from: f64,
    /// Base-10 logarithm of the value at the right end of the axis.
    to: f64,
}

impl Axis {
    fn new(left: i32, values: impl Iterator<Item = f64>) -> Axis {
        let (low, high) = values.fold((f64::INFINITY, 0.0_f64), |(low, high), v| (low.min(v), high.max(v)));
        if low > high {
            return Axis { left, from: 0.0, to: 1.0 };
        }
        // The axis begins at least a third of a decade below the smallest value. Otherwise, the bar of this value could
        // be invisible.
        let from = (low.log10() - 0.33).floor();
        Axis { left, from, to: high.log10().max(from + 1.0) }
    }

    fn at(&self, value: f64) -> i32 {
        let share = (value.log10() - self.from) / (self.to - self.from);
        self.left + (share * f64::from(COLUMN - FIGURE)) as i32
    }

    /// Exponents of the powers of 10 that get a grid line, at most six.
    fn decades(&self) -> impl Iterator<Item = i32> {
        let every = ((self.to - self.from) / 5.0).ceil().max(1.0) as usize;
        (self.from as i32..=self.to.floor() as i32).step_by(every)
    }
}

/// Text for 10^`decade`: "0.1", "100", "10k", "1M", "1e9".
pub(crate) fn power(decade: i32) -> String {
    match decade {
        -3..=2 => format!("{}", 10_f64.powi(decade)),
        3..=5 => format!("{}k", 10_i32.pow(decade as u32 - 3)),
        6..=8 => format!("{}M", 10_i32.pow(decade as u32 - 6)),
        _ => format!("1e{decade}"),
    }
}

/// Formats a number with commas between thousands: 0.123, 4.56, 78.9, 12,345. Numbers below 1 get three decimal places,
/// larger numbers at least three significant digits.
pub fn figures(value: f64) -> String {
    let places = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.places$}");
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let mut grouped = String::new();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    rest.map_or(grouped.clone(), |rest| format!("{grouped}.{rest}"))
}
