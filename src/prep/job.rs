//! What a conversion is going to do, settled before the first byte is written: which samples, by which recipe, into
//! chunks and shards of which size, how large it will be and whether that fits the disk.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};

use super::chunks::{ChunkFailure, ChunkMaker};
use super::events::SensorSize;
use super::inputs::Inputs;
use super::plan::Plan;
use super::source::SourceOptions;
use super::transform::Recipe;
use crate::error::{Error, Result};
use crate::frames::{Width, Widths};
use crate::progress::{Verbosity, human_bytes};
use crate::shard::codec::Encoder;
use crate::shard::manifest::{Manifest, SetDescription, Source, Tool};
use crate::shard::part::Part;
use crate::shard::writer::Existing;

/// The default zstd level. Packed entries leave little to find: level 3 takes 1% more room and four times as long, level
/// 19 takes 3% less and a hundred times as long.
pub const LEVEL: i32 = 1;
/// The channels that a cochlea's are downsampled to, where it has more.
const CHANNELS: u32 = 100;
/// The time up to which a cochlea's events are kept, in microseconds.
const CROP_TIME: i64 = 1_000_000;
/// Microseconds a frame, of a cochlea and of a camera.
const TIME_WINDOWS: [i64; 2] = [4_000, 10_000];
/// An estimate makes so many samples at each of so many places.
const ESTIMATE_SAMPLES: u64 = 16;
const ESTIMATE_PLACES: u64 = 4;

/// What to convert, and how.
#[derive(Clone, Debug)]
pub struct Conversion {
    /// The recordings, in order.
    pub inputs: Vec<PathBuf>,
    /// The set's directory.
    pub output: PathBuf,
    /// What is done to every sample.
    pub recipe: RecipeChoice,
    /// What is known of the recordings beside the files.
    pub source: SourceOptions,
    /// The first so many samples only.
    pub limit: Option<u64>,
    /// A contiguous share of the chunks only, to be merged with the others.
    pub part: Option<Part>,
    /// Worker threads.
    pub threads: usize,
    /// zstd level.
    pub level: i32,
    /// Samples a chunk, instead of the plan's choice.
    pub chunk_samples: Option<u32>,
    /// Bytes a shard, about.
    pub shard_bytes: u64,
    /// What to do about a set that is there already.
    pub existing: Existing,
    /// Count events outside the sensor instead of refusing them.
    pub lenient: bool,
    /// Bars and lines.
    pub verbosity: Verbosity,
}

/// Where a conversion's recipe comes from.
#[derive(Clone, Debug)]
pub enum RecipeChoice {
    /// A recipe as it is.
    Recipe(Recipe),
    /// The recipe of the set in this directory, whose frames the new set's must match.
    Of(PathBuf),
    /// The usual one for the sensor, with what is given instead of its defaults. A cochlea of more than 100 channels is
    /// downsampled to 100, its first second kept, and framed every 4 ms; a camera is framed every 10 ms.
    Usual {
        /// Channels to downsample to.
        channels: Option<u32>,
        /// The last time that is kept, in microseconds.
        crop_time: Option<i64>,
        /// Microseconds a frame.
        time_window: Option<i64>,
    },
}

impl RecipeChoice {
    fn settle(&self, sensor: SensorSize) -> Result<Recipe> {
        match self {
            RecipeChoice::Recipe(recipe) => Ok(recipe.clone()),
            RecipeChoice::Of(dir) => {
                let description = Manifest::read(dir)?.description;
                let recipe = Recipe::parse(Some(dir), &description.recipe)?;
                let made = recipe.frames.shape(recipe.sensor_after(sensor));
                if made != description.shape {
                    let got = format!("{made}, of a sensor of {sensor}");
                    let expected = format!("frames of {}, as {} has", description.shape, dir.display());
                    return Err(Error::usage("--recipe-of", expected, got));
                }
                Ok(recipe)
            }
            RecipeChoice::Usual { channels, crop_time, time_window } => {
                let cochlea = sensor.height == 1;
                match channels {
                    Some(n) if *n > sensor.width => {
                        return Err(Error::usage("--channels", format!("at most the sensor's {}", sensor.width), n));
                    }
                    Some(n) if !cochlea => {
                        let expected = "a cochlea; a recipe with Downsample makes a camera's frames smaller";
                        return Err(Error::usage("--channels", expected, format!("{n} for a sensor of {sensor}")));
                    }
                    _ => {}
                }
                let channels = channels.or((cochlea && sensor.width > CHANNELS).then_some(CHANNELS));
                let crop_time = crop_time.or(cochlea.then_some(CROP_TIME));
                let time_window = time_window.unwrap_or(TIME_WINDOWS[usize::from(!cochlea)]);
                Ok(Recipe::of(sensor, channels, crop_time, time_window))
            }
        }
    }
}

/// A conversion whose recordings are open and whose recipe is known.
#[derive(Debug)]
pub struct Job<'a> {
    /// What was asked for.
    pub conversion: &'a Conversion,
    /// The recordings.
    pub inputs: Inputs,
    /// What is done to every sample.
    pub recipe: Recipe,
    plan: Plan,
}

/// What a conversion will take, judged by a few of its samples.
#[derive(Clone, Copy, Debug)]
pub struct Estimate {
    /// Samples.
    pub samples: u64,
    /// Events a sample.
    pub events_per_sample: f64,
    /// Bytes of the set.
    pub bytes: u64,
    /// Seconds, once the recordings are in the system's page cache.
    pub seconds: f64,
    /// Free bytes where the set goes, if the system says.
    pub free: Option<u64>,
}

impl Estimate {
    /// As one JSON object.
    pub fn json(&self, job: &Job<'_>) -> Value {
        json!({
            "samples": self.samples, "events_per_sample": self.events_per_sample, "stored_bytes": self.bytes,
            "seconds": self.seconds, "free_bytes": self.free, "recipe": job.recipe.to_toml(),
        })
    }

    /// For people.
    pub fn text(&self, job: &Job<'_>) -> String {
        let (bytes, output) = (human_bytes(self.bytes), job.conversion.output.display());
        let free = self.free.map_or(String::new(), |free| format!("{} free at {output}\n", human_bytes(free)));
        format!(
            "{} samples of about {:.0} events\nabout {bytes} and {:.1} s\n{free}\nrecipe\n  {}\n",
            self.samples,
            self.events_per_sample,
            self.seconds,
            job.recipe.to_toml().trim().replace('\n', "\n  ")
        )
    }
}

impl<'a> Job<'a> {
    /// Opens the recordings and settles the recipe.
    ///
    /// # Errors
    /// Those of opening and of the recipe; [`Error::Usage`] for a level that zstd has not.
    pub fn open(conversion: &'a Conversion) -> Result<Job<'a>> {
        Encoder::new(conversion.level)?;
        let mut inputs = Inputs::open(&conversion.inputs, &conversion.source)?;
        if let Some(limit) = conversion.limit {
            inputs.keep(0..limit);
        }
        let recipe = conversion.recipe.settle(inputs.sensor)?;
        recipe.check_sensor(inputs.sensor)?;
        let plan = Plan::new(inputs.samples(), inputs.bytes()?, conversion.chunk_samples, conversion.shard_bytes);
        let job = Job { conversion, inputs, recipe, plan };
        let chunks = job.chunks();
        if let Some(part) = conversion.part.filter(|part| u64::from(part.of) > chunks) {
            return Err(Error::usage("--part", format!("at most {chunks} parts, a chunk each"), part));
        }
        Ok(job)
    }

    /// The set that it makes, with counts of this width. A part's is a share of the whole's.
    pub fn describe(&self, sources: Vec<Source>, counts: Width) -> SetDescription {
        let Job { conversion, inputs, recipe, plan } = self;
        let shape = recipe.frames.shape(recipe.sensor_after(inputs.sensor));
        let text = recipe.to_toml();
        let whole = SetDescription {
            samples: inputs.samples(),
            chunk_samples: plan.chunk_samples,
            shard_chunks: plan.shard_chunks,
            shape,
            widths: Widths::of(shape, counts),
            recipe_id: SetDescription::recipe_id(shape, &text, &inputs.classes, &inputs.extras),
            recipe: text,
            classes: inputs.classes.clone(),
            extras: inputs.extras.clone(),
            frame_limit: recipe.frame_limit(inputs.sensor),
            sources,
            tool: Tool::this(conversion.level),
            part: None,
        };
        match conversion.part {
            Some(part) => whole.into_part(part),
            None => whole,
        }
    }

    /// A worker of it.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub fn maker<'b>(&'b self, description: &'b SetDescription) -> Result<ChunkMaker<'b>> {
        let first = self.conversion.part.map_or(0, |part| part.chunks(self.chunks()).start);
        let first_sample = first * u64::from(self.plan.chunk_samples);
        ChunkMaker::new(&self.inputs, &self.recipe, description, first_sample, self.conversion.lenient)
    }

    /// Chunks of the whole set.
    fn chunks(&self) -> u64 {
        self.inputs.samples().div_ceil(self.plan.chunk_samples.into())
    }

    /// Converts a few samples in memory and extrapolates.
    ///
    /// # Errors
    /// Every fault of those samples.
    pub fn estimate(&self) -> Result<Estimate> {
        let samples = self.describe(Vec::new(), self.recipe.frames.values()).samples;
        let mut counts = self.recipe.frames.values();
        loop {
            let description = self.describe(Vec::new(), counts);
            let mut maker = self.maker(&description)?;
            let (mut made, mut bytes, mut events) = (0_u64, 0_u64, 0_u64);
            let started = Instant::now();
            let mut failure = None;
            for place in 0..ESTIMATE_PLACES {
                let start = samples * place / ESTIMATE_PLACES;
                let end = (start + ESTIMATE_SAMPLES.min(description.chunk_samples.into())).min(samples);
                match maker.make_samples(start / u64::from(description.chunk_samples), start..end) {
                    Ok((chunk, encoded)) => {
                        made += end - start;
                        bytes += encoded.stored.len() as u64;
                        events += chunk.table.ledgers.iter().map(|ledger| ledger.events_in).sum::<u64>();
                    }
                    Err(ChunkFailure::TooNarrow(count)) => failure = Some(count),
                    Err(ChunkFailure::Error(error)) => return Err(error),
                }
            }
            if let Some(count) = failure {
                counts = Width::holding(count);
                continue;
            }
            let scale = samples as f64 / made.max(1) as f64;
            return Ok(Estimate {
                samples,
                events_per_sample: events as f64 / made.max(1) as f64,
                bytes: (bytes as f64 * scale) as u64,
                seconds: started.elapsed().as_secs_f64() * scale / self.conversion.threads as f64,
                free: free_space(&self.conversion.output),
            });
        }
    }

    /// Refuses a disk on which the set has no room. What is there already of a set that is resumed counts as room.
    ///
    /// # Errors
    /// [`Error::NoSpace`]; every fault of the samples that the estimate looks at.
    pub fn check_space(&self) -> Result<()> {
        let output = &self.conversion.output;
        let Some(free) = free_space(output) else { return Ok(()) };
        // Counts take a fraction of the recordings' room: where that is there, no sample need be looked at.
        let counts = self.recipe.frames.values() != Width::F32 && !self.recipe.frames.overlaps();
        if counts && free > self.inputs.bytes()?.saturating_mul(2) {
            return Ok(());
        }
        let there = crate::publish::bytes_in(output);
        let needed = self.estimate()?.bytes;
        if needed > free.saturating_add(there) {
            let (needed, free) = (human_bytes(needed), human_bytes(free));
            return Err(Error::NoSpace { path: output.clone(), needed, free });
        }
        Ok(())
    }
}

/// Free bytes on the disk where `path` is, or will be.
fn free_space(path: &Path) -> Option<u64> {
    #[cfg(unix)]
    {
        let absolute = std::path::absolute(path).ok()?;
        let there = absolute.ancestors().find(|path| path.exists())?;
        let disk = rustix::fs::statvfs(there).ok()?;
        Some(disk.f_bavail.saturating_mul(disk.f_frsize))
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        None
    }
}
