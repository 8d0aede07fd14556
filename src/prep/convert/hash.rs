//! Hashes of the files that a set is made from.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use rayon::prelude::*;
use tonic_base::{Progress, Verbosity, interrupt, some_of};
use tonic_shard::{Id, KEPT, LinkedFile, SourceFile};

use crate::convert::inputs::{Input, Inputs, size};
use crate::error::Result;
use crate::source::{LinkedPath, Raw, Recording, failed, fill, raw};

/// Maximum number of warnings that name files with the same bytes. Each warning names one group of such files. If there
/// are more groups, one more warning gives their number.
const MOST_EQUAL: usize = 5;
/// If files have fewer bytes than this on average, several are hashed at a time.
const SMALL: u64 = 1 << 20;

impl Inputs {
    /// Computes the BLAKE3 hashes of the recordings that the samples in `range` come from, and shows progress. Returns
    /// one result per recording. [`SourceFile::samples`] is the number of the recording's samples in `range`.
    /// [`SourceFile::first_sample`] is the first of these samples, as an index in the recording.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`].
    pub fn hash(&self, range: &Range<u64>, verbosity: Verbosity) -> Result<Vec<SourceFile>> {
        // Small files, and samples that a program has added, have their hash already.
        let files = self.within(range).map(|input| &input.recording).filter(|recording| recording.content().is_none());
        let total = files.map(|recording| size(&recording.path)).sum::<Result<u64>>()?;
        let shown = if total == 0 { Verbosity::Quiet } else { verbosity };
        let progress = Progress::start(shown, "hash", total, "B");
        let source = |input: &Input| {
            let Recording { path, name, .. } = &input.recording;
            let (blake3, bytes) = match input.recording.content() {
                Some(content) => content,
                None => hash_file(path, &progress)?,
            };
            let (start, end) = (range.start.max(input.first), range.end.min(input.first + input.samples));
            let first_sample = Some(input.skipped + start - input.first);
            let samples = end.saturating_sub(start);
            Ok(SourceFile { name: name.clone(), bytes, samples, first_sample, blake3 })
        };
        let inputs: Vec<&Input> = self.within(range).collect();
        let sources: Vec<Result<SourceFile>> = match total / (inputs.len() as u64).max(1) {
            // Small files take one thread each, large ones all threads.
            ..SMALL => inputs.into_par_iter().map(source).collect(),
            _ => inputs.into_iter().map(source).collect(),
        };
        progress.finish();
        sources.into_iter().collect()
    }
}

impl Inputs {
    /// Returns warnings about recordings whose files have the same bytes. `sources` is the result of [`Inputs::hash`]
    /// for `range`.
    pub(super) fn equal_files(&self, range: &Range<u64>, sources: &[SourceFile]) -> Vec<String> {
        let mut equal: BTreeMap<[u8; 32], Vec<&Recording>> = BTreeMap::new();
        for (input, source) in self.within(range).zip(sources) {
            equal.entry(source.blake3.0).or_default().push(&input.recording);
        }
        let mut warnings: Vec<(usize, String)> = Vec::new();
        for same in equal.into_values().filter(|same| same.len() > 1 && !same[0].labels.is_empty()) {
            let names: Vec<&str> = same.iter().map(|recording| recording.name.as_str()).collect();
            let of_one = same.iter().all(|recording| recording.labels == same[0].labels);
            let of = if of_one { "" } else { ", but of different classes" };
            warnings.push((names.len(), format!("warning: files with the same bytes{of}: {}", some_of(&names))));
        }
        warnings.sort_by(|(a, first), (b, second)| b.cmp(a).then(first.cmp(second)));
        let more = warnings.len().saturating_sub(MOST_EQUAL);
        warnings.truncate(MOST_EQUAL);
        let mut warnings: Vec<String> = warnings.into_iter().map(|(_, warning)| warning).collect();
        warnings.extend((more > 0).then(|| format!("warning: and {more} more groups of files with the same bytes")));
        warnings
    }
}

/// Computes the BLAKE3 hashes of linked files, and shows progress. Linked files are not recordings, but hold some of
/// the recordings' data.
///
/// # Errors
/// [`tonic_base::Error::Io`].
pub fn hash_linked(files: &[LinkedPath], verbosity: Verbosity) -> Result<Vec<LinkedFile>> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let total = files.iter().map(|file| size(&file.path)).sum::<Result<u64>>()?;
    let progress = Progress::start(verbosity, "hash linked files", total, "B");
    let mut hashed = Vec::with_capacity(files.len());
    for LinkedPath { name, path } in files {
        let (blake3, bytes) = hash_file(path, &progress)?;
        hashed.push(LinkedFile { name: name.clone(), bytes, blake3 });
    }
    progress.finish();
    Ok(hashed)
}

/// Returns the BLAKE3 hash of a file and its length in bytes. A member of an archive is unpacked first. A gzip file is
/// hashed as it is. Doesn't map the file into memory, because the whole mapping would count as memory of the process.
fn hash_file(path: &Path, progress: &Progress) -> Result<(Id, u64)> {
    const PIECE: u64 = 4 << 20;
    let Raw { bytes: mut file, len } = raw(path)?;
    // The buffer has one byte more than a small file, so that the first piece already shows the end of the file.
    let size = len.saturating_add(1).min(PIECE) as usize;
    let mut read = |mut piece: Vec<u8>| {
        piece.resize(size, 0);
        fill(&mut file, &mut piece, size).map(|len| (len, piece))
    };
    let (mut hash, mut bytes) = (blake3::Hasher::new(), 0);
    let wrong = |at, e| failed(path, at, e);
    let ((mut len, mut piece), mut spare) = (read(Vec::new()).map_err(|e| wrong(0, e))?, Vec::new());
    while len > 0 {
        interrupt::check(KEPT)?;
        let next = if len < size {
            hash.update(&piece[..len]);
            Ok((0, spare))
        } else {
            rayon::join(|| read(spare), || hash.update_rayon(&piece)).0
        };
        bytes += len as u64;
        progress.add(len as u64);
        spare = piece;
        (len, piece) = next.map_err(|e| wrong(bytes, e))?;
    }
    Ok((Id(*hash.finalize().as_bytes()), bytes))
}
