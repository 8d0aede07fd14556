//! The description of a set: the fields of its manifest that are known before the first chunk is written.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::chunk::NO_LABEL;
use crate::frames::{FrameShape, Widths};
use crate::layout::{SetLayout, ShardPlace};
use crate::part::Part;

/// Name of the marker file of an unfinished set.
pub const MARKER: &str = ".incomplete.json";

/// A 32-byte hash, shown and serialized as hex.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id(pub [u8; 32]);

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Id, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl FromStr for Id {
    type Err = blake3::HexError;

    fn from_str(hex: &str) -> Result<Id, blake3::HexError> {
        Ok(Id(*blake3::Hash::from_hex(hex)?.as_bytes()))
    }
}

/// Geometry, recipe and sources of a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetDescription {
    /// Number of samples in the set.
    pub samples: u64,
    /// Number of samples per chunk, S. The last chunk can have fewer.
    pub chunk_samples: u32,
    /// Number of chunks per shard. The last shard can have fewer.
    pub shard_chunks: u32,
    /// Shape of a frame.
    pub shape: FrameShape,
    /// Widths of the columns of the set's frames.
    pub widths: Widths,
    /// Recipe as TOML: how the recordings were converted.
    pub recipe: String,
    /// Hash of shape, recipe, class names and names of extra columns.
    pub recipe_id: Id,
    /// Names of the classes. A label is an index into this list.
    pub classes: Vec<String>,
    /// Names of the extra columns, in the order of the columns.
    pub extras: Vec<String>,
    /// Maximum number of frames per sample in the recipe. `None` if the recipe sets no limit.
    pub frame_limit: Option<u64>,
    /// Recordings that the set was made from.
    pub sources: Vec<SourceFile>,
    /// Other files that hold data of HDF5 recordings: sources of virtual datasets, external raw files and targets of
    /// external links.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub linked_files: Vec<LinkedFile>,
    /// Versions of the software that wrote the set.
    pub tool: Tool,
    /// If this set is a part of a larger set: the number of the part, and the number of parts. `None` for a whole set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
}

/// A recording that a set was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFile {
    /// Name of the file. If a folder was converted, the path of the file inside that folder.
    pub name: String,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Number of the set's samples that come from this file.
    pub samples: u64,
    /// Only in a part of a set: how many samples of this recording come before the part. `None` in a whole set, and in
    /// parts that older versions made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_sample: Option<u64>,
    /// BLAKE3 hash of the file.
    pub blake3: Id,
}

impl SourceFile {
    /// Whether two sources have the same name and content.
    pub fn is_same_file(&self, other: &SourceFile) -> bool {
        self.blake3 == other.blake3 && self.name == other.name
    }
}

/// A file, other than the recording itself, that holds some of a recording's data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkedFile {
    /// Name of the file, as the recording gives it.
    pub name: String,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// BLAKE3 hash of the file.
    pub blake3: Id,
}

/// Versions of the software that wrote a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// Version of tonic-toolkit.
    pub tonic_toolkit: String,
    /// Version of libzstd.
    pub zstd: String,
    /// zstd compression level.
    pub level: i32,
}

impl Tool {
    /// The versions of the running program. `level` is the zstd compression level.
    pub fn this(level: i32) -> Tool {
        let zstd = zstd::zstd_safe::version_string().to_string();
        Tool { tonic_toolkit: env!("CARGO_PKG_VERSION").to_string(), zstd, level }
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tool { tonic_toolkit, zstd, level } = self;
        write!(f, "tonic-toolkit {tonic_toolkit}, zstd {zstd} at level {level}")
    }
}

impl SetDescription {
    /// Hash of shape, recipe, class names and names of extra columns. FORMAT.md, "Manifest", has the formula.
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

    /// Header fields that are the same in all shards of the set.
    pub fn layout(&self) -> SetLayout {
        SetLayout {
            shape: self.shape,
            widths: self.widths,
            chunk_samples: self.chunk_samples,
            extras: self.extras.len() as u8,
            recipe_id: self.recipe_id.0,
        }
    }

    /// Number of chunks in the set.
    pub fn chunks(&self) -> u64 {
        self.samples.div_ceil(self.chunk_samples.into())
    }

    /// Number of shards in the set.
    pub fn shards(&self) -> u64 {
        self.chunks().div_ceil(self.shard_chunks.into())
    }

    /// Returns which samples of the set are in shard `number`. `number` must be below [`SetDescription::shards`].
    pub fn shard_place(&self, number: u64) -> ShardPlace {
        let first_sample = number * u64::from(self.shard_chunks) * u64::from(self.chunk_samples);
        let end = self.samples_of(0..(number + 1) * u64::from(self.shard_chunks)).end;
        ShardPlace { number: number as u32, first_sample, samples: (end - first_sample) as u32 }
    }

    /// Name of the class with this label. "no label" for [`NO_LABEL`], "unknown" if the set has no such class.
    pub fn class_name(&self, label: u32) -> &str {
        if label == NO_LABEL { "no label" } else { self.classes.get(label as usize).map_or("unknown", String::as_str) }
    }

    /// Returns the samples of the chunks `chunks`, as a range of indices in the set.
    pub fn samples_of(&self, chunks: Range<u64>) -> Range<u64> {
        let first = |chunk: u64| chunk.saturating_mul(self.chunk_samples.into()).min(self.samples);
        first(chunks.start)..first(chunks.end)
    }

    /// Sets the number of samples per chunk. Adjusts the number of chunks per shard, so that shards keep about the same
    /// size.
    pub fn resize_chunks(&mut self, chunk_samples: u32) {
        let shard_samples = u64::from(self.shard_chunks) * u64::from(self.chunk_samples);
        self.shard_chunks = (shard_samples / u64::from(chunk_samples.max(1))).clamp(1, 1 << 20) as u32;
        self.chunk_samples = chunk_samples.max(1);
    }

    /// Returns the description of a part of this set. It lists the same sources as the whole set.
    pub fn into_part(mut self, part: Part) -> SetDescription {
        let range = self.samples_of(part.chunks(self.chunks()));
        self.samples = range.end - range.start;
        self.part = Some(part);
        self
    }
}

/// File name of shard `i`: `00000.shard`.
pub fn shard_name(i: u64) -> String {
    format!("{i:05}.shard")
}
