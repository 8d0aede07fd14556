//! The manifest: what a set is, where it came from, and the proof that it is complete.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Ledger;
use super::codec::{Chunk, FLAG_EMPTY, FLAG_SORTED, NO_LABEL};
use super::layout::{SetLayout, ShardPlace, VERSION};
use super::part::Part;
use crate::error::{Error, Result};
use crate::frames::{FrameShape, Widths};
use crate::publish::publish;

/// The manifest's file name.
pub const FILE_NAME: &str = "manifest.json";
const FORMAT: &str = "tonic-shards";
/// A manifest of 2^32 samples is a few MB; more is no manifest.
const MAX_BYTES: u64 = 256 << 20;

/// A 32-byte hash, written in hex.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id(pub [u8; 32]);

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Id, D::Error> {
        let hex = String::deserialize(deserializer)?;
        let hash = blake3::Hash::from_hex(&hex).map_err(serde::de::Error::custom)?;
        Ok(Id(*hash.as_bytes()))
    }
}

/// What a set is made of, known before its first chunk is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetDescription {
    /// How many samples.
    pub samples: u64,
    /// Samples a chunk, S.
    pub chunk_samples: u32,
    /// Chunks a shard.
    pub shard_chunks: u32,
    /// The shape of a frame.
    pub shape: FrameShape,
    /// The widths of the columns.
    pub widths: Widths,
    /// What was done to the recordings, as text that only the converter reads.
    pub recipe: String,
    /// Hash of shape, recipe, classes and extras.
    pub recipe_id: Id,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Names of the extra columns.
    pub extras: Vec<String>,
    /// The most frames that the recipe can give a sample.
    pub frame_limit: Option<u64>,
    /// The recordings.
    pub sources: Vec<Source>,
    /// What wrote the set.
    pub tool: Tool,
    /// Which part of a larger set this is, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
}

/// A recording that went into a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its file name, without a directory.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its samples.
    pub samples: u64,
    /// Its hash.
    pub blake3: Id,
}

/// What wrote a set: other versions of zstd may store the same content in other bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// This crate's version.
    pub tonic_toolkit: String,
    /// libzstd's version.
    pub zstd: String,
    /// The compression level.
    pub level: i32,
}

impl Tool {
    /// This program, at a compression level.
    pub fn this(level: i32) -> Tool {
        let zstd = zstd::zstd_safe::version_string().to_string();
        Tool { tonic_toolkit: env!("CARGO_PKG_VERSION").to_string(), zstd, level }
    }
}

/// Sums over a set's samples, known when they have all been seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Frames of the longest sample.
    pub max_frames: u64,
    /// Frames.
    pub frames: u64,
    /// Occupied cells.
    pub entries: u64,
    /// The largest count; 0 for surfaces.
    pub max_count: u32,
    /// Samples of each class.
    pub class_samples: Vec<u64>,
    /// Where the events went.
    pub ledger: Ledger,
    /// Samples without an event, which were given one empty frame.
    pub empty_samples: u64,
    /// Samples whose times were out of order.
    pub sorted_samples: u64,
}

impl Totals {
    /// Nothing yet, for so many classes.
    pub fn new(classes: usize) -> Totals {
        Totals { class_samples: vec![0; classes], ..Totals::default() }
    }

    /// Adds a chunk's samples.
    pub fn add(&mut self, chunk: &Chunk) {
        for sample in chunk.frames.samples() {
            self.max_frames = self.max_frames.max(sample.frames() as u64);
            self.frames += sample.frames() as u64;
            self.entries += sample.entries() as u64;
        }
        self.max_count = self.max_count.max(chunk.frames.counts.view().max().unwrap_or(0));
        for &label in chunk.table.labels.iter().filter(|&&l| l != NO_LABEL) {
            if let Some(n) = self.class_samples.get_mut(label as usize) {
                *n += 1;
            }
        }
        chunk.table.ledgers.iter().for_each(|&l| self.ledger += l);
        let flagged = |flag| chunk.table.flags.iter().filter(|&&f| f & flag != 0).count() as u64;
        self.empty_samples += flagged(FLAG_EMPTY);
        self.sorted_samples += flagged(FLAG_SORTED);
    }

    /// Adds another part of the set.
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

/// A finished shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardEntry {
    /// Its file name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its samples.
    pub samples: u64,
    /// BLAKE3 of its chunks' identities.
    pub identity: Id,
}

/// A complete set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    format: String,
    version: u16,
    /// What the set is, whatever compressed it.
    pub set_id: Id,
    /// What it is made of.
    #[serde(flatten)]
    pub description: SetDescription,
    /// Sums over its samples.
    #[serde(flatten)]
    pub totals: Totals,
    /// Its shards, in order.
    pub shards: Vec<ShardEntry>,
}

impl SetDescription {
    /// The hash of what two sets must share to be trained on together.
    pub fn recipe_id(shape: FrameShape, recipe: &str, classes: &[String], extras: &[String]) -> Id {
        let mut hash = blake3::Hasher::new();
        hash.update(b"tonic-shards recipe 1\0");
        for n in [shape.polarities, shape.height, shape.width] {
            hash.update(&n.to_le_bytes());
        }
        hash.update(recipe.as_bytes()).update(&[0]);
        for names in [classes, extras] {
            for name in names {
                hash.update(name.as_bytes()).update(&[0]);
            }
            hash.update(&[0]);
        }
        Id(*hash.finalize().as_bytes())
    }

    /// What all shards of the set share.
    pub fn layout(&self) -> SetLayout {
        SetLayout {
            shape: self.shape,
            widths: self.widths,
            chunk_samples: self.chunk_samples,
            extras: self.extras.len() as u8,
            recipe_id: self.recipe_id.0,
        }
    }

    /// How many chunks.
    pub fn chunks(&self) -> u64 {
        self.samples.div_ceil(self.chunk_samples.into())
    }

    /// How many shards.
    pub fn shards(&self) -> u64 {
        self.chunks().div_ceil(self.shard_chunks.into())
    }

    /// The place of shard `number`.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn shard_place(&self, number: u64) -> ShardPlace {
        let first_sample = number * u64::from(self.shard_chunks) * u64::from(self.chunk_samples);
        let end = self.samples_of(0..(number + 1) * u64::from(self.shard_chunks)).end;
        ShardPlace { number: number as u32, first_sample, samples: (end - first_sample) as u32 }
    }

    /// The name of a label: its class's.
    pub fn class_name(&self, label: u32) -> &str {
        if label == NO_LABEL { "no label" } else { self.classes.get(label as usize).map_or("unknown", String::as_str) }
    }
}

impl Manifest {
    /// The manifest of a set whose chunks have these identities.
    pub fn new(description: SetDescription, totals: Totals, shards: Vec<ShardEntry>, identities: &[[u8; 32]]) -> Self {
        let set_id = set_id(&description, identities);
        Manifest { format: FORMAT.into(), version: VERSION, set_id, description, totals, shards }
    }

    /// Reads a set's manifest.
    ///
    /// # Errors
    /// [`Error::Incomplete`] for a set whose conversion has not ended, [`Error::NotASet`] for a directory that is none,
    /// [`Error::Incompatible`] and [`Error::Corrupt`] for a manifest of another version and a damaged one.
    pub fn read(dir: &Path) -> Result<Manifest> {
        let path = dir.join(FILE_NAME);
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

    fn parse(path: &Path, bytes: &[u8]) -> Result<Manifest> {
        let corrupt = |place: &str, expected: &str, got: String| Error::corrupt(path, place, expected, got);
        let text = std::str::from_utf8(bytes).map_err(|e| corrupt("text", "UTF-8", e.to_string()))?;
        // Ask for format and version alone first: all else may differ in another version.
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

    /// Relations between fields that a checksum cannot vouch for, in a manifest that somebody else wrote.
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
        if let Some(name) = d.classes.iter().chain(&d.extras).find(|name| name.contains('\0')) {
            return corrupt("name of a class or an extra column", "no NUL in it".into(), format!("{name:?}"));
        }
        let recipe_id = SetDescription::recipe_id(d.shape, &d.recipe, &d.classes, &d.extras);
        if d.recipe_id != recipe_id {
            return corrupt("recipe_id", recipe_id.to_string(), d.recipe_id.to_string());
        }
        Ok(())
    }

    /// Writes the manifest: from then on the set is complete.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn publish(&self, dir: &Path) -> Result<()> {
        publish(&dir.join(FILE_NAME), self.to_text().as_bytes())
    }

    fn to_text(&self) -> String {
        let json = serde_json::to_string_pretty(self).expect("a manifest has only string keys");
        let mut text = json.trim_end_matches("\n}").to_string() + ",\n  ";
        text.push_str(&checksum_tail(&text));
        text
    }

    /// Bytes of the shards.
    pub fn stored_bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.bytes).sum()
    }

    /// Refuses two sets that cannot be trained on together, and names the first field that differs.
    ///
    /// # Errors
    /// [`Error::Mismatch`].
    pub fn check_compatible(&self, dir: &Path, other: &Manifest, other_dir: &Path) -> Result<()> {
        let (mine, theirs) = (&self.description, &other.description);
        let fields = [
            ("shape", theirs.shape.to_string(), mine.shape.to_string()),
            ("recipe", theirs.recipe.clone(), mine.recipe.clone()),
            ("classes", theirs.classes.join(", "), mine.classes.join(", ")),
        ];
        Error::refuse_difference(dir, other_dir, fields)
    }
}

/// The file name of shard number `i`.
pub fn shard_name(i: u64) -> String {
    format!("{i:05}.shard")
}

/// BLAKE3 of chunks' identities, in order.
pub fn identity_of<'a>(identities: impl IntoIterator<Item = &'a [u8; 32]>) -> Id {
    let mut hash = blake3::Hasher::new();
    for identity in identities {
        hash.update(identity);
    }
    Id(*hash.finalize().as_bytes())
}

/// The set's id, of recipe, geometry and its chunks' identities.
pub fn set_id(description: &SetDescription, identities: &[[u8; 32]]) -> Id {
    let mut hash = blake3::Hasher::new();
    hash.update(b"tonic-shards set 1\0").update(&description.recipe_id.0);
    hash.update(&description.chunk_samples.to_le_bytes()).update(&description.samples.to_le_bytes());
    for identity in identities {
        hash.update(identity);
    }
    Id(*hash.finalize().as_bytes())
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
    if names.iter().any(|n| n.ends_with(".shard") || n == super::writer::MARKER) {
        let missing = format!("it has no {FILE_NAME}; run the same convert again with --resume to finish it");
        return Error::Incomplete { path: dir.into(), missing };
    }
    Error::NotASet { path: dir.into(), got: format!("a directory without {FILE_NAME} and shards") }
}
