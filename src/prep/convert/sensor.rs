//! The error for a recording whose sensor size is unknown.

use crate::error::{BaseFault, Error, Result};
use crate::source::{Recording, check_unknown_sensor};

pub(super) fn unknown_sensor(recording: &Recording) -> Result<Error> {
    /// Sensor sizes of common cameras: width, height and name.
    const CAMERAS: [(u32, u32, &str); 6] = [
        (128, 128, "DVS128"),
        (240, 180, "DAVIS240"),
        (304, 240, "ATIS"),
        (346, 260, "DAVIS346"),
        (640, 480, "DSEC and other Prophesee Gen3.1, DVXplorer"),
        (1280, 720, "EVK4, TUM-VIE and other Prophesee Gen4"),
    ];
    let got = format!("none in {} ({})", recording.path.display(), recording.columns.text());
    let Some((x, y)) = recording.extent()? else {
        return Ok(Error::usage("sensor", "W,H,P, for a recording that does not tell its size", got));
    };
    let size = |most: i64| u32::try_from(most).unwrap_or(0).saturating_add(1);
    if let Some(error) = check_unknown_sensor(recording, (size(x), size(y))) {
        return Ok(error);
    }
    if !recording.columns.has_rows() {
        return Ok(Error::usage("sensor", format!("W with room for x up to {x}, or y to be named in a map"), got));
    }
    let polarities = if recording.columns.has_polarities() { 2 } else { 1 };
    let fitting = CAMERAS.iter().filter(|(w, h, _)| x < i64::from(*w) && y < i64::from(*h));
    let cameras: Vec<String> =
        fitting.take(3).map(|(w, h, camera)| format!("{w},{h},{polarities} ({camera})")).collect();
    let likely = match cameras.is_empty() {
        true => ", which are beyond the usual cameras and may be on another scale".into(),
        false => format!(", such as {}", cameras.join(", ")),
    };
    let size = if polarities == 2 { "W,H,P" } else { "W,H,1" };
    let expected = format!("{size} with room for x up to {x} and y up to {y}{likely}");
    Ok(Error::usage("sensor", expected, got))
}
