//! Plans a conversion before the first byte is written. Determines the samples, the recipe, and the sizes of chunks and
//! shards. Estimates the size of the set and compares it with the free disk space.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Instant;
use tonic_base::{Error as BaseError, Verbosity, free_memory, free_space, human_bytes, in_order, printable};

use serde_json::{Value, json};

use crate::convert::causes::{NOTABLE, Setting, left_out_warnings, loss_notes};
use crate::convert::chunks::{ChunkFailure, ChunkMaker};
use crate::convert::inputs::Inputs;
use crate::convert::limit::{Excess, check_left_out};
use crate::convert::loss::Losses;
use crate::convert::memory::check_memory;
use crate::convert::plan::Plan;
use crate::error::{BaseFault, Error, Result};
use crate::recipe::Recipe;
use crate::source::{Layout, LinkedPath, SourceOptions};
use tonic_shard::{Encoder, Existing, KEPT, Ledger, Manifest, Part, SetDescription, SourceFile, Tool, Width, Widths};

/// The default zstd level. Packed entries are already small. Compared with level 1, level 3 takes 4 times as long and
/// gives 1% larger files. Level 19 takes 100 times as long and gives 3% smaller files.
pub const LEVEL: i32 = 1;
/// Default number of channels to which a cochlea with more channels is downsampled.
const CHANNELS: u32 = 100;
/// Default time after which a cochlea's events are dropped, in microseconds.
const CROP_TIME: i64 = 1_000_000;
/// Default durations of a frame in microseconds: of a cochlea, and of a camera.
const TIME_WINDOWS: [i64; 2] = [4_000, 10_000];
/// An estimate converts this many consecutive samples at each of `ESTIMATE_PLACES` places.
const ESTIMATE_SAMPLES: u64 = 16;
const ESTIMATE_PLACES: u64 = 4;

/// The settings of a conversion.
#[derive(Clone, Debug)]
pub struct Conversion {
    /// Paths of the recordings, in order.
    pub inputs: Vec<PathBuf>,
    /// Directory of the new set.
    pub output: PathBuf,
    /// Where the recipe comes from.
    pub recipe: RecipeChoice,
    /// Options for opening the recordings.
    pub source: SourceOptions,
    /// Maximum number of samples. Only the first samples are converted. `None` converts all.
    pub limit: Option<u64>,
    /// The part of the set to convert, which is a range of its chunks. The parts can be merged later. `None` converts
    /// the whole set.
    pub part: Option<Part>,
    /// Number of worker threads.
    pub threads: usize,
    /// zstd compression level.
    pub level: i32,
    /// Samples per chunk. `None` means 64, or fewer if the samples are large.
    pub chunk_samples: Option<u32>,
    /// Approximate bytes per shard.
    pub shard_bytes: u64,
    /// What to do if the set exists already.
    pub existing: Existing,
    /// Whether events outside the sensor are left out and counted. If false, such an event is an error.
    pub lenient: bool,
    /// The largest share of the events, 0 to 1, that may be lost. The events that are lost by the table of labels, the
    /// range of events, bad times, the sensor's bounds, CropTime and slicing are added up. If more events are lost, the
    /// conversion fails and leaves the set incomplete. `None` is no limit.
    pub max_loss: Option<f64>,
    /// The command that converts `part`, as a list of words, without the output directory and the number of the part.
    /// It is stored in the part's manifest. If a merge lacks another part, the user is shown how to make it. Not used
    /// for a whole set.
    pub command: Vec<String>,
    /// How much progress and information is printed.
    pub verbosity: Verbosity,
}

/// Where a conversion's recipe comes from.
#[derive(Clone, Debug)]
pub enum RecipeChoice {
    /// A recipe that the caller gives.
    Recipe(Recipe),
    /// The recipe of the set in this directory. The frames of the new set must have the same shape as in that set.
    Of(PathBuf),
    /// The default recipe for the sensor, changed by the values that are given here. By default, a cochlea with more
    /// than 100 channels is downsampled to 100, events after the first second are dropped, and a frame is 4 ms. For a
    /// camera, a frame is 10 ms.
    Usual {
        /// Number of channels to downsample a cochlea to.
        channels: Option<u32>,
        /// Time after which events are dropped, in microseconds.
        crop_time: Option<i64>,
        /// Microseconds per frame.
        time_window: Option<i64>,
    },
}

impl RecipeChoice {
    fn settle(&self, inputs: &Inputs) -> Result<Recipe> {
        let sensor = inputs.sensor;
        match self {
            RecipeChoice::Recipe(recipe) => Ok(recipe.clone()),
            RecipeChoice::Of(dir) => {
                let description = Manifest::read(dir)?.description;
                let recipe = Recipe::parse(Some(dir), &description.recipe)?;
                let made = recipe.frames.shape(recipe.sensor_after(sensor));
                if made != description.shape {
                    let got = format!("{made}, of a sensor of {sensor}");
                    let expected = format!("frames of {}, as {} has", description.shape, dir.display());
                    return Err(Error::usage("recipe_of", expected, got));
                }
                Ok(recipe)
            }
            RecipeChoice::Usual { channels, crop_time, time_window } => {
                let cochlea = inputs.cochlea;
                match channels {
                    Some(n) if *n > sensor.width => {
                        return Err(Error::usage("channels", format!("at most the sensor's {}", sensor.width), n));
                    }
                    Some(n) if !cochlea => {
                        let expected = "a cochlea; a recipe with Downsample makes a camera's frames smaller";
                        return Err(Error::usage("channels", expected, format!("{n} for a sensor of {sensor}")));
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

/// A planned conversion: the recordings are open and the recipe is known.
#[derive(Debug)]
pub struct Job<'a> {
    /// The settings of the conversion.
    pub conversion: &'a Conversion,
    /// The open recordings.
    pub inputs: Inputs,
    /// The recipe that is applied to every sample.
    pub recipe: Recipe,
    plan: Plan,
    /// Whether the manifest of a part lists all recordings of the whole set, as earlier versions did, and not only
    /// those that its samples come from.
    lists_all: bool,
}

/// Estimated size and duration of a conversion, extrapolated from a few samples that were converted in memory.
#[derive(Clone, Debug)]
pub struct Estimate {
    /// Number of samples.
    pub samples: u64,
    /// Mean number of events per sample.
    pub events_per_sample: f64,
    /// Size of the set in bytes.
    pub bytes: u64,
    /// Duration in seconds, if the recordings are in the page cache.
    pub seconds: f64,
    /// Free bytes on the output disk, if the system reports them.
    pub free: Option<u64>,
    /// Sum of the ledgers of the samples that were converted for the estimate.
    pub ledger: Ledger,
    losses: Losses,
    /// Number of samples that were converted for the estimate.
    looked_at: u64,
}

impl Estimate {
    /// Returns the estimate as one JSON object, with `notes` for the user in it.
    pub fn json(&self, job: &Job<'_>, notes: &[String]) -> Value {
        json!({
            "samples": self.samples, "events_per_sample": self.events_per_sample, "stored_bytes": self.bytes,
            "seconds": self.seconds, "free_bytes": self.free, "recipe": job.recipe.to_toml(),
            "layout": Layout::names(&job.inputs.layouts), "columns": job.inputs.columns.json(),
            "sample_ledger": self.ledger, "notes": notes,
        })
    }

    /// Returns the estimate as text for people.
    pub fn text(&self, job: &Job<'_>) -> String {
        let output = job.conversion.output.display().to_string();
        let (bytes, output) = (human_bytes(self.bytes), printable(&output));
        let free = self.free.map_or(String::new(), |free| format!("{} free at {output}\n", human_bytes(free)));
        let columns = job.inputs.columns.text();
        let columns = printable(&columns);
        format!(
            "columns: {columns}\n{} samples of about {:.0} events\nabout {bytes} and {:.1} s\n{free}\nrecipe\n  {}\n",
            self.samples,
            self.events_per_sample,
            self.seconds,
            job.recipe.to_toml().trim().replace('\n', "\n  ")
        )
    }
}

impl<'a> Job<'a> {
    /// Opens the recordings and determines the recipe.
    ///
    /// # Errors
    /// Errors of opening and of the recipe; [`Error::TooMuchLost`] if the table of labels or the range of events leaves
    /// out too much; [`tonic_base::Error::Usage`] for a level that zstd doesn't have, and for more parts than chunks.
    pub fn open(conversion: &'a Conversion) -> Result<Job<'a>> {
        Encoder::new(conversion.level)?;
        let mut inputs = Inputs::open(&conversion.inputs, &conversion.source)?;
        if let Some(limit) = conversion.limit {
            inputs.keep(0..limit);
        }
        check_left_out(&conversion.output, conversion.max_loss, &inputs)?;
        let recipe = conversion.recipe.settle(&inputs)?;
        recipe.check_sensor(inputs.sensor)?;
        let Conversion { chunk_samples, shard_bytes, .. } = *conversion;
        let plan = Plan::new(inputs.samples(), inputs.events()?, inputs.sensor, chunk_samples, shard_bytes);
        let mut job = Job { conversion, inputs, recipe, plan, lists_all: false };
        let chunks = job.chunks();
        if let Some(part) = conversion.part.filter(|part| u64::from(part.of) > chunks) {
            return Err(Error::usage("part", format!("at most {chunks} parts, a chunk each"), part));
        }
        let Job { inputs, recipe, .. } = &job;
        let note = check_memory(inputs, job.own_samples(), recipe, conversion.threads, free_memory())?;
        job.inputs.notes.extend(note);
        Ok(job)
    }

    /// Returns the samples that this conversion makes, as indices in the whole set: all samples, or those of its part.
    pub(super) fn own_samples(&self) -> Range<u64> {
        self.conversion.part.map_or(0..self.inputs.samples(), |part| self.samples_of(part))
    }

    /// Returns the samples of a part, as indices in the whole set.
    pub(super) fn samples_of(&self, part: Part) -> Range<u64> {
        let chunks = part.chunks(self.chunks());
        let sample = |chunk: u64| (chunk * u64::from(self.plan.chunk_samples)).min(self.inputs.samples());
        sample(chunks.start)..sample(chunks.end)
    }

    /// Adapts this job to the unfinished set that `begun` describes, if an earlier version began it. Earlier versions
    /// chose the sizes of chunks and shards by the sizes of the files, and listed all recordings in each part.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`].
    pub(super) fn resume(&mut self, begun: &SetDescription) -> Result<()> {
        let Conversion { chunk_samples, shard_bytes, .. } = *self.conversion;
        let earlier = Plan::of_bytes(self.inputs.samples(), self.inputs.bytes()? as f64, chunk_samples, shard_bytes);
        if earlier == (Plan { chunk_samples: begun.chunk_samples, shard_chunks: begun.shard_chunks }) {
            self.plan = earlier;
        }
        self.lists_all = begun.part.is_some() && begun.sources.iter().any(|source| source.first_sample.is_none());
        Ok(())
    }

    /// Hashes the recordings that the samples of this conversion come from. If an earlier version of this program began
    /// the conversion of a part, hashes all recordings.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`].
    pub(super) fn hash(&self) -> Result<Vec<SourceFile>> {
        let own = self.own_samples();
        let listed = if self.lists_all { 0..self.inputs.samples() } else { own.clone() };
        let mut sources = self.inputs.hash(&listed, self.conversion.verbosity)?;
        if self.conversion.part.is_none() || self.lists_all {
            let mut first = 0;
            for source in &mut sources {
                let end = first + source.samples;
                source.samples = end.min(own.end).saturating_sub(first.max(own.start));
                (source.first_sample, first) = (None, end);
            }
        }
        Ok(sources)
    }

    /// Returns the other files that hold data of the recordings that [`Job::hash`] hashes.
    pub(super) fn linked(&self) -> Vec<LinkedPath> {
        let all = 0..self.inputs.samples();
        self.inputs.linked(&if self.lists_all { all } else { self.own_samples() })
    }

    /// Returns the description of the set that the job makes. `counts` is the width of the set's count column. If the
    /// conversion makes only a part, the description is that of the part.
    pub fn describe(&self, sources: Vec<SourceFile>, counts: Width) -> SetDescription {
        let Job { conversion, inputs, recipe, plan, .. } = self;
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
            linked_files: Vec::new(),
            tool: Tool::this(conversion.level),
            part: None,
        };
        match conversion.part {
            Some(part) => whole.into_part(part),
            None => whole,
        }
    }

    /// Makes a chunk maker for the set. Each thread needs a chunk maker of its own.
    ///
    /// # Errors
    /// Errors of [`ChunkMaker::new`].
    pub fn maker<'b>(&'b self, description: &'b SetDescription) -> Result<ChunkMaker<'b>> {
        let first = self.own_samples().start;
        ChunkMaker::new(&self.inputs, &self.recipe, description, first, self.conversion.lenient)
    }

    /// Number of chunks of the whole set.
    pub(super) fn chunks(&self) -> u64 {
        self.inputs.samples().div_ceil(self.plan.chunk_samples.into())
    }

    /// Returns notes for the user about what a conversion lost and why. Names of parameters are in backticks. A note
    /// about a large loss that the recipe does not ask for begins with `warning: `.
    ///
    /// # Errors
    /// [`Error::TooMuchLost`]; errors of reading a sample again.
    pub(super) fn judge(&self, description: &SetDescription, mut losses: Losses) -> Result<Vec<String>> {
        let unclear = losses.take_unclear();
        in_order(
            0..unclear.len() as u64,
            self.conversion.threads,
            KEPT,
            || self.maker(description),
            |maker, i| {
                let (sample, ledger) = unclear[i as usize];
                Ok((sample, ledger, maker.lost_again(sample, &ledger)?.to_vec()))
            },
            |(sample, ledger, lost)| {
                losses.add(sample, &ledger, &lost);
                Ok(())
            },
        )?;
        self.loss_notes(description, &losses, "", true)
    }

    /// Returns notes for the user about how the recordings were opened, and about what a conversion would lose and why.
    /// Losses are judged by the samples of `estimate`.
    ///
    /// # Errors
    /// [`Error::TooMuchLost`]; errors of reading a sample again.
    pub fn foretell(&self, estimate: &Estimate) -> Result<Vec<String>> {
        let description = self.describe(Vec::new(), self.recipe.frames.values());
        let scope = match estimate.looked_at {
            all if all == estimate.samples => String::new(),
            some => format!(" (of {some} samples that were looked at)"),
        };
        let mut notes = self.inputs.notes.clone();
        notes.extend(self.loss_notes(&description, &estimate.losses, &scope, false)?);
        Ok(notes)
    }

    fn loss_notes(
        &self,
        description: &SetDescription,
        losses: &Losses,
        scope: &str,
        converted: bool,
    ) -> Result<Vec<String>> {
        let setting = Setting {
            recipe: &self.recipe,
            usual: matches!(self.conversion.recipe, RecipeChoice::Usual { .. }),
            layout: self.inputs.layout,
            cut: self.conversion.source.cut,
        };
        // The samples counted here may be a few of all: what is left out has the same part in them as in all.
        let (left, all) = self.inputs.left_out()?;
        let left = (left as f64 / (all - left).max(1) as f64 * losses.events as f64).round() as u64;
        let Conversion { output, max_loss, .. } = self.conversion;
        let excess = Excess::of(output, *max_loss, losses.lost() + left, losses.events + left);
        let mut notes = left_out_warnings(&self.inputs, if excess.is_some() { 0.0 } else { NOTABLE })?;
        notes.extend(loss_notes(losses, setting, &mut self.maker(description)?, scope, excess.is_some())?);
        match excess {
            Some(excess) => Err(excess.error(&notes, converted)),
            None => Ok(notes),
        }
    }

    /// Estimates the size and the duration of the conversion. Converts a few samples in memory and extrapolates.
    ///
    /// # Errors
    /// Errors of converting these samples.
    pub fn estimate(&self) -> Result<Estimate> {
        let samples = self.describe(Vec::new(), self.recipe.frames.values()).samples;
        let mut counts = self.recipe.frames.values();
        loop {
            let description = self.describe(Vec::new(), counts);
            let mut maker = self.maker(&description)?;
            let (mut made, mut bytes, mut ledger) = (0_u64, 0_u64, Ledger::default());
            let started = Instant::now();
            let mut failure = None;
            let mut looked_at = 0;
            for place in 0..ESTIMATE_PLACES {
                let start = (samples * place / ESTIMATE_PLACES).max(looked_at);
                let end = (start + ESTIMATE_SAMPLES.min(description.chunk_samples.into())).min(samples);
                looked_at = end;
                if start == end {
                    continue;
                }
                match maker.make_samples(start / u64::from(description.chunk_samples), start..end) {
                    Ok((totals, encoded)) => {
                        made += end - start;
                        bytes += encoded.stored.len();
                        ledger += totals.ledger;
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
                events_per_sample: ledger.events_in as f64 / made.max(1) as f64,
                bytes: (bytes as f64 * scale) as u64,
                seconds: started.elapsed().as_secs_f64() * scale / self.conversion.threads as f64,
                free: free_space(&self.conversion.output),
                ledger,
                losses: maker.take_losses(),
                looked_at: made,
            });
        }
    }

    /// Checks that the disk has room for the set. Space that the output directory already uses counts as free.
    ///
    /// # Errors
    /// [`tonic_base::Error::NoSpace`]; errors of [`Job::estimate`].
    pub fn check_space(&self) -> Result<()> {
        let output = &self.conversion.output;
        let Some(free) = free_space(output) else { return Ok(()) };
        // A set of counts is much smaller than its recordings. If there is room for the recordings, skip the estimate.
        let counts = self.recipe.frames.values() != Width::F32 && !self.recipe.frames.overlaps();
        if counts && free > self.inputs.bytes()?.saturating_mul(2) {
            return Ok(());
        }
        let there = tonic_base::bytes_in(output);
        let needed = self.estimate()?.bytes;
        if needed > free.saturating_add(there) {
            let (needed, free) = (human_bytes(needed), human_bytes(free));
            return Err(BaseError::NoSpace { path: output.clone(), needed, free }.into());
        }
        Ok(())
    }
}
