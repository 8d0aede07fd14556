//! Checks the columns, coordinates and polarities of an open recording before its events are used.

use std::path::Path;

use crate::error::{Error, Result};
use crate::events::SensorSize;
use crate::remedy::Remedy;
use crate::source::columns::{Numbers, Role, TakenColumns, UnusableField, map_line};
use crate::source::commands::{On, mended};
use crate::source::fields::Polarities;
use crate::source::layout::Layout;
use crate::source::options::SourceOptions;
use crate::source::recording::Recording;
use crate::source::stream::EventStream;

/// Number of events whose coordinates are checked first. If the result is unclear, more events are checked.
const FIRST: u64 = 1 << 16;

/// Number of events whose polarities are checked first. Most recordings have an ON event among them.
const HEAD: u64 = 1 << 10;

/// Maximum number of fields that an error suggests for one column.
const MOST_OFFERED: usize = 3;

/// Checks that a recording has the columns that its sensor needs, and that its coordinates and polarities are usable.
/// Returns notes for the user.
pub(super) fn check(stream: &EventStream, options: &SourceOptions) -> Result<Vec<String>> {
    let sensor = options.sensor.or(stream.sensor);
    check_sensor(&stream.path, stream.layout, &stream.taken, sensor)?;
    let mut notes: Vec<String> = check_polarities(stream, sensor)?.into_iter().collect();
    for role in [Role::X, Role::Y] {
        let Some(taken) = &stream.taken.fields[role as usize] else { continue };
        let mut pixels = Pixels::new(role, sensor);
        let ranges = std::iter::once(0..FIRST.min(stream.len)).chain(stream.strides());
        for range in ranges {
            let Some(coordinates) = stream.float_coordinates(role, range)? else { break };
            pixels.add(&coordinates);
            if pixels.are_settled() {
                break;
            }
        }
        notes.extend(pixels.judge(&stream.path, &taken.field)?);
    }
    notes.extend(stream.taken.left_over_note());
    Ok(notes)
}

/// Checks the polarities of a recording whose events are not in memory. Returns a note for the user. Ignores errors of
/// reading, which occur again when the events are read.
fn check_polarities(stream: &EventStream, sensor: Option<SensorSize>) -> Result<Option<String>> {
    let Some(taken) = &stream.taken.fields[Role::P as usize] else { return Ok(None) };
    let mut polarities = Polarities::default();
    let heads = [HEAD, FIRST].map(|events| 0..events.min(stream.len));
    // After these two ranges, more events are read only while the polarities are doubtful. A 1 among the later events
    // settles them.
    for (i, range) in heads.into_iter().chain(stream.strides()).enumerate() {
        if polarities.are_settled() || (i >= 2 && !polarities.are_doubtful()) {
            break;
        }
        let Ok(Some(numbers)) = stream.stored(Role::P, range) else { return Ok(None) };
        polarities.add(&numbers);
    }
    polarities.judge(&stream.path, stream.layout, &stream.taken, sensor)?;
    Ok(polarities.note(&taken.field))
}

/// Checks the coordinates and polarities of events in memory. `taken` says which fields the columns come from. Returns
/// notes for the user.
pub(super) fn check_columns(
    path: &Path,
    layout: Layout,
    columns: &[Option<Numbers>; 4],
    taken: &TakenColumns,
    sensor: Option<SensorSize>,
) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    for role in [Role::X, Role::Y] {
        let i = role as usize;
        if let (Some(Numbers::F64(coordinates)), Some(taken)) = (&columns[i], &taken.fields[i]) {
            let mut pixels = Pixels::new(role, sensor);
            pixels.add(coordinates);
            notes.extend(pixels.judge(path, &taken.field)?);
        }
    }
    if let Some(numbers) = &columns[Role::P as usize] {
        let mut polarities = Polarities::default();
        polarities.add(numbers);
        polarities.judge(path, layout, taken, sensor)?;
        notes.extend(taken.fields[Role::P as usize].as_ref().and_then(|p| polarities.note(&p.field)));
    }
    Ok(notes)
}

/// Checks that a recording has the columns that `sensor` needs. Without a sensor, checks nothing.
pub(super) fn check_sensor(
    path: &Path,
    layout: Layout,
    taken: &TakenColumns,
    sensor: Option<SensorSize>,
) -> Result<()> {
    let Some(sensor) = sensor else { return Ok(()) };
    let lacks_y = sensor.height > 1 && !taken.has(Role::Y);
    let lacks_p = sensor.polarities > 1 && !taken.has(Role::P);
    let expected = match (lacks_y, lacks_p) {
        (false, false) => return Ok(()),
        (true, true) => "rows (y) and polarities (p)",
        (true, false) => "rows (y)",
        (false, true) => "polarities (p)",
    };
    let expected = format!("{expected} for a sensor of {sensor}");
    Err(lacking(path, layout, taken, expected, sensor))
}

/// Returns the error for a recording of unknown sensor size that lacks y or p. `None` if no other field of the file
/// could be the missing column. `size` is the smallest width and height that contain all events.
pub(crate) fn check_unknown_sensor(recording: &Recording, size: (u32, u32)) -> Option<Error> {
    let Recording { path, layout, columns: taken, .. } = recording;
    let expected = match (taken.has(Role::Y), taken.has(Role::P)) {
        (true, true) => return None,
        (false, false) => "rows (y) and polarities (p)",
        (false, true) => "rows (y)",
        (true, false) => "polarities (p)",
    };
    // If y is missing, a height above 1 makes the error say so.
    let height = if taken.has(Role::Y) { size.1 } else { 2 };
    let sensor = SensorSize { width: size.0, height, polarities: 2 };
    taken.has_more().then(|| lacking(path, *layout, taken, expected.into(), sensor))
}

/// Returns the error for a recording without the columns that `sensor` needs.
fn lacking(path: &Path, layout: Layout, taken: &TakenColumns, expected: String, sensor: SensorSize) -> Error {
    let [lacks_y, lacks_p] =
        [(Role::Y, sensor.height), (Role::P, sensor.polarities)].map(|(role, n)| n > 1 && !taken.has(role));
    let missing: Vec<Role> =
        [(lacks_y, Role::Y), (lacks_p, Role::P)].iter().filter(|lack| lack.0).map(|lack| lack.1).collect();
    let fields = taken.fields.each_ref().map(|taken| taken.as_ref().map(|taken| taken.field.clone()));
    let there: Vec<String> = fields.iter().flatten().chain(&taken.unused).cloned().collect();
    let unusable: Vec<&UnusableField> = taken.unusable.iter().filter(|field| missing.contains(&field.role)).collect();
    let cannot: String = unusable.iter().map(|field| format!(", and {field}, which cannot be used")).collect();
    // A map cannot name the columns of an array without a name, nor the columns of a layout with samples.
    let mapped = !layout.has_samples() && !there.iter().any(|field| field.starts_with('['));
    let mut remedies = match (&missing[..], &unusable[..]) {
        ([Role::P], [p]) if p.is_text || p.is_pickled => {
            let on = On::Words { objects: p.is_pickled };
            mended(path, layout, taken, &p.field, on).into_iter().collect()
        }
        (_, [_, ..]) => Vec::new(),
        (&[role], []) if mapped && !taken.unused.is_empty() => {
            let with = |field: &String| {
                let mut fields = fields.clone();
                fields[role as usize] = Some(field.clone());
                map_line(&fields, &[])
            };
            taken.unused.iter().take(MOST_OFFERED).map(with).collect()
        }
        _ if mapped => vec![map_line(&fields, &missing)],
        _ => Vec::new(),
    };
    if unusable.is_empty() {
        let height = if lacks_y { 1 } else { sensor.height };
        let polarities = if lacks_p { 1 } else { sensor.polarities };
        remedies.push(Remedy::Sensor(format!("{},{height},{polarities}", sensor.width)));
    }
    let (path, place, got) = (path.into(), "columns".into(), format!("the fields {}{cannot}", there.join(", ")));
    Error::Columns { path, place, expected, got, remedies }
}

/// The range of the x or y coordinates of a recording, and how many have fractions. Only for coordinates that are
/// floats.
#[derive(Debug)]
pub(super) struct Pixels {
    least: f64,
    most: f64,
    /// Number of coordinates. `fractions` is the number of those that are not whole numbers.
    count: u64,
    fractions: u64,
    /// Number, minimum and maximum of the coordinates from -1 to 1. Normalised coordinates are in this range.
    normal: (u64, f64, f64),
    /// An eighth of the sensor's width (for x) or height (for y). 0 if the sensor is unknown.
    few: f64,
}

impl Pixels {
    /// Makes an empty range, for coordinates x or y.
    pub(super) fn new(role: Role, sensor: Option<SensorSize>) -> Pixels {
        let size = sensor.map_or(0, |sensor| if role == Role::X { sensor.width } else { sensor.height });
        let (least, most) = (f64::INFINITY, f64::NEG_INFINITY);
        Pixels { least, most, count: 0, fractions: 0, normal: (0, least, most), few: f64::from(size) / 8.0 }
    }

    /// Adds coordinates. Skips infinite and NaN coordinates.
    pub(super) fn add(&mut self, coordinates: &[f64]) {
        for &n in coordinates.iter().filter(|n| n.is_finite()) {
            (self.least, self.most) = (self.least.min(n), self.most.max(n));
            if n.abs() <= 1.0 {
                let (count, least, most) = self.normal;
                self.normal = (count + 1, least.min(n), most.max(n));
            }
            self.count += 1;
            self.fractions += u64::from(n.fract() != 0.0);
        }
    }

    /// Returns whether the coordinates are almost certainly pixels.
    fn are_settled(&self) -> bool {
        self.least < self.most && !self.are_inside_one() && 2 * self.normal.0 <= self.count
    }

    /// Returns whether the coordinates are probably normalised: almost all are from -1 to 1, and many have fractions.
    fn are_normalised(&self) -> bool {
        let (normal, least, most) = self.normal;
        100 * normal >= 99 * self.count && least < most && 2 * self.fractions >= self.count
    }

    /// Returns whether the coordinates look too close together for pixels: all inside one pixel, from -1 to 1, or in a
    /// corner of the sensor.
    fn are_inside_one(&self) -> bool {
        let normalised = self.least >= -1.0 && self.most <= 1.0;
        self.least.floor() == self.most.floor() || normalised || self.least.abs().max(self.most) < self.few
    }

    /// Checks the coordinates that were added. Returns a note for the user if some have fractions.
    ///
    /// # Errors
    /// [`Error::NotPixels`] if some have fractions, and they are probably normalised or too close together for pixels.
    pub(super) fn judge(&self, path: &Path, field: &str) -> Result<Option<String>> {
        if self.fractions == 0 {
            return Ok(None);
        }
        if self.least < self.most && (self.are_inside_one() || self.are_normalised()) {
            let (_, least, most) = if self.are_normalised() { self.normal } else { (0, self.least, self.most) };
            let (path, field) = (path.into(), field.into());
            return Err(Error::NotPixels { path, field, least, most });
        }
        let warning = if 10 * self.fractions > self.count { "warning: " } else { "" };
        Ok(Some(format!(
            "{warning}{field} has fractions, which are cut off: an event is in the pixel that it lies in; if whole \
             numbers are the centres of pixels, as after undistortion, save np.rint({field})"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_inside_one_pixel_are_not_pixels() {
        let judge = |coordinates: &[f64]| {
            let mut pixels = Pixels::new(Role::Y, Some(SensorSize { width: 8, height: 80, polarities: 2 }));
            pixels.add(coordinates);
            (pixels.judge(Path::new("a"), "x"), pixels.are_settled())
        };
        // Normalised coordinates are refused, even with one stray coordinate among them.
        let stray: Vec<f64> = (0..99).map(|i| f64::from(i) / 99.0).chain([70.5]).collect();
        for refused in [
            &[0.1, 0.2][..],
            &[0.0, 0.5, 1.0],
            &[-1.0, -0.3, 1.0],
            &[7.2, 7.9],
            &[f64::NAN, 0.1, 0.9],
            &[0.5, 9.5],
            &stray,
        ] {
            let (verdict, settled) = judge(refused);
            assert!(matches!(verdict, Err(Error::NotPixels { .. })) && !settled, "{refused:?}");
        }
        for whole in [&[][..], &[1.0, 1.0, 1.0], &[0.0, 1.0], &[f64::NAN]] {
            assert!(matches!(judge(whole), (Ok(None), false)), "{whole:?}");
        }
        assert!(matches!(judge(&[0.0, 300.0]), (Ok(None), true)));
        // One event may lie anywhere in its pixel.
        assert!(matches!(judge(&[0.5]), (Ok(Some(_)), false)));
        let (verdict, settled) = judge(&[12.5, 0.25, 39.0]);
        assert!(verdict.unwrap().unwrap().starts_with("warning: x has fractions") && settled);
        let rare: Vec<f64> = (0..40).map(f64::from).chain([0.5]).collect();
        assert!(judge(&rare).0.unwrap().unwrap().starts_with("x has fractions"));
    }
}
