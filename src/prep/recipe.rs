//! Recipes. A recipe lists transforms for the events of every sample, in order, and a framing that turns the result
//! into frames.

use std::path::Path;

use serde::Serialize;
use toml::{Table, Value};

use crate::error::{Error, Result};
use crate::events::{Events, SensorSize};
use crate::fault::{Checked, Fault, ensure};
use crate::framing::{FRAMINGS, FrameStream, Framing, MAX_CELLS, ToFrame};
use crate::signature::{Catalogue, Signature, one_line};
use crate::transform::{BlockStep, CropTime, Downsample, TRANSFORMS, Transform};
use tonic_shard::Ledger;

/// Names of Tonic's random transforms. Recipes can't have them: random augmentation belongs to training.
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

/// Names in Tonic that a recipe cannot use as a step, each with what to use instead.
const ELSEWHERE: [(&str, &str); 5] = [
    ("Compose", "the steps themselves, one [[transform]] each, in order"),
    ("NumpyAsType", "no such step: frames are stored in the narrowest type that holds them"),
    ("Repeat", "transforms of events (labels are stored as they are; training repeats them)"),
    ("ToOneHotEncoding", "transforms of events (labels are stored as they are; training encodes them)"),
    ("ToSparseTensor", "ToFrame under [frames] (frames are stored sparse)"),
];

/// Returns the signatures of all transforms and framings that a recipe can name.
pub fn catalogue() -> Catalogue {
    Catalogue { transforms: &TRANSFORMS, framings: &FRAMINGS }
}

/// Transforms for events, in order, and the framing that turns the transformed events into frames.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recipe {
    /// The transforms, in order.
    #[serde(rename = "transform")]
    pub transforms: Vec<Transform>,
    /// How the events are turned into frames after the last transform.
    pub frames: Framing,
}

impl Recipe {
    /// Default recipe for `sensor`: downsample to `channels`, drop events after `crop_time`, make one frame per
    /// `time_window`. Times are in microseconds. A step is left out if its argument is `None`.
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

    /// Reads a recipe from the TOML in `text`. Errors name the file `path`, if it is given.
    ///
    /// # Errors
    /// [`Error::BadRecipe`]. For a random transform, the message says that it belongs to training.
    pub fn parse(path: Option<&Path>, text: &str) -> Result<Recipe> {
        read(text).map_err(|fault| bad(path, fault))
    }

    /// Returns the recipe as TOML, which [`Recipe::parse`] reads back.
    ///
    /// # Panics
    /// Never: every recipe can be written as TOML.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a recipe is TOML")
    }

    /// Checks that the recipe is valid for recordings of `sensor`.
    ///
    /// # Errors
    /// [`Error::BadRecipe`] if a size or a pixel lies outside the sensor, if a step cannot handle the sensor, or if
    /// the parameter `sensor_size` of a step differs from the size of the sensor at this step.
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
        let checked =
            check_size(self.frames.rule().sensor_size(), sensor).and_then(|()| self.frames.check_sensor(sensor));
        checked.map_err(|fault| bad(None, fault.within("frames")))
    }

    /// Returns the size of the sensor after all transforms, for recordings of `sensor`.
    pub fn sensor_after(&self, sensor: SensorSize) -> SensorSize {
        self.transforms.iter().fold(sensor, |sensor, transform| transform.step().sensor_after(sensor))
    }

    /// Applies the transforms to the events of one sample of `sensor`, and counts dropped events in `ledger`.
    ///
    /// # Errors
    /// The fault of a transform that fails on these events, for example because it would emit too many events.
    pub fn apply(&self, events: &mut Events, sensor: SensorSize, ledger: &mut Ledger) -> Checked {
        self.apply_first(self.transforms.len(), events, sensor, ledger, |_| {})
    }

    /// Applies the first `count` transforms. Calls `lost` with the number of dropped events of each transform.
    pub(crate) fn apply_first(
        &self,
        count: usize,
        events: &mut Events,
        sensor: SensorSize,
        ledger: &mut Ledger,
        mut lost: impl FnMut(u64),
    ) -> Checked {
        let mut sensor = sensor;
        for (number, transform) in self.transforms.iter().take(count).enumerate() {
            let step = transform.step();
            let named = |fault: Fault| fault.within(&place(number, transform.name()));
            let before = ledger.accounted();
            step.apply(events, sensor, ledger).map_err(named)?;
            lost(ledger.accounted().zip(before).map_or(0, |(after, before)| after - before));
            sensor = step.sensor_after(sensor);
        }
        Ok(())
    }

    /// Returns the recipe in a form that takes the events of a sample block by block. The error is the name of a
    /// transform or framing that needs all events at once.
    pub(crate) fn in_blocks(&self, sensor: SensorSize) -> Result<(BlockSteps<'_>, FrameStream), &'static str> {
        let (mut sensor, mut steps) = (sensor, Vec::new());
        for (number, transform) in self.transforms.iter().enumerate() {
            let step = transform.step().in_blocks(sensor).ok_or(transform.name())?;
            steps.push((place(number, transform.name()), step));
            sensor = transform.step().sensor_after(sensor);
        }
        let stream = self.frames.stream(sensor).ok_or(self.frames.name())?;
        Ok((BlockSteps { lost: vec![0; steps.len()], steps }, stream))
    }

    /// Returns the name of the first transform or framing that needs all events of a sample at once. `None` if the
    /// recipe can take the events in blocks.
    pub fn needs_whole_samples(&self, sensor: SensorSize) -> Option<&'static str> {
        self.in_blocks(sensor).err()
    }

    /// Returns the maximum number of frames per sample, for recordings of `sensor`. `None` if the recipe sets no
    /// maximum.
    pub fn frame_limit(&self, sensor: SensorSize) -> Option<u64> {
        let span = self.transforms.iter().fold(None, |span, transform| transform.step().span_after(span));
        self.frames.rule().frame_limit(span, self.sensor_after(sensor))
    }
}

/// Transforms that are applied to the events of one sample, block after block.
pub(crate) struct BlockSteps<'a> {
    /// Each transform with its name for errors, such as `transform 1, CropTime`.
    steps: Vec<(String, BlockStep<'a>)>,
    /// Number of events that each transform dropped.
    pub lost: Vec<u64>,
}

impl BlockSteps<'_> {
    /// Leaves out the transforms after the first `count`.
    pub(crate) fn truncate(&mut self, count: usize) {
        self.steps.truncate(count);
        self.lost.truncate(count);
    }

    /// Applies the transforms to the next events of the sample, and counts dropped events in `ledger`.
    pub(crate) fn apply(&mut self, events: &mut Events, ledger: &mut Ledger) -> Checked {
        for ((place, step), lost) in self.steps.iter_mut().zip(&mut self.lost) {
            let before = ledger.accounted();
            step(events, ledger).map_err(|fault| fault.within(place))?;
            *lost += ledger.accounted().zip(before).map_or(0, |(after, before)| after - before);
        }
        Ok(())
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
        let signature = find(&TRANSFORMS, name).map_err(|fault| fault.within(&format!("transform {}", number + 1)))?;
        let read = signature.read(step.clone()).and_then(|transform: Transform| {
            transform.step().check()?;
            Ok(transform)
        });
        transforms.push(read.map_err(|fault| fault.within(&place))?);
    }
    Ok(Recipe { transforms, frames: read_frames(frames).map_err(|fault| fault.within("frames"))? })
}

fn read_frames(mut frames: Table) -> Checked<Framing> {
    // Leave out the name of ToFrame, so that recipes with and without it are equal.
    let name = match frames.remove("name") {
        None => "ToFrame".into(),
        Some(Value::String(name)) => name,
        Some(other) => return Err(Fault::new("name", "a framing, such as \"ToFrame\"", other)),
    };
    let signature = find(&FRAMINGS, &name)?;
    if name != "ToFrame" {
        frames.insert("name".into(), name.into());
    }
    let framing: Framing = signature.read(frames)?;
    framing.rule().check()?;
    Ok(framing)
}

/// Finds the signature called `name`. If there is none, the fault says what to use instead, or lists the names.
fn find(list: &'static [Signature], name: &str) -> Checked<&'static Signature> {
    let named = |list: &'static [Signature]| list.iter().find(|signature| signature.name == name);
    if let Some(signature) = named(list) {
        return Ok(signature);
    }
    let expected = if RANDOM.contains(&name) {
        "deterministic transforms (random augmentation belongs to training, fresh every epoch)".into()
    } else if let Some((_, why)) = ELSEWHERE.iter().find(|(other, _)| *other == name) {
        (*why).into()
    } else if named(&FRAMINGS).is_some() {
        "transforms of events (a framing belongs under [frames], as its name)".into()
    } else if named(&TRANSFORMS).is_some() {
        "a framing (a transform of events belongs under [[transform]])".into()
    } else {
        let names: Vec<&str> = list.iter().map(|signature| signature.name).collect();
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
