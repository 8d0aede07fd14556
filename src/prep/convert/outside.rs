//! The error for an event outside the sensor, and its likely cause.

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::events::SensorSize;
use crate::source::{FAR_PIXEL, NO_PIXEL, Recording, listed, odd_polarities};

/// The error for a sample with events outside the sensor. `event` is the index of the first such event.
pub(super) fn outside_error(
    recording: &Recording,
    sample: u64,
    (event, [x, y, p]): (u64, [i64; 3]),
    sensor: SensorSize,
) -> Result<Error> {
    if let Some(got) = no_pixel([x, y]) {
        return Ok(Error::NoPixel { path: recording.path.clone(), sample, event, got });
    }
    if let Some(fault) = odd_polarity(recording, sample, (event, [x, y, p]), sensor)? {
        return Ok(fault);
    }
    let (expected, got) = if sensor.height == 1 && sensor.polarities == 1 {
        (format!("a unit below {}", sensor.width), format!("unit {x}"))
    } else {
        (format!("x, y, p inside the sensor, {sensor}"), format!("{x}, {y}, {p}"))
    };
    let origin = recording.likely_origin(sensor)?;
    let lowest = if origin.is_none() && x.min(y) < 0 { recording.lowest()? } else { None };
    let got = if origin == Some(0) { format!("{got} after 1 is subtracted (`origin`)") } else { got };
    Ok(Error::OutsideSensor { path: recording.path.clone(), sample, event, expected, got, origin, lowest })
}

/// Describes coordinates that were NaN, infinite or far too large in the file. `None` for other coordinates.
fn no_pixel([x, y]: [i64; 2]) -> Option<String> {
    odd(x).or(odd(y)).map(|_| described([x, y]))
}

/// Text for a coordinate that was NaN, infinite or far too large in the file. `None` for other coordinates.
fn odd(n: i64) -> Option<&'static str> {
    match n {
        NO_PIXEL => Some("NaN, -inf or -2^63"),
        // `origin` may have been subtracted.
        n if n >= FAR_PIXEL - 1 => Some("inf or 2^63"),
        _ => None,
    }
}

fn described([x, y]: [i64; 2]) -> String {
    let [x, y] = [x, y].map(|n| odd(n).map_or_else(|| n.to_string(), String::from));
    format!("x = {x}, y = {y}")
}

/// Text for a warning: the coordinates and the polarity of an event outside the sensor, and the likely cause.
pub(super) fn outside_cause([x, y, p]: [i64; 3]) -> String {
    let pixel = described([x, y]);
    match p {
        // Polarities that are NaN or fractions became this number.
        i64::MIN => format!("{pixel}, p = NaN or a fraction: save polarities as 0 and 1"),
        0 | 1 => format!("{pixel}, p = {p}: is the sensor another one (`sensor`)?"),
        _ => format!("{pixel}, p = {p}: save polarities as 0 and 1"),
    }
}

/// The error for an event inside the sensor whose polarity is neither 0 nor 1. `None` for other events.
fn odd_polarity(
    recording: &Recording,
    sample: u64,
    (event, [x, y, p]): (u64, [i64; 3]),
    sensor: SensorSize,
) -> Result<Option<Error>> {
    let inside = |n: i64, size: u32| (0..i64::from(size)).contains(&n);
    if !inside(x, sensor.width) || !inside(y, sensor.height) || inside(p, 2) {
        return Ok(None);
    }
    let Recording { path, layout, columns, .. } = recording;
    let (values, odd) = (recording.polarities()?, listed(&BTreeSet::from([i128::from(p)])));
    let what = format!("{} (event {event} of sample {sample} has {odd})", listed(&values));
    Ok(Some(odd_polarities(path, *layout, columns, &values, what)))
}
