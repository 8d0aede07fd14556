//! Compares frames with Tonic's, bit by bit. Each case that differs on purpose says how.

use serde::Deserialize;
use serde_json::{Value, json};
use tonic_toolkit::prep::{Error, Recipe, SensorSize, admit};

use super::tonic::{Frames, Given, Ours, apply, goldens, sensor_size};

#[derive(Clone, Debug, Deserialize)]
struct Case {
    name: String,
    sensor: [u32; 3],
    events: Given,
    steps: Vec<Value>,
    to_frame: Value,
    frames: Option<Frames>,
    error: Option<String>,
    tonic_differs: Option<String>,
}

impl Case {
    /// Returns the recipe of the case as TOML. Transforms and parameters have Tonic's names.
    fn recipe_text(&self) -> String {
        let mut steps = self.steps.clone();
        for step in &mut steps {
            // Tonic takes one factor or two; a recipe always has two.
            match step.get("spatial_factor") {
                Some(Value::Number(factor)) => step["spatial_factor"] = json!([factor, factor]),
                _ => continue,
            }
        }
        let mut frames = self.to_frame.clone();
        frames.as_object_mut().unwrap().remove("sensor_size");
        toml::to_string(&json!({"transform": steps, "frames": frames})).unwrap()
    }

    fn run(&self) -> Result<Ours, Error> {
        let recipe = Recipe::parse(None, &self.recipe_text())?;
        let sensor = recipe.sensor_after(sensor_size(self.sensor));
        let target = &self.to_frame["sensor_size"];
        assert_eq!(json!([sensor.width, sensor.height, sensor.polarities]), *target, "{}", self.name);
        Ok(apply(&self.name, &recipe, self.sensor, &self.events))
    }

    /// Returns our result for the case. Panics if our result is an error.
    fn frames(&self) -> Ours {
        self.run().unwrap_or_else(|e| panic!("{}: {e}", self.name))
    }
}

/// Returns whether the case has times that are not whole microseconds. Our recipes can't have them.
fn has_fractions(case: &Case) -> bool {
    let whole = |key: &str| case.to_frame.get(key).is_none_or(serde_json::Value::is_i64);
    !["time_window", "start_time", "end_time"].into_iter().all(whole)
}

/// Returns whether the case has time bounds without effect. Tonic ignores such bounds, and we refuse them.
fn has_idle_bounds(case: &Case) -> bool {
    let has = |key: &str| case.to_frame.get(key).is_some();
    !has("time_window") && (has("start_time") || has("end_time"))
}

#[test]
fn every_case_is_tonics_or_differs_on_purpose() {
    let (mut equal, mut differ, mut refused, mut fractions, mut idle) = (0, 0, 0, 0, 0);
    for mut case in goldens::<Vec<Case>>("tonic_frames.json") {
        if has_fractions(&case) {
            assert!(case.name.starts_with("fraction-"), "{}", case.name);
            assert!(matches!(case.run(), Err(Error::BadRecipe { .. })), "{}", case.name);
            fractions += 1;
            continue;
        }
        if case.tonic_differs.is_some() {
            differs_as_documented(&case);
            differ += 1;
            continue;
        }
        if case.error.is_some() {
            fails_as_tonic_does(&case);
            refused += 1;
            continue;
        }
        if has_idle_bounds(&case) {
            assert!(matches!(case.run(), Err(Error::BadRecipe { .. })), "{}", case.name);
            let to_frame = case.to_frame.as_object_mut().unwrap();
            to_frame.retain(|key, _| key != "start_time" && key != "end_time");
            idle += 1;
        }
        let ours = case.frames();
        assert_eq!(ours.frames, *case.frames.as_ref().unwrap(), "{}", case.name);
        equal += 1;
    }
    assert_eq!((equal, differ, refused, fractions), (520, 18, 9, 20));
    assert_eq!(equal + differ + refused + fractions, 567);
    assert_eq!(idle, 25);
}

/// Compares frames of 2.5 microseconds with Tonic's. All times are doubled, because a recipe has whole microseconds.
#[test]
fn half_microseconds_cut_as_tonic_cuts_them() {
    let mut compared = 0;
    for mut case in goldens::<Vec<Case>>("tonic_frames.json").into_iter().filter(has_fractions) {
        if case.to_frame["time_window"] != json!(2.5) {
            continue;
        }
        case.events.t.iter_mut().for_each(|t| *t *= 2);
        let to_frame = case.to_frame.as_object_mut().unwrap();
        for (key, value) in to_frame.iter_mut() {
            match key.as_str() {
                "time_window" | "start_time" => *value = json!((value.as_f64().unwrap() * 2.0) as i64),
                "overlap" => *value = json!(value.as_f64().unwrap() * 2.0),
                _ => {}
            }
        }
        assert_eq!(case.frames().frames, *case.frames.as_ref().unwrap(), "{}", case.name);
        compared += 1;
    }
    assert_eq!(compared, 6);
}

fn fails_as_tonic_does(case: &Case) {
    if case.name == "refused-polarity" {
        // An event of polarity 1 for a sensor that has polarity 0 only: it is outside, and counted.
        assert_eq!(case.frames().ledger.outside, 1, "{}", case.name);
    } else {
        assert!(matches!(case.run(), Err(Error::BadRecipe { .. })), "{}: {:?}", case.name, case.error);
    }
}

fn differs_as_documented(case: &Case) {
    let name = case.name.as_str();
    let ours = case.frames();
    let entries = ours.frames.entries.as_slice();
    assert_ne!(Some(&ours.frames), case.frames.as_ref(), "{name} no longer differs from Tonic: {:?}", case.error);
    let frames_of = |expected: usize| assert_eq!((ours.frames.shape[0], entries.len()), (expected, 0), "{name}");
    match name {
        "table-6" => assert_eq!(entries, [(0, 3, 40_000.0)]),
        "table-7a" | "table-7b" | "table-7c" | "table-7g" => frames_of(1),
        "table-7d" | "table-7e" => frames_of(3),
        "table-7f" => {
            frames_of(1);
            assert_eq!((ours.ledger.events_in, ours.ledger.cropped), (2, 2));
        }
        _ if name.starts_with("table-10") => {
            assert_eq!((ours.admitted.outside, ours.ledger.binned), (1, 1), "{name}");
            assert_eq!(ours.admitted.first_outside.map(|(event, _)| event), Some(0), "{name}");
            let inside = if case.sensor[1] == 1 { 2 } else { 22 }; // x 2, or p 1, y 0, x 2 of (2, 4, 5)
            assert_eq!(entries, [(0, inside, 1.0)], "{name}");
        }
        "table-11a" | "table-11b" | "table-11c" => {
            assert!(ours.admitted.sorted, "{name}");
            let mut sorted = case.clone();
            let mut order: Vec<usize> = (0..case.events.t.len()).collect();
            order.sort_by_key(|&i| case.events.t[i]);
            sorted.events.t = order.iter().map(|&i| case.events.t[i]).collect();
            sorted.events.x = order.iter().map(|&i| case.events.x[i]).collect();
            let sorted = sorted.frames();
            assert!(!sorted.admitted.sorted, "{name}");
            assert_eq!(ours.frames, sorted.frames, "{name}");
            let expected: &[(usize, u32)] = match name {
                "table-11a" => &[(0, 2), (0, 4), (1, 3), (2, 1), (3, 5)],
                "table-11b" => &[(0, 2), (0, 3), (1, 1)],
                _ => &[(0, 2), (0, 4), (1, 1), (1, 3)],
            };
            assert!(
                entries.iter().copied().eq(expected.iter().map(|&(t, cell)| (t, cell, 1.0))),
                "{name}: {entries:?}"
            );
        }
        _ => panic!("{name} has no documented difference"),
    }
}

#[test]
fn equal_times_keep_their_order_when_sorted() {
    let sensor = SensorSize { width: 10, height: 1, polarities: 1 };
    let times = [5, 3, 5, 3, 1, 5];
    let admitted =
        admit(sensor, times.into_iter().zip(0..).map(|(t, x)| (Some(t), x, 0, 0)).collect::<Vec<_>>().into_iter());
    assert_eq!(admitted.events.x, [4, 1, 3, 0, 2, 5]);
}
