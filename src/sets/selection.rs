//! Writes a new set from selected samples of other sets, for the modules `merge` and `subset`.
//!
//! Chunks that stay the same are copied. Other chunks are encoded again.

use std::ops::Range;
use std::path::{Path, PathBuf};

use tonic_base::{Progress, Verbosity, in_order};
use tonic_shard::{
    Chunk, EncodedChunk, Encoder, Existing, Id, KEPT, Manifest, NO_LABEL, Origin, OutputDir, SampleReader,
    SetDescription, SetWriter, ShardSet, SourceFile, Tool,
};

use crate::error::{BaseFault, Error, Result};

/// A range of samples in the set with the index `set`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SampleSpan {
    set: usize,
    samples: Range<u64>,
}

/// Selected samples of open sets, in the order of the new set.
#[derive(Clone, Debug)]
pub(crate) struct Selection<'a> {
    sets: &'a [ShardSet],
    spans: Vec<SampleSpan>,
    /// Number of selected samples before each item of `spans`. One more item at the end: the number of all selected
    /// samples.
    starts: Vec<u64>,
    /// New label of each old label. `None` if labels don't change.
    labels: Option<Vec<u32>>,
}

impl<'a> Selection<'a> {
    pub(crate) fn of(sets: &'a [ShardSet]) -> Selection<'a> {
        Selection { sets, spans: Vec::new(), starts: vec![0], labels: None }
    }

    /// Gives samples with the label `i` the label `labels[i]` in the new set.
    pub(crate) fn relabel(&mut self, labels: Vec<u32>) {
        self.labels = Some(labels);
    }

    /// Appends the samples with the indices `samples` in `sets[set]`.
    pub(crate) fn push(&mut self, set: usize, samples: Range<u64>) {
        let added = samples.end.saturating_sub(samples.start);
        match self.spans.last_mut().filter(|span| span.set == set && span.samples.end == samples.start) {
            _ if added == 0 => return,
            Some(span) => {
                span.samples.end = samples.end;
                self.starts.pop();
            }
            None => self.spans.push(SampleSpan { set, samples }),
        }
        self.starts
            .push(self.spans.last().map_or(0, |span| span.samples.end - span.samples.start) + self.starts_before());
    }

    /// Number of selected samples before the last item of `spans`.
    fn starts_before(&self) -> u64 {
        self.starts[self.spans.len() - 1]
    }

    pub(crate) fn len(&self) -> u64 {
        self.starts[self.spans.len()]
    }

    /// Returns the source files of the selected samples, each with its number of selected samples.
    ///
    /// The numbers are exact only if the samples of each set are in the order of its sources. Their sum is always
    /// exact.
    pub(crate) fn sources(&self) -> Vec<SourceFile> {
        let mut sources: Vec<SourceFile> = Vec::new();
        for span in &self.spans {
            let mut first = 0;
            for source in &self.sets[span.set].manifest().description.sources {
                let end = first + source.samples;
                let samples = end.min(span.samples.end).saturating_sub(first.max(span.samples.start));
                first = end;
                let same = |s: &&mut SourceFile| s.is_same_file(source);
                match sources.iter_mut().find(same) {
                    _ if samples == 0 => {}
                    Some(known) => known.samples += samples,
                    None => sources.push(SourceFile { samples, first_sample: None, ..source.clone() }),
                }
            }
        }
        sources
    }

    /// Hash that identifies the selected samples.
    fn id(&self) -> Id {
        let mut hash = blake3::Hasher::new();
        for set in self.sets {
            hash.update(&set.manifest().set_id.0);
        }
        for span in &self.spans {
            for number in [span.set as u64, span.samples.start, span.samples.end] {
                hash.update(&number.to_le_bytes());
            }
        }
        Id(*hash.finalize().as_bytes())
    }

    /// Returns the samples with the indices `range` in the selection, as ranges of samples in the sets.
    fn within(&self, range: Range<u64>) -> impl Iterator<Item = SampleSpan> {
        let first = self.starts.partition_point(|&start| start <= range.start).saturating_sub(1);
        let spans = self.spans[first..].iter().zip(&self.starts[first..]);
        spans.take_while(move |(_, start)| **start < range.end).map(move |(span, &start)| {
            let from = span.samples.start + range.start.saturating_sub(start);
            let to = span.samples.end.min(span.samples.start + (range.end - start));
            SampleSpan { set: span.set, samples: from..to }
        })
    }
}

/// Where and how a new set is written.
#[derive(Clone, Debug)]
pub struct Output {
    /// Directory of the new set.
    pub path: PathBuf,
    /// What to do if the directory holds a set already.
    pub existing: Existing,
    /// Number of worker threads.
    pub threads: usize,
    /// How progress is shown.
    pub verbosity: Verbosity,
}

impl Output {
    /// Opens the output directory.
    ///
    /// # Errors
    /// `Usage` if the output directory is the directory of one of `sets`; the errors of [`OutputDir::open`].
    pub(crate) fn open(&self, sets: &[ShardSet]) -> Result<OutputDir> {
        let same =
            |dir: &Path| dir.canonicalize().is_ok_and(|dir| self.path.canonicalize().is_ok_and(|out| out == dir));
        if let Some(set) = sets.iter().find(|set| same(set.dir())) {
            return Err(Error::usage("out", "another directory than the sets that are read", set.dir().display()));
        }
        Ok(OutputDir::open(&self.path, self.existing)?)
    }
}

/// Returns the software versions for a set that is made from `sets`. These are the versions in `sets` if all are equal
/// and have the same zstd version as this program. Otherwise, they are the versions of this program.
pub(crate) fn tool_of(sets: &[ShardSet]) -> Tool {
    let this = Tool::this(sets.first().map_or(0, |set| set.manifest().description.tool.level));
    let theirs = |set: &ShardSet| set.manifest().description.tool.clone();
    match sets.first().map(theirs) {
        // This program then compresses to the same bytes.
        Some(tool) if tool.zstd == this.zstd && sets.iter().all(|set| theirs(set) == tool) => tool,
        _ => this,
    }
}

/// Writes the selected samples as a new set.
///
/// # Errors
/// `Corrupt` for a damaged chunk, `Mismatch` if the set to resume is a different one, `Io`, `ChunkTooLarge`,
/// `Interrupted`.
pub(crate) fn write(
    selection: &Selection<'_>,
    description: SetDescription,
    output: &Output,
    dir: OutputDir,
    label: &str,
) -> Result<Manifest> {
    Encoder::new(description.tool.level)?; // reports an invalid level before anything is written
    let resume = output.existing.resumes();
    let origin = Origin { selection: Some(selection.id()), ..Origin::default() };
    let mut writer = SetWriter::start(dir, description, origin, resume, &mut |_, _, _| {})?;
    let description = writer.description().clone();
    let first = writer.chunks_done();
    let left = description.samples - description.samples_of(0..first).end;
    let progress = Progress::start(output.verbosity, label, left, "samples");
    in_order(
        first..description.chunks(),
        output.threads,
        KEPT,
        || ChunkCopier::new(selection, &description),
        ChunkCopier::make,
        |(chunk, encoded)| {
            writer.write(&chunk, encoded)?;
            progress.add(chunk.len() as u64);
            Ok(())
        },
    )?;
    progress.finish();
    Ok(writer.finish()?)
}

/// Checks whether the output directory already holds the new set, complete and undamaged. If so, returns the manifest.
/// Always returns `None` if `output` does not ask to resume.
///
/// # Errors
/// `Exists` if the directory has a different complete set; errors of reading.
pub(crate) fn made_before(
    output: &Output,
    selection: &Selection<'_>,
    description: &SetDescription,
) -> Result<Option<Manifest>> {
    if !output.existing.resumes() {
        return Ok(None);
    }
    let Ok(set) = ShardSet::open(&output.path) else { return Ok(None) };
    let other = || Error::exists(&output.path, "it is another set than is asked for now");
    if set.manifest().description != *description {
        return Err(other());
    }
    let (mut same, mut whole) = (true, true);
    in_order(
        0..description.chunks(),
        output.threads,
        "nothing was changed",
        || Ok((ChunkCopier::new(selection, description)?, SampleReader::new(&set))),
        |(maker, reader), number| {
            let (shard, k) = set.locate(number);
            let identity = shard.head().chunks[k].identity;
            Ok((maker.make(number)?.1.record.identity == identity, reader.chunk(number).is_ok()))
        },
        |(is_same, is_whole): (bool, bool)| {
            (same, whole) = (same && is_same, whole && is_whole);
            Ok::<(), Error>(())
        },
    )?;
    if !same {
        return Err(other());
    }
    Ok(whole.then(|| set.manifest().clone()))
}

/// Makes the chunks of the new set.
pub(crate) struct ChunkCopier<'a> {
    selection: &'a Selection<'a>,
    description: &'a SetDescription,
    encoder: Encoder,
    /// The set that was read last: its index and a reader.
    reader: Option<(usize, SampleReader<'a>)>,
}

impl<'a> ChunkCopier<'a> {
    /// Creates a copier for the described set. Returns an error if zstd doesn't have the compression level.
    pub(crate) fn new(selection: &'a Selection<'a>, description: &'a SetDescription) -> Result<ChunkCopier<'a>> {
        let encoder = Encoder::new(description.tool.level)?;
        Ok(ChunkCopier { selection, description, encoder, reader: None })
    }

    /// Makes chunk `number` of the new set.
    pub(crate) fn make(&mut self, number: u64) -> Result<(Chunk, EncodedChunk)> {
        let spans: Vec<SampleSpan> = self.selection.within(self.description.samples_of(number..number + 1)).collect();
        if let ([span], None) = (&spans[..], &self.selection.labels) {
            let set = &self.selection.sets[span.set];
            let source = &set.manifest().description;
            let its_number = span.samples.start / u64::from(source.chunk_samples);
            if source.samples_of(its_number..its_number + 1) == span.samples && source.widths == self.description.widths
            {
                let chunk = self.reader(span.set).chunk(its_number)?.clone();
                let (shard, k) = set.locate(its_number);
                return Ok((chunk, shard.encoded(k)?));
            }
        }
        let mut chunk = Chunk::new(self.description.widths, self.description.extras.len());
        for span in spans {
            let labels = self.selection.labels.as_deref();
            let reader = self.reader(span.set);
            for sample in span.samples {
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
