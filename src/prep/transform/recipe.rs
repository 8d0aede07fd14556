//! Recipes: what is done to the events of every sample, in order, and how they become frames.

use std::path::Path;

use serde::Serialize;
use toml::{Table, Value};

use super::super::events::{Events, SensorSize};
use super::super::framing::{self, Framing, ToFrame};
use super::super::known::{Checked, Fault, Known, ensure, one_line};
use super::{CropTime, Downsample, TRANSFORMS, Transform};
use crate::error::{Error, Result};
use crate::shard::Ledger;

/// The most cells of a sensor: a worker keeps a number for each.
const MAX_CELLS: u64 = 1 << 28;

/// The random transforms of Tonic.
const RANDOM: [&str; 13] = [
    "DropEvent",
    "DropEventByArea",
    "DropEventByTime",
    "EventDrop",
    "RandomCrop",
    "RandomDropPixel",
    "RandomFlipLR",
    "RandomFlipPolarity",
    "RandomFlipUD",
    "RandomTimeReversal",
    "SpatialJitter",
    "TimeJitter",
    "UniformNoise",
];

/// What else Tonic has that is no step of a recipe, and why.
const ELSEWHERE: [(&str, &str); 5] = [
    ("Compose", "the steps themselves, one [[transform]] each, in order"),
    ("NumpyAsType", "no such step: frames are stored in the narrowest type that holds them"),
    ("Repeat", "transforms of events (labels are stored as they are; training repeats them)"),
    ("ToOneHotEncoding", "transforms of events (labels are stored as they are; training encodes them)"),
    ("ToSparseTensor", "ToFrame under [frames] (frames are stored sparse)"),
];

/// An ordered list of transforms, and the framing at its end.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recipe {
    /// What happens to the events, in order.
    #[serde(rename = "transform")]
    pub transforms: Vec<Transform>,
    /// How they become frames.
    pub frames: Framing,
}

impl Recipe {
    /// The reference recipe: 100 channels of 700, one second, frames of 4 ms, the last one kept.
    pub fn reference() -> Recipe {
        Recipe::of(SensorSize { width: 700, height: 1, polarities: 1 }, Some(100), Some(1_000_000), 4_000)
    }

    /// The recipe of `--channels`, `--crop-time` and `--time-window` (microseconds).
    pub fn of(sensor: SensorSize, channels: Option<u32>, crop_time: Option<i64>, time_window: i64) -> Recipe {
        let mut transforms = Vec::new();
        if let Some(channels) = channels {
            let spatial_factor = [f64::from(channels) / f64::from(sensor.width), 1.0];
            transforms.push(Transform::Downsample(Downsample { spatial_factor, ..Downsample::default() }));
        }
        if let Some(max) = crop_time {
            transforms.push(Transform::CropTime(CropTime { min: 0, max: Some(max) }));
        }
        let frames = ToFrame { time_window: Some(time_window), include_incomplete: true, ..ToFrame::default() };
        Recipe { transforms, frames: Framing::ToFrame(frames) }
    }

    /// Reads a recipe from TOML.
    ///
    /// # Errors
    /// [`Error::BadRecipe`], which for a random transform says where it belongs.
    pub fn parse(path: Option<&Path>, text: &str) -> Result<Recipe> {
        read(text).map_err(|fault| bad(path, fault))
    }

    /// The recipe as TOML, which [`Recipe::parse`] reads back to the same recipe.
    ///
    /// # Panics
    /// Never: a recipe has nothing that TOML cannot say.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a recipe is TOML")
    }

    /// Whether the recipe makes sense for recordings of `sensor`.
    ///
    /// # Errors
    /// [`Error::BadRecipe`]: a size or pixel beyond the sensor, another `sensor_size` than there is at that step.
    pub fn check_sensor(&self, sensor: SensorSize) -> Result<()> {
        let mut sensor = sensor;
        for (number, transform) in self.transforms.iter().enumerate() {
            let step = transform.step();
            let checked = check_size(step.sensor_size(), sensor).and_then(|()| step.check_sensor(sensor));
            checked.and_then(|()| check_cells(step.sensor_after(sensor))).map_err(|fault| {
                let place = place(number, transform.name());
                bad(None, fault.within(&place))
            })?;
            sensor = step.sensor_after(sensor);
        }
        let checked = check_size(self.frames.sensor_size(), sensor).and_then(|()| self.frames.check_sensor(sensor));
        checked.map_err(|fault| bad(None, fault.within("frames")))
    }

    /// The sensor after all transforms.
    pub fn sensor_after(&self, sensor: SensorSize) -> SensorSize {
        self.transforms.iter().fold(sensor, |sensor, transform| transform.step().sensor_after(sensor))
    }

    /// Applies the transforms to one sample's events of `sensor`, and counts what they drop.
    ///
    /// # Errors
    /// What a transform cannot make of these events, such as far too many of them.
    pub fn apply(&self, events: &mut Events, sensor: SensorSize, ledger: &mut Ledger) -> Checked {
        let mut sensor = sensor;
        for (number, transform) in self.transforms.iter().enumerate() {
            let step = transform.step();
            let named = |fault: Fault| fault.within(&place(number, transform.name()));
            step.apply(events, sensor, ledger).map_err(named)?;
            sensor = step.sensor_after(sensor);
        }
        Ok(())
    }

    /// The most frames that any sample of `sensor` can get, if the recipe bounds them.
    pub fn frame_limit(&self, sensor: SensorSize) -> Option<u64> {
        let span = self.transforms.iter().fold(None, |span, transform| transform.step().span_after(span));
        self.frames.frame_limit(span, self.sensor_after(sensor))
    }
}

fn bad(path: Option<&Path>, fault: Fault) -> Error {
    let Fault { place, expected, got } = fault;
    Error::BadRecipe { path: path.map(Into::into), place, expected, got }
}

fn place(number: usize, name: &str) -> String {
    format!("transform {}, {name}", number + 1)
}

fn check_size(given: Option<[u32; 3]>, sensor: SensorSize) -> Checked {
    let SensorSize { width, height, polarities } = sensor;
    let there = [width, height, polarities];
    let expected = format!("{there:?}, the size at this step (it may be left out)");
    given.map_or(Ok(()), |given| ensure(given == there, "sensor_size", &expected, format!("{given:?}")))
}

fn check_cells(sensor: SensorSize) -> Checked {
    ensure(sensor.frame_shape().cells() <= MAX_CELLS, "", "a sensor of at most 2^28 cells", sensor)
}

fn read(text: &str) -> Checked<Recipe> {
    let mut table: Table = text.parse().map_err(|e: toml::de::Error| {
        let line = e.span().map_or(0, |span| text[..span.start.min(text.len())].matches('\n').count()) + 1;
        Fault::new(format!("line {line}"), "TOML", one_line(&e))
    })?;
    let steps = match table.remove("transform") {
        None => Vec::new(),
        Some(Value::Array(steps)) => steps,
        Some(other) => return Err(Fault::new("transform", "[[transform]] in double brackets", kind_of(&other))),
    };
    let frames = match table.remove("frames") {
        Some(Value::Table(frames)) => frames,
        Some(other) => return Err(Fault::new("frames", "[frames], one table", kind_of(&other))),
        None => return Err(Fault::new("frames", "[frames], which says how events become frames", "none")),
    };
    if let Some(key) = table.keys().next() {
        return Err(Fault::new("recipe", "[[transform]] and [frames] only", key));
    }
    let mut transforms = Vec::with_capacity(steps.len());
    for (number, step) in steps.into_iter().enumerate() {
        let Value::Table(step) = step else {
            return Err(Fault::new("transform", "[[transform]], a table", kind_of(&step)));
        };
        let Some(name) = step.get("name").and_then(Value::as_str) else {
            let got = step.get("name").map_or("none".into(), Value::to_string);
            return Err(Fault::new(format!("transform {}", number + 1), "a name, such as name = \"CropTime\"", got));
        };
        let place = place(number, name);
        let known = find(&TRANSFORMS, name).map_err(|fault| fault.within(&format!("transform {}", number + 1)))?;
        let read = known.read(step.clone()).and_then(|transform: Transform| {
            transform.step().check()?;
            Ok(transform)
        });
        transforms.push(read.map_err(|fault| fault.within(&place))?);
    }
    Ok(Recipe { transforms, frames: read_frames(frames).map_err(|fault| fault.within("frames"))? })
}

fn read_frames(mut frames: Table) -> Checked<Framing> {
    // ToFrame goes without its name, so that a recipe that says it is the same recipe.
    let name = match frames.remove("name") {
        None => "ToFrame".into(),
        Some(Value::String(name)) => name,
        Some(other) => return Err(Fault::new("name", "a framing, such as \"ToFrame\"", other)),
    };
    let known = find(&framing::FRAMINGS, &name)?;
    if name != "ToFrame" {
        frames.insert("name".into(), name.into());
    }
    let framing: Framing = known.read(frames)?;
    framing.check()?;
    Ok(framing)
}

/// The entry of a name in one of the two lists, or why it is not there.
fn find(list: &'static [Known], name: &str) -> Checked<&'static Known> {
    let named = |list: &'static [Known]| list.iter().find(|known| known.name == name);
    if let Some(known) = named(list) {
        return Ok(known);
    }
    let expected = if RANDOM.contains(&name) {
        "deterministic transforms (random augmentation belongs to training, fresh every epoch)".into()
    } else if let Some((_, why)) = ELSEWHERE.iter().find(|(other, _)| *other == name) {
        (*why).into()
    } else if named(&framing::FRAMINGS).is_some() {
        "transforms of events (a framing belongs under [frames], as its name)".into()
    } else if named(&TRANSFORMS).is_some() {
        "a framing (a transform of events belongs under [[transform]])".into()
    } else {
        let names: Vec<&str> = list.iter().map(|known| known.name).collect();
        format!("one of {}", names.join(", "))
    };
    Err(Fault::new("name", expected, name))
}

fn kind_of(value: &Value) -> String {
    match value {
        Value::Table(_) => "a single table".into(),
        other => other.to_string(),
    }
}
