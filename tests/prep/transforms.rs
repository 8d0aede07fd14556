//! Compares transforms and framings with Tonic's. Each case that differs on purpose says how.

use serde::Deserialize;
use serde_json::{Value, json};
use tonic_toolkit::prep::{Error, Events, Recipe};

use super::tonic::{Frames, Given, Ours, apply, goldens, sensor_size};

/// Maximum relative difference between our value and Tonic's in a surface. If both values are smaller than 1, it is the
/// maximum absolute difference. Tonic sums some values in float32.
const TOLERANCE: f64 = 2e-6;

#[derive(Clone, Debug, Deserialize)]
struct Case {
    name: String,
    sensor: [u32; 3],
    events: Given,
    steps: Vec<Value>,
    frames: Option<Value>,
    result: Option<Made>,
    error: Option<String>,
    differs: Option<String>,
    ours: Option<Value>,
}

/// The result of a case: frames, or events if the case has no framing.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum Made {
    Frames(Frames),
    Events { t: Vec<i64>, x: Vec<i64>, y: Option<Vec<i64>>, p: Vec<i64> },
}

impl Case {
    fn recipe(&self) -> Result<Recipe, Error> {
        let frames = self.frames.clone().unwrap_or(json!({"name": "ToImage"}));
        let text = toml::to_string(&json!({"transform": self.steps, "frames": frames})).unwrap();
        let recipe = Recipe::parse(None, &text)?;
        recipe.check_sensor(sensor_size(self.sensor))?;
        assert_eq!(Recipe::parse(None, &recipe.to_toml()).unwrap(), recipe, "{}", self.name);
        Ok(recipe)
    }

    fn run(&self) -> Result<Made, Error> {
        let recipe = self.recipe()?;
        let Ours { admitted, events, frames, .. } = apply(&self.name, &recipe, self.sensor, &self.events);
        assert!(!admitted.sorted && admitted.outside == 0, "{}: a case of events in order", self.name);
        let limit = recipe.frame_limit(sensor_size(self.sensor)).unwrap_or(u64::MAX);
        assert!(frames.shape[0] as u64 <= limit, "{}: at most {limit}", self.name);
        if self.frames.is_none() || events.is_empty() && !self.asks_for_frames() {
            return Ok(of_events(&events));
        }
        Ok(Made::Frames(frames))
    }

    /// Returns whether the case expects frames even if the sample has no events. Tonic cannot compute such frames.
    fn asks_for_frames(&self) -> bool {
        self.ours.as_ref().is_some_and(|ours| ours.get("shape").is_some())
    }

    /// Describes how our result differs from `expected`, if it does.
    fn difference(&self, expected: &Made) -> Option<String> {
        let ours = match self.run() {
            Ok(ours) => ours,
            Err(error) => return Some(error.to_string()),
        };
        (!equal(&ours, expected)).then(|| format!("expected {expected:?}\n     got {ours:?}"))
    }
}

fn of_events(events: &Events) -> Made {
    let wide = |column: &[u16]| column.iter().map(|&v| v.into()).collect();
    Made::Events {
        t: events.t.clone(),
        x: wide(&events.x),
        y: Some(wide(&events.y)),
        p: events.p.iter().map(|&p| p.into()).collect(),
    }
}

/// Compares events and counts exactly, and float32 values within [`TOLERANCE`]. A missing float32 value counts as 0.
fn equal(ours: &Made, expected: &Made) -> bool {
    let (Made::Frames(ours), Made::Frames(expected)) = (ours, expected) else { return ours == expected };
    let counts = |frames: &Frames| frames.entries.iter().all(|(.., value)| value.fract() == 0.0);
    if counts(ours) && counts(expected) {
        return ours == expected;
    }
    let mut all = ours.entries.clone();
    all.extend(expected.entries.iter().map(|&(t, cell, value)| (t, cell, -value)));
    all.sort_by_key(|&(t, cell, _)| (t, cell));
    let near = |pair: &[(usize, u32, f64)]| {
        let largest = pair.iter().fold(1.0_f64, |most, entry| most.max(entry.2.abs()));
        pair.iter().map(|entry| entry.2).sum::<f64>().abs() <= TOLERANCE * largest
    };
    ours.shape == expected.shape && all.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)).all(near)
}

/// Returns how many of our results are equal to Tonic's, and how many differ on purpose. Panics if others differ.
fn compare(cases: &[Case]) -> (usize, usize) {
    let (mut equal, mut differ, mut faults) = (0, 0, Vec::new());
    for case in cases {
        let difference = match (&case.differs, &case.ours, &case.result) {
            (Some(_), Some(Value::String(_)), _) => {
                differ += 1;
                let refused = matches!(case.run(), Err(Error::BadRecipe { .. }));
                (!refused).then(|| "expected a refusal".into())
            }
            (Some(why), Some(ours), result) => {
                differ += 1;
                let ours: Made = serde_json::from_value(ours.clone()).unwrap();
                assert!(result.as_ref().is_none_or(|r| !self::equal(r, &ours)), "{}: Tonic agrees: {why}", case.name);
                case.difference(&ours)
            }
            (_, _, Some(result)) => {
                equal += 1;
                case.difference(result)
            }
            _ => Some(format!("Tonic raises {:?}, which is listed nowhere", case.error)),
        };
        faults.extend(difference.map(|d| {
            let Case { name, sensor, events, steps, frames, .. } = case;
            format!("{name}: {d}\n     of {sensor:?} {events:?}\n     {} {}", json!(steps), json!(frames))
        }));
    }
    let shown: Vec<_> = faults.iter().take(12).cloned().collect();
    assert!(faults.is_empty(), "{} of {} cases differ:\n{}", faults.len(), cases.len(), shown.join("\n"));
    (equal, differ)
}

#[test]
fn every_transform_and_framing_is_tonics_or_differs_on_purpose() {
    assert_eq!(compare(&goldens::<Vec<Case>>("tonic_transforms.json")), (469, 31));
}

/// Compares generated cases. The environment variable TONIC_GOLDENS_EXTRA has the path of their file, which
/// `scripts/goldens/tonic_transforms.py --each N` writes.
#[test]
fn every_generated_case_is_tonics() {
    let Some(path) = std::env::var_os("TONIC_GOLDENS_EXTRA") else { return };
    println!("equal, and different on purpose: {:?}", compare(&goldens::<Vec<Case>>(path.to_str().unwrap())));
}
