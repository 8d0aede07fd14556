//! Options of conversions, from a dict with the names of the program's flags.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use pyo3::prelude::*;
use tonic_base::{Verbosity, cores, parse_bytes};
use tonic_prep::{
    ClassList, Conversion, Cut, Digits, LEVEL, LabelSource, Recipe, RecipeChoice, SHARD_SIZE, SensorSize,
    SourceOptions, TimeUnit, dataset_source,
};
use tonic_prep_cli::description_of;
use tonic_shard::{Existing, MAX_CHUNK_SAMPLES, SetDescription};

use crate::error::{exception, prep_exception, refused};

/// How recordings are read, cut and labelled.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct SourceArgs {
    dataset: Option<String>,
    split: Option<String>,
    flip_y: bool,
    to_zero: bool,
    layout: Option<String>,
    map: Option<String>,
    columns: Option<String>,
    topic: Option<String>,
    events: Option<String>,
    sample_duration: Option<String>,
    sample_events: Option<u64>,
    sample_overlap: Option<String>,
    label: Option<String>,
    labels: Option<PathBuf>,
    classes_file: Option<PathBuf>,
    classes_of: Option<PathBuf>,
    class_level: Option<u8>,
    digits: String,
    single_digits: bool,
}

/// How events are read, from recordings or from arrays.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct EventArgs {
    sensor: Option<String>,
    origin: u8,
    time_unit: Option<String>,
    unwrap: bool,
    allow_clock_trouble: bool,
    class_names: Option<Vec<String>>,
}

/// Options that give the recipe of the frames.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct RecipeArgs {
    /// The recipe in TOML, and the file that it was read from, if there is one.
    recipe: Option<(Option<PathBuf>, String)>,
    recipe_of: Option<PathBuf>,
    channels: Option<u32>,
    crop_time: Option<i64>,
    time_window: Option<i64>,
}

/// How the set is written.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct WriteArgs {
    limit: Option<u64>,
    level: Option<i32>,
    chunk_samples: Option<u32>,
    shard_size: Option<String>,
    threads: Option<usize>,
    resume: Option<String>,
    overwrite: bool,
    lenient: bool,
    max_loss: Option<f64>,
    quiet: bool,
}

impl EventArgs {
    pub(crate) fn options(self) -> PyResult<SourceOptions> {
        if self.origin > 1 {
            return Err(refused("origin", "0 or 1", self.origin));
        }
        Ok(SourceOptions {
            origin: self.origin,
            time_unit: parsed::<TimeUnit>("time_unit", self.time_unit.as_ref())?,
            sensor: parsed::<SensorSize>("sensor", self.sensor.as_ref())?,
            unwrap: self.unwrap,
            allow_clock_trouble: self.allow_clock_trouble,
            classes: self.class_names.map(ClassList::of_names).transpose().map_err(prep_exception)?,
            ..SourceOptions::default()
        })
    }
}

impl SourceArgs {
    /// Returns the recordings to open and the options for opening them. If the user has named a data set, finds its
    /// recordings. `events` are the options for reading events.
    pub(crate) fn resolve(
        mut self,
        py: Python<'_>,
        inputs: Vec<PathBuf>,
        events: SourceOptions,
    ) -> PyResult<(Vec<PathBuf>, SourceOptions)> {
        let (dataset, split) = (self.dataset.take(), self.split.take());
        let options = self.options(py, events)?;
        match dataset {
            Some(dataset) => {
                let find = || dataset_source(&dataset, split.as_deref(), &inputs, options);
                py.detach(find).map_err(prep_exception)
            }
            None if split.is_some() => Err(refused("split", "none without `dataset`", split.unwrap_or_default())),
            None => Ok((inputs, options)),
        }
    }

    fn options(self, py: Python<'_>, events: SourceOptions) -> PyResult<SourceOptions> {
        let duration = self.sample_duration.map(|text| {
            let time = TimeUnit::Microseconds.read(&text).ok().filter(|&time| time > 0);
            time.ok_or_else(|| refused("sample_duration", "microseconds, or a time such as 100ms or 1s", &text))
        });
        if self.sample_events == Some(0) {
            return Err(refused("sample_events", "1 or more", 0));
        }
        let cut = Cut::of(duration.transpose()?, self.sample_events, self.sample_overlap.as_deref());
        let class_list = match (self.classes_file, self.classes_of) {
            (Some(file), _) => Some(ClassList::read(&file)),
            (None, Some(set)) => Some(ClassList::of_set(&set, &description(py, &set)?)),
            (None, None) => None,
        };
        let train = match self.digits.as_str() {
            "train" => true,
            "test" => false,
            digits => return Err(refused("digits", "train or test", digits)),
        };
        let options = SourceOptions {
            layout: parsed("layout", self.layout.as_ref())?,
            map: parsed("map", self.map.as_ref())?,
            columns: parsed("columns", self.columns.as_ref())?,
            flip_y: self.flip_y,
            to_zero: self.to_zero,
            topic: self.topic,
            events: parsed("events", self.events.as_ref())?,
            cut: cut.map_err(prep_exception)?,
            labels: match (self.label, self.labels) {
                (Some(name), _) => LabelSource::One(name),
                (None, Some(table)) => LabelSource::Csv(table),
                (None, None) => LabelSource::Own,
            },
            classes: class_list.transpose().map_err(prep_exception)?.or(events.classes),
            class_level: self.class_level.map(usize::from),
            digits: Digits { train, single: self.single_digits },
            ..events
        };
        options.check().map_err(prep_exception)?;
        Ok(options)
    }
}

impl RecipeArgs {
    fn choice(self, py: Python<'_>) -> PyResult<RecipeChoice> {
        Ok(match (self.recipe, self.recipe_of) {
            (Some((path, text)), _) => {
                RecipeChoice::Recipe(Recipe::parse(path.as_deref(), &text).map_err(prep_exception)?)
            }
            (None, Some(place)) => {
                let description = description(py, &place)?;
                RecipeChoice::Of(place, Box::new(description))
            }
            (None, None) => RecipeChoice::Usual {
                channels: self.channels,
                crop_time: self.crop_time,
                time_window: self.time_window,
            },
        })
    }
}

impl WriteArgs {
    /// Whether only warnings are shown.
    pub(crate) fn quiet(&self) -> bool {
        self.quiet
    }

    /// Whether events outside the sensor are left out.
    pub(crate) fn lenient(&self) -> bool {
        self.lenient
    }

    /// What to do if the set exists already.
    pub(crate) fn existing(&self) -> PyResult<Existing> {
        match (self.resume.as_deref(), self.overwrite) {
            (Some("unfinished"), _) => Ok(Existing::Resume),
            (Some("auto"), _) => Ok(Existing::Auto),
            (Some(other), _) => Err(refused("resume", "True, False or auto", other)),
            (None, true) => Ok(Existing::Overwrite),
            (None, false) => Ok(Existing::Refuse),
        }
    }

    pub(crate) fn conversion(
        self,
        py: Python<'_>,
        inputs: Vec<PathBuf>,
        output: PathBuf,
        source: SourceOptions,
        recipe: RecipeArgs,
    ) -> PyResult<Conversion> {
        let in_range = |what: &str, n: u64, most: u64| match n {
            _ if (1..=most).contains(&n) => Ok(()),
            n => Err(refused(what, &format!("1 to {most}"), n)),
        };
        in_range("limit", self.limit.unwrap_or(1), u64::MAX)?;
        in_range("chunk_samples", self.chunk_samples.unwrap_or(1).into(), MAX_CHUNK_SAMPLES.into())?;
        in_range("threads", self.threads.unwrap_or(1) as u64, 1024)?;
        if let Some(share) = self.max_loss.filter(|share| !(0.0..=1.0).contains(share)) {
            return Err(refused("max_loss", "a share from 0 to 1", share));
        }
        let shard_size = self.shard_size.as_deref().unwrap_or(SHARD_SIZE);
        Ok(Conversion {
            inputs,
            source: SourceOptions { lenient: self.lenient, ..source },
            recipe: recipe.choice(py)?,
            limit: self.limit,
            part: None,
            threads: self.threads.unwrap_or_else(cores),
            level: self.level.unwrap_or(LEVEL),
            chunk_samples: self.chunk_samples,
            shard_bytes: parse_bytes(shard_size)
                .map_err(|_| refused("shard_size", "bytes, or a size such as 64M, 512k or 1G", shard_size))?,
            existing: self.existing()?,
            lenient: self.lenient,
            max_loss: self.max_loss,
            command: Vec::new(),
            verbosity: if self.quiet { Verbosity::Quiet } else { Verbosity::Normal },
            output,
        })
    }
}

/// Reads the description of a set, which may be at a URL, with the GIL released.
fn description(py: Python<'_>, place: &Path) -> PyResult<SetDescription> {
    py.detach(|| description_of(place)).map_err(exception)
}

/// Parses the value of an option.
fn parsed<T: FromStr<Err: Display>>(what: &str, text: Option<&String>) -> PyResult<Option<T>> {
    let Some(text) = text else { return Ok(None) };
    text.parse().map(Some).map_err(|error: T::Err| {
        let reason = error.to_string();
        refused(what, reason.strip_prefix("expected ").unwrap_or(&reason), text)
    })
}
