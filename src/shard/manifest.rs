//! `manifest.json`: description, totals and shards of a set. It is written last: a set with a manifest is complete.

use crate::chunk::{Chunk, FLAG_EMPTY, FLAG_SORTED, NO_LABEL, SampleTable};
use crate::description::{Id, MARKER, SetDescription, shard_name};
use crate::difference::listed;
use crate::error::{BaseFault, Error, Result};
use crate::frames::Widths;
use crate::large::LargeChunk;
use crate::layout::VERSION;
use crate::ledger::Ledger;
use std::collections::BTreeMap;
use std::path::Path;
use tonic_base::{printable, publish};

use serde::{Deserialize, Serialize};

/// File name of the manifest.
pub const MANIFEST_FILE: &str = "manifest.json";
const FORMAT: &str = "tonic-shards";
/// How many classes a program lists on the terminal, unless the user asks for all.
pub const MOST_CLASSES: usize = 40;
const MAX_BYTES: u64 = 256 << 20;

/// Sums and maxima over all samples of a set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Number of frames of the longest sample.
    pub max_frames: u64,
    /// Number of frames of all samples together.
    pub frames: u64,
    /// Number of occupied cells in all frames.
    pub entries: u64,
    /// The largest count; 0 for float32 frames, such as time surfaces.
    pub max_count: u32,
    /// Number of samples of each class.
    pub class_samples: Vec<u64>,
    /// Sum of the ledgers of all samples.
    pub ledger: Ledger,
    /// Number of samples that have no events to bin. All their frames are empty.
    pub empty_samples: u64,
    /// Number of samples whose events were not in order of time and were sorted.
    pub sorted_samples: u64,
}

impl Totals {
    /// Creates the totals of zero samples, for `classes` classes.
    pub fn new(classes: usize) -> Totals {
        Totals { class_samples: vec![0; classes], ..Totals::default() }
    }

    /// Adds the samples of a chunk to the totals.
    pub fn add(&mut self, chunk: &Chunk) {
        let max_count = chunk.frames.counts.view().max().unwrap_or(0);
        for sample in chunk.frames.samples() {
            self.add_frames(sample.frames() as u64, sample.entries() as u64, max_count);
        }
        self.add_table(&chunk.table);
    }

    /// Adds the samples of `chunk`, whose frames are in a temporary file, to the totals.
    pub fn add_large(&mut self, chunk: &LargeChunk) {
        for &(frames, entries) in chunk.counted() {
            self.add_frames(frames.into(), entries.into(), chunk.max_count());
        }
        self.add_table(chunk.table());
    }

    /// Adds a sample with these numbers of frames and occupied cells. `max_count` is the largest count of the sample
    /// or of its chunk.
    pub(crate) fn add_frames(&mut self, frames: u64, entries: u64, max_count: u32) {
        self.max_frames = self.max_frames.max(frames);
        self.frames += frames;
        self.entries += entries;
        self.max_count = self.max_count.max(max_count);
    }

    pub(crate) fn add_table(&mut self, table: &SampleTable) {
        for &label in table.labels.iter().filter(|&&l| l != NO_LABEL) {
            if let Some(n) = self.class_samples.get_mut(label as usize) {
                *n += 1;
            }
        }
        table.ledgers.iter().for_each(|&l| self.ledger += l);
        let flagged = |flag| table.flags.iter().filter(|&&f| f & flag != 0).count() as u64;
        self.empty_samples += flagged(FLAG_EMPTY);
        self.sorted_samples += flagged(FLAG_SORTED);
    }

    /// Adds the totals of other samples to these totals.
    pub fn merge(&mut self, other: &Totals) {
        self.max_frames = self.max_frames.max(other.max_frames);
        self.frames += other.frames;
        self.entries += other.entries;
        self.max_count = self.max_count.max(other.max_count);
        self.class_samples.iter_mut().zip(&other.class_samples).for_each(|(a, b)| *a += b);
        self.ledger += other.ledger;
        self.empty_samples += other.empty_samples;
        self.sorted_samples += other.sorted_samples;
    }
}

/// The manifest's record of a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardEntry {
    /// File name without directory: `00000.shard`.
    pub name: String,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Number of samples in the shard.
    pub samples: u64,
    /// BLAKE3 hash of the identities of the shard's chunks, in order. The identity of a chunk is the BLAKE3 hash of
    /// its decoded bytes.
    pub identity: Id,
}

/// Manifest of a complete set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    format: String,
    version: u16,
    /// Id of the set: a hash of its content and recipe, which doesn't depend on the compression.
    pub set_id: Id,
    /// Number and shape of the samples, recipe, and source files.
    #[serde(flatten)]
    pub description: SetDescription,
    /// Sums and maxima over all samples.
    #[serde(flatten)]
    pub totals: Totals,
    /// Shards, in order.
    pub shards: Vec<ShardEntry>,
    /// Only in a part of a larger set: the command that made this part, without output directory and part number. It
    /// is information for the user. No hash covers it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Only in a part of a larger set: name and value of each setting that decides what is read from the recordings.
    /// Parts can be merged only if their settings are equal. No hash covers the settings.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
}

impl Manifest {
    /// Makes the manifest of a set. `identities` has the identity (BLAKE3 hash of the decoded bytes) of each chunk.
    pub fn new(description: SetDescription, totals: Totals, shards: Vec<ShardEntry>, identities: &[[u8; 32]]) -> Self {
        let set_id = set_id(&description, identities);
        Manifest {
            format: FORMAT.into(),
            version: VERSION,
            set_id,
            description,
            totals,
            shards,
            command: Vec::new(),
            settings: BTreeMap::new(),
        }
    }

    /// Reads and checks the manifest of the set in `dir`.
    ///
    /// # Errors
    /// [`Error::Incomplete`] if the set hasn't been finished; [`Error::NotASet`] if `dir` isn't a set;
    /// [`Error::Incompatible`] for another format version; [`tonic_base::Error::Corrupt`] for a damaged manifest;
    /// [`tonic_base::Error::Io`] if the file cannot be read.
    pub fn read(dir: &Path) -> Result<Manifest> {
        let path = dir.join(MANIFEST_FILE);
        let bytes = match std::fs::metadata(&path) {
            Ok(meta) if meta.len() > MAX_BYTES => {
                return Err(Error::corrupt(&path, "file length", format!("at most {MAX_BYTES} bytes"), meta.len()));
            }
            Ok(_) => std::fs::read(&path).map_err(Error::io(&path, "read the manifest"))?,
            Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
                return Err(no_manifest(dir));
            }
            Err(e) => return Err(Error::io(&path, "read the manifest")(e)),
        };
        Manifest::parse(&path, &bytes)
    }

    /// Parses and checks the bytes of a manifest. Errors name the file by `path`.
    ///
    /// # Errors
    /// [`Error::Incompatible`] for another format version; [`tonic_base::Error::Corrupt`] for a damaged manifest.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Manifest> {
        let corrupt = |place: &str, expected: &str, got: String| Error::corrupt(path, place, expected, got);
        let text = std::str::from_utf8(bytes).map_err(|e| corrupt("text", "UTF-8", e.to_string()))?;
        // Parse format and version alone first: in another version, all other fields may differ.
        #[derive(Deserialize)]
        struct Version {
            format: String,
            version: u64,
        }
        let Version { format, version } = serde_json::from_str(text)
            .map_err(|e| corrupt("JSON", "an object with format and version", e.to_string()))?;
        if format != FORMAT {
            return Err(corrupt("format", FORMAT, format));
        }
        if version != u64::from(VERSION) {
            let (expected, got) = (VERSION.to_string(), version.to_string());
            return Err(Error::Incompatible { path: path.into(), expected, got });
        }
        let at =
            text.rfind("\"checksum\"").ok_or_else(|| corrupt("checksum", "a last field checksum", "none".into()))?;
        let tail = checksum_tail(&text[..at]);
        if text[at..] != tail {
            return Err(corrupt("checksum", tail.trim(), text[at..].trim().chars().take(100).collect()));
        }
        let manifest: Manifest =
            serde_json::from_str(text).map_err(|e| corrupt("JSON", "a manifest", e.to_string()))?;
        manifest.check(path)?;
        Ok(manifest)
    }

    /// Checks that the fields agree with each other.
    fn check(&self, path: &Path) -> Result<()> {
        let d = &self.description;
        let corrupt = |place: &str, expected: String, got: String| Err(Error::corrupt(path, place, expected, got));
        if !d.shape.is_valid() {
            return corrupt("shape", "1 to 2^32 - 1 cells".into(), d.shape.to_string());
        }
        if d.widths != Widths::of(d.shape, d.widths.counts) {
            return corrupt("widths", format!("{:?}", Widths::of(d.shape, d.widths.counts)), format!("{:?}", d.widths));
        }
        if d.chunk_samples == 0 || d.shard_chunks == 0 || d.chunks() >= u32::MAX.into() || d.extras.len() > 255 {
            return corrupt(
                "geometry",
                "chunks and shards of some samples, at most 255 extras".into(),
                "another".into(),
            );
        }
        if d.shards() != self.shards.len() as u64 {
            return corrupt(
                "shards",
                format!("{} for {} samples", d.shards(), d.samples),
                self.shards.len().to_string(),
            );
        }
        if let Some(part) = d.part.filter(|part| !part.is_valid()) {
            return corrupt("part", format!("1 to {} of {}", part.of, part.of), part.index.to_string());
        }
        for (i, shard) in self.shards.iter().enumerate() {
            if shard.name != shard_name(i as u64) {
                return corrupt("name of a shard", shard_name(i as u64), shard.name.clone());
            }
        }
        if self.totals.class_samples.len() != d.classes.len() {
            return corrupt("class_samples", d.classes.len().to_string(), self.totals.class_samples.len().to_string());
        }
        let labelled = total(self.totals.class_samples.iter().copied());
        if labelled.is_none_or(|labelled| labelled > d.samples) {
            return corrupt("class_samples", format!("at most {} in all", d.samples), "more".into());
        }
        if total(self.shards.iter().map(|shard| shard.bytes)).is_none_or(|bytes| bytes > i64::MAX as u64) {
            return corrupt("bytes of the shards", format!("at most {} in all", i64::MAX), "more".into());
        }
        if let Some(name) = d.classes.iter().chain(&d.extras).find(|name| name.contains('\0')) {
            return corrupt("name of a class or an extra column", "no NUL in it".into(), format!("{name:?}"));
        }
        let recipe_id = SetDescription::recipe_id(d.shape, &d.recipe, &d.classes, &d.extras);
        if d.recipe_id != recipe_id {
            return corrupt("recipe_id", recipe_id.to_string(), d.recipe_id.to_string());
        }
        Ok(())
    }

    /// Writes the manifest to `dir`. The set in `dir` is then complete.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`] if the file cannot be written.
    pub fn publish(&self, dir: &Path) -> Result<()> {
        Ok(publish(&dir.join(MANIFEST_FILE), self.to_text().as_bytes())?)
    }

    fn to_text(&self) -> String {
        let json = serde_json::to_string_pretty(self).expect("a manifest has only string keys");
        let mut text = json.trim_end_matches("\n}").to_string() + ",\n  ";
        text.push_str(&checksum_tail(&text));
        text
    }

    /// Size of all shards in bytes.
    pub fn stored_bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.bytes).sum()
    }

    /// Returns the classes as text, such as `2: no (12), yes (9)`: the number of classes, and the number of samples
    /// of each of the first `most` classes. The end of the text has these numbers, unless they are 0:
    ///
    /// - further classes
    /// - classes without samples
    /// - samples without a label
    pub fn class_counts(&self, most: usize) -> String {
        let (names, counts) = (&self.description.classes, &self.totals.class_samples);
        let listed: Vec<String> =
            names.iter().zip(counts).take(most).map(|(name, n)| format!("{} ({n})", printable(name))).collect();
        let mut text = if names.is_empty() { "none".into() } else { format!("{}: {}", names.len(), listed.join(", ")) };
        let unlabelled = self.description.samples.saturating_sub(counts.iter().sum());
        let empty = counts.iter().filter(|&&n| n == 0).count() as u64;
        for (n, before, after) in [
            (names.len().saturating_sub(most) as u64, " and", "more"),
            (empty, ";", "without samples"),
            (unlabelled, ";", "samples without a label"),
        ] {
            if n > 0 {
                text.push_str(&format!("{before} {n} {after}"));
            }
        }
        text
    }

    /// Checks that this set and the set with the manifest `other` can be trained on together: frame shape, recipe and
    /// classes must be equal. Errors name the sets by `dir` and `other_dir`.
    ///
    /// # Errors
    /// [`Error::Mismatch`] with the first field that differs.
    pub fn check_compatible(&self, dir: &Path, other: &Manifest, other_dir: &Path) -> Result<()> {
        let (mine, theirs) = (&self.description, &other.description);
        let fields = [
            ("shape", theirs.shape.to_string(), mine.shape.to_string()),
            ("recipe", theirs.recipe.clone(), mine.recipe.clone()),
            ("classes", listed(&theirs.classes), listed(&mine.classes)),
        ];
        Error::refuse_difference(dir, other_dir, fields)
    }
}

/// BLAKE3 hash of the chunks' identities (BLAKE3 hashes of decoded bytes), in the order of the chunks.
pub fn identity_of<'a>(identities: impl IntoIterator<Item = &'a [u8; 32]>) -> Id {
    let mut hash = blake3::Hasher::new();
    for identity in identities {
        hash.update(identity);
    }
    Id(*hash.finalize().as_bytes())
}

/// Id of a set. FORMAT.md, "Manifest", has the formula.
pub(crate) fn set_id(description: &SetDescription, identities: &[[u8; 32]]) -> Id {
    let mut hash = blake3::Hasher::new();
    hash.update(b"tonic-shards set 1\0").update(&description.recipe_id.0);
    hash.update(&description.chunk_samples.to_le_bytes()).update(&description.samples.to_le_bytes());
    for identity in identities {
        hash.update(identity);
    }
    Id(*hash.finalize().as_bytes())
}

fn total(mut numbers: impl Iterator<Item = u64>) -> Option<u64> {
    numbers.try_fold(0, u64::checked_add)
}

fn checksum_tail(before: &str) -> String {
    format!("\"checksum\": \"{}\"\n}}\n", blake3::hash(before.as_bytes()).to_hex())
}

fn no_manifest(dir: &Path) -> Error {
    let names: Vec<String> = match std::fs::read_dir(dir) {
        Ok(entries) => entries.filter_map(|e| Some(e.ok()?.file_name().to_string_lossy().into_owned())).collect(),
        Err(e) if dir.exists() => return Error::NotASet { path: dir.into(), got: format!("no directory ({e})") },
        Err(e) => return Error::io(dir, "open the set")(e),
    };
    if names.iter().any(|n| n.ends_with(".shard") || n == MARKER) {
        let missing = format!("it has no {MANIFEST_FILE}");
        return Error::Incomplete { path: dir.into(), missing };
    }
    Error::NotASet { path: dir.into(), got: format!("a directory without {MANIFEST_FILE} and shards") }
}
