//! Plans a conversion before the first byte is written: the samples, the recipe, and the sizes of chunks and shards.

use std::ops::Range;
use std::time::{Duration, Instant};

use tonic_base::{free_memory, in_order};
use tonic_shard::{Encoder, KEPT, Part, SetDescription, SourceFile, Tool, Width, Widths};

use crate::convert::added::AddedSamples;
use crate::convert::causes::{NOTABLE, Setting, left_out_warnings, loss_notes};
use crate::convert::chunk_sizes::ChunkSizes;
use crate::convert::chunks::ChunkMaker;
use crate::convert::conversion::{Conversion, RecipeChoice};
use crate::convert::inputs::Inputs;
use crate::convert::limit::{Excess, check_left_out};
use crate::convert::loss::Losses;
use crate::convert::memory::check_memory;
use crate::convert::opening;
use crate::error::{BaseFault, Error, Result};
use crate::recipe::Recipe;
use crate::source::LinkedPath;

/// A planned conversion: the recordings are open and the recipe is known.
#[derive(Debug)]
pub struct Job<'a> {
    /// The settings of the conversion.
    pub conversion: &'a Conversion,
    /// The open recordings.
    pub inputs: Inputs,
    /// The recipe that is applied to every sample.
    pub recipe: Recipe,
    sizes: ChunkSizes,
    /// How long it took to open the recordings.
    pub(super) opening: Duration,
    /// Whether the manifest of a part lists the recordings of the whole set, as in earlier versions.
    lists_all: bool,
}

impl<'a> Job<'a> {
    /// Opens the recordings and determines the recipe.
    ///
    /// # Errors
    /// - Errors of opening and of the recipe.
    /// - [`Error::TooMuchLost`] if the table of labels or the range of events leaves out too much.
    /// - [`tonic_base::Error::Usage`] for a level that zstd doesn't have, and for more parts than chunks.
    pub fn open(conversion: &'a Conversion) -> Result<Job<'a>> {
        let started = Instant::now();
        Encoder::new(conversion.level)?;
        let inputs = opening::open(conversion)?;
        Job::plan(conversion, inputs, started)
    }

    /// Determines the recipe for the samples that a program has added.
    pub(super) fn of_added(conversion: &'a Conversion, added: AddedSamples) -> Result<Job<'a>> {
        let started = Instant::now();
        Encoder::new(conversion.level)?;
        Job::plan(conversion, Inputs::of_added(added, &conversion.source)?, started)
    }

    fn plan(conversion: &'a Conversion, mut inputs: Inputs, started: Instant) -> Result<Job<'a>> {
        if let Some(limit) = conversion.limit {
            inputs.keep(0..limit);
        }
        check_left_out(&conversion.output, conversion.max_loss, &inputs)?;
        let recipe = conversion.recipe.settle(&inputs)?;
        recipe.check_sensor(inputs.sensor)?;
        let Conversion { chunk_samples, shard_bytes, .. } = *conversion;
        let sizes = ChunkSizes::new(inputs.samples(), inputs.events()?, inputs.sensor, chunk_samples, shard_bytes);
        let mut job = Job { conversion, inputs, recipe, sizes, opening: Duration::ZERO, lists_all: false };
        let chunks = job.chunks();
        if let Some(part) = conversion.part.filter(|part| u64::from(part.of) > chunks) {
            return Err(Error::usage("part", format!("at most {chunks} parts, a chunk each"), part));
        }
        let Job { inputs, recipe, .. } = &job;
        let note = check_memory(inputs, job.own_samples(), recipe, conversion.threads, free_memory())?;
        job.inputs.notes.extend(note);
        job.opening = started.elapsed();
        Ok(job)
    }

    /// Samples that this conversion makes, as indices in the whole set.
    pub(super) fn own_samples(&self) -> Range<u64> {
        self.conversion.part.map_or(0..self.inputs.samples(), |part| self.samples_of(part))
    }

    /// Samples of a part, as indices in the whole set.
    pub(super) fn samples_of(&self, part: Part) -> Range<u64> {
        let chunks = part.chunks(self.chunks());
        let sample = |chunk: u64| (chunk * u64::from(self.sizes.chunk_samples)).min(self.inputs.samples());
        sample(chunks.start)..sample(chunks.end)
    }

    /// Adapts the job to the unfinished set `begun`, if an earlier version of the program began this set.
    pub(super) fn resume(&mut self, begun: &SetDescription) -> Result<()> {
        let Conversion { chunk_samples, shard_bytes, .. } = *self.conversion;
        let earlier =
            ChunkSizes::of_bytes(self.inputs.samples(), self.inputs.bytes()? as f64, chunk_samples, shard_bytes);
        if earlier == (ChunkSizes { chunk_samples: begun.chunk_samples, shard_chunks: begun.shard_chunks }) {
            self.sizes = earlier;
        }
        self.lists_all = begun.part.is_some() && begun.sources.iter().any(|source| source.first_sample.is_none());
        Ok(())
    }

    /// The samples whose recordings are listed in the manifest, as indices in the whole set.
    fn listed(&self) -> Range<u64> {
        if self.lists_all { 0..self.inputs.samples() } else { self.own_samples() }
    }

    /// Returns warnings about recordings whose files have the same bytes. `sources` is the result of [`Job::hash`].
    pub(super) fn equal_files(&self, sources: &[SourceFile]) -> Vec<String> {
        self.inputs.equal_files(&self.listed(), sources)
    }

    /// Hashes the recordings that the manifest lists.
    pub(super) fn hash(&self) -> Result<Vec<SourceFile>> {
        let own = self.own_samples();
        let mut sources = self.inputs.hash(&self.listed(), self.conversion.verbosity)?;
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

    /// Returns the linked files of the recordings that [`Job::hash`] hashes. Linked files hold some of the recordings'
    /// data.
    pub(super) fn linked(&self) -> Vec<LinkedPath> {
        self.inputs.linked(&self.listed())
    }

    /// Describes the set, or the part of a set, that the job makes. `counts` is the type of the values of cells.
    pub fn describe(&self, sources: Vec<SourceFile>, counts: Width) -> SetDescription {
        let Job { conversion, inputs, recipe, sizes, .. } = self;
        let shape = recipe.frames.shape(recipe.sensor_after(inputs.sensor));
        let text = recipe.to_toml();
        let whole = SetDescription {
            samples: inputs.samples(),
            chunk_samples: sizes.chunk_samples,
            shard_chunks: sizes.shard_chunks,
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

    /// Makes a chunk maker for the set that `description` describes. Each thread needs a chunk maker of its own.
    ///
    /// # Errors
    /// Errors of [`ChunkMaker::new`].
    pub fn maker<'b>(&'b self, description: &'b SetDescription) -> Result<ChunkMaker<'b>> {
        let first = self.own_samples().start;
        ChunkMaker::new(&self.inputs, &self.recipe, description, first, self.conversion.lenient)
    }

    pub(super) fn chunk_samples(&self) -> u64 {
        self.sizes.chunk_samples.into()
    }

    /// Number of chunks of the whole set.
    pub(super) fn chunks(&self) -> u64 {
        self.inputs.samples().div_ceil(self.sizes.chunk_samples.into())
    }

    /// Returns notes for the user about what a conversion lost, and why.
    pub(super) fn judge(&self, description: &SetDescription, mut losses: Losses) -> Result<Vec<String>> {
        let unclear = losses.take_unclear();
        in_order(
            0..unclear.len() as u64,
            self.conversion.threads,
            KEPT,
            || self.maker(description),
            |maker, i| {
                let (sample, ledger) = unclear[i as usize];
                Ok((sample, ledger, maker.lost_again(sample, &ledger)?))
            },
            |(sample, ledger, lost)| {
                losses.add(sample, &ledger, &lost);
                Ok(())
            },
        )?;
        self.loss_notes(description, &losses, "", true)
    }

    pub(super) fn loss_notes(
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
        // `losses` can be the losses of a few samples only. Assume that the same share of events is left out of these
        // samples as of all samples.
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
}
