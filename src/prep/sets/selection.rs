//! Samples of sets, in an order of their own, and the set that they become.
//!
//! A chunk that comes out as it went in keeps its stored bytes; all others are made of their samples again. So a set
//! that is taken apart and joined again has the bytes that it had.

use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::prep::parallel::in_order;
use crate::progress::{Progress, Verbosity};
use crate::shard::codec::{Chunk, EncodedChunk, Encoder, NO_LABEL};
use crate::shard::manifest::{Id, Manifest, SetDescription, Source, Tool};
use crate::shard::reader::{SampleReader, ShardSet};
use crate::shard::writer::{Existing, KEPT, OutputDir, SetWriter};

/// Consecutive samples of one of several sets.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Run {
    set: usize,
    samples: Range<u64>,
}

/// Samples of open sets, in order.
#[derive(Clone, Debug)]
pub struct Selection<'a> {
    sets: &'a [ShardSet],
    runs: Vec<Run>,
    /// The number of each run's first sample in the selection, and the number of all.
    starts: Vec<u64>,
    /// For each label the one that it becomes, if labels change.
    labels: Option<Vec<u32>>,
}

impl<'a> Selection<'a> {
    /// No samples of `sets` yet.
    pub fn of(sets: &'a [ShardSet]) -> Selection<'a> {
        Selection { sets, runs: Vec::new(), starts: vec![0], labels: None }
    }

    /// Gives samples of class `i` the label `labels[i]`.
    pub fn relabel(&mut self, labels: Vec<u32>) {
        self.labels = Some(labels);
    }

    /// Appends samples of set number `set`.
    pub fn push(&mut self, set: usize, samples: Range<u64>) {
        let added = samples.end.saturating_sub(samples.start);
        match self.runs.last_mut().filter(|run| run.set == set && run.samples.end == samples.start) {
            _ if added == 0 => return,
            Some(run) => {
                run.samples.end = samples.end;
                self.starts.pop();
            }
            None => self.runs.push(Run { set, samples }),
        }
        self.starts.push(self.runs.last().map_or(0, |run| run.samples.end - run.samples.start) + self.starts_before());
    }

    /// Samples before the last run.
    fn starts_before(&self) -> u64 {
        self.starts[self.runs.len() - 1]
    }

    /// How many samples.
    pub fn len(&self) -> u64 {
        self.starts[self.runs.len()]
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sources of the samples, each file once, with the samples that are selected of it.
    ///
    /// A set's samples come from its sources in their order. (Where files were merged that had been divided among sets,
    /// which sample came from which is not known any more; their numbers still add up.)
    pub fn sources(&self) -> Vec<Source> {
        let mut sources: Vec<Source> = Vec::new();
        for run in &self.runs {
            let mut first = 0;
            for source in &self.sets[run.set].manifest().description.sources {
                let end = first + source.samples;
                let samples = end.min(run.samples.end).saturating_sub(first.max(run.samples.start));
                first = end;
                let same = |s: &&mut Source| s.blake3 == source.blake3 && s.name == source.name;
                match sources.iter_mut().find(same) {
                    _ if samples == 0 => {}
                    Some(known) => known.samples += samples,
                    None => sources.push(Source { samples, ..source.clone() }),
                }
            }
        }
        sources
    }

    /// What tells this selection from any other.
    fn id(&self) -> Id {
        let mut hash = blake3::Hasher::new();
        for set in self.sets {
            hash.update(&set.manifest().set_id.0);
        }
        for run in &self.runs {
            for number in [run.set as u64, run.samples.start, run.samples.end] {
                hash.update(&number.to_le_bytes());
            }
        }
        Id(*hash.finalize().as_bytes())
    }

    /// The selected samples `range`, as runs.
    fn within(&self, range: Range<u64>) -> impl Iterator<Item = Run> {
        let first = self.starts.partition_point(|&start| start <= range.start).saturating_sub(1);
        let runs = self.runs[first..].iter().zip(&self.starts[first..]);
        runs.take_while(move |(_, start)| **start < range.end).map(move |(run, &start)| {
            let from = run.samples.start + range.start.saturating_sub(start);
            let to = run.samples.end.min(run.samples.start + (range.end - start));
            Run { set: run.set, samples: from..to }
        })
    }
}

/// Where a set goes, and how it is written.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its directory.
    pub path: PathBuf,
    /// What to do about what is there.
    pub existing: Existing,
    /// Worker threads.
    pub threads: usize,
    /// Bars and lines.
    pub verbosity: Verbosity,
}

impl Output {
    /// Opens the directory, which must be none of the sets that are read.
    ///
    /// # Errors
    /// [`Error::Usage`] for a directory that is read, and those of [`OutputDir::open`].
    pub fn open(&self, sets: &[ShardSet]) -> Result<OutputDir> {
        let same =
            |dir: &Path| dir.canonicalize().is_ok_and(|dir| self.path.canonicalize().is_ok_and(|out| out == dir));
        if let Some(set) = sets.iter().find(|set| same(set.dir())) {
            return Err(Error::usage("OUT", "another directory than the sets that are read", set.dir().display()));
        }
        OutputDir::open(&self.path, self.existing)
    }
}

/// The tool that a set made of others names: theirs if it is one and nothing but this program's would come out.
pub fn tool_of(sets: &[ShardSet]) -> Tool {
    let this = Tool::this(sets.first().map_or(0, |set| set.manifest().description.tool.level));
    let theirs = |set: &ShardSet| set.manifest().description.tool.clone();
    match sets.first().map(theirs) {
        Some(tool) if tool.zstd == this.zstd && sets.iter().all(|set| theirs(set) == tool) => tool,
        _ => this,
    }
}

/// Writes the set that `description` describes of the samples of a selection, into an opened output.
///
/// # Errors
/// [`Error::Corrupt`] for a damaged chunk, [`Error::Mismatch`] for a resume of another set, [`Error::Io`],
/// [`Error::ChunkTooLarge`], [`Error::Interrupted`].
pub fn write(
    selection: &Selection<'_>,
    description: SetDescription,
    output: &Output,
    dir: OutputDir,
    label: &str,
) -> Result<Manifest> {
    Encoder::new(description.tool.level)?; // refuses a level before anything is begun
    let resume = output.existing == Existing::Resume;
    let mut writer = SetWriter::start_selection(dir, description, selection.id(), resume)?;
    let description = writer.description().clone();
    let first = writer.chunks_done();
    let left = description.samples - description.samples_of(0..first).end;
    let progress = Progress::start(output.verbosity, label, left, "samples");
    in_order(
        first..description.chunks(),
        output.threads,
        KEPT,
        || Maker::new(selection, &description),
        |maker, number| maker.make(number),
        |(chunk, encoded)| {
            writer.write(&chunk, encoded)?;
            progress.add(chunk.len() as u64);
            Ok(())
        },
    )?;
    progress.finish();
    writer.finish()
}

/// Makes the chunks of a set from those of others; one a thread.
pub struct Maker<'a> {
    selection: &'a Selection<'a>,
    description: &'a SetDescription,
    encoder: Encoder,
    /// The set that was read last.
    reader: Option<(usize, SampleReader<'a>)>,
}

impl<'a> Maker<'a> {
    /// For the set that `description` describes.
    ///
    /// # Errors
    /// [`Error::Usage`] for a level that zstd has not.
    pub fn new(selection: &'a Selection<'a>, description: &'a SetDescription) -> Result<Maker<'a>> {
        let encoder = Encoder::new(description.tool.level)?;
        Ok(Maker { selection, description, encoder, reader: None })
    }

    /// Makes chunk `number`.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::ChunkTooLarge`].
    pub fn make(&mut self, number: u64) -> Result<(Chunk, EncodedChunk)> {
        let runs: Vec<Run> = self.selection.within(self.description.samples_of(number..number + 1)).collect();
        if let ([run], None) = (&runs[..], &self.selection.labels) {
            let set = &self.selection.sets[run.set];
            let source = &set.manifest().description;
            let its_number = run.samples.start / u64::from(source.chunk_samples);
            if source.samples_of(its_number..its_number + 1) == run.samples && source.widths == self.description.widths
            {
                let chunk = self.reader(run.set).chunk(its_number)?.clone();
                let (shard, k) = set.locate(its_number);
                return Ok((chunk, shard.encoded(k)?));
            }
        }
        let mut chunk = Chunk::new(self.description.widths, self.description.extras.len());
        for run in runs {
            let labels = self.selection.labels.as_deref();
            let reader = self.reader(run.set);
            for sample in run.samples {
                let (decoded, i) = reader.sample(sample)?;
                copy_sample(decoded, i, labels, &mut chunk);
            }
        }
        let encoded = self.encoder.encode(number, &chunk)?;
        Ok((chunk, encoded))
    }

    fn reader(&mut self, set: usize) -> &mut SampleReader<'a> {
        let sets = self.selection.sets;
        let kept = self.reader.take().filter(|(of, _)| *of == set);
        &mut self.reader.insert(kept.unwrap_or_else(|| (set, SampleReader::new(&sets[set])))).1
    }
}

fn copy_sample(from: &Chunk, i: usize, labels: Option<&[u32]>, to: &mut Chunk) {
    to.frames.push_sample(from.frames.sample(i));
    let label = from.table.labels[i];
    to.table.labels.push(match labels {
        Some(labels) if label != NO_LABEL => labels.get(label as usize).copied().unwrap_or(NO_LABEL),
        _ => label,
    });
    to.table.flags.push(from.table.flags[i]);
    to.table.ledgers.push(from.table.ledgers[i]);
    for (column, numbers) in to.table.extras.iter_mut().zip(&from.table.extras) {
        column.push(numbers[i]);
    }
}
