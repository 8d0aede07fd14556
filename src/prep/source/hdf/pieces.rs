//! Splits the mappings of a virtual dataset into pieces, each with one source dataset. A mapping selects entries of a
//! source dataset, and the entries of the virtual dataset that they fill. If the source of a mapping is a numbered
//! series, the mapping becomes one piece for each source that exists.

use std::ops::Range;

use hdf5::plist::DatasetCreate;
use hdf5::{Dataset, Result};

use crate::source::hdf::absent::shape;
use crate::source::hdf::coverage::{Selection, Strided, bounds};
use crate::source::hdf::sources::{Piece, Sources};
use crate::source::hdf::sys::{Mapping, mappings};

/// Number of sources that are tried after the end of a numbered series. If one of them exists, a source before it is
/// missing.
const LOOK_AHEAD: u64 = 64;

/// The missing sources of a virtual dataset.
#[derive(Debug, Default)]
pub(super) struct Missing {
    /// The rows of the virtual dataset that come from the first missing source, and what is wrong with that source.
    /// `None` if no source is missing.
    pub(super) first: Option<(Range<u64>, String)>,
    /// Number of missing sources other than the first one.
    pub(super) more: u64,
}

impl Missing {
    /// Adds a missing source: its rows of the virtual dataset, and what is wrong with it.
    pub(super) fn add(&mut self, rows: Range<u64>, wrong: String) {
        match &mut self.first {
            Some((first, _)) if rows.start >= first.start => self.more += 1,
            Some(_) => {
                self.more += 1;
                self.first = Some((rows, wrong));
            }
            None => self.first = Some((rows, wrong)),
        }
    }
}

/// Returns the pieces of a virtual dataset. If the dataset is too short because a source does not exist, this source is
/// added to `missing`.
pub(super) fn pieces(
    sources: &mut Sources,
    dataset: &Dataset,
    properties: &DatasetCreate,
    missing: &mut Missing,
) -> Result<Vec<Piece>> {
    let (shape, mut pieces) = (shape(dataset), Vec::new());
    for mapping in mappings(properties)? {
        match unlimited_axis(&mapping.target) {
            None => pieces.push(Piece { target: mapping.target.boxes(&shape), ..of(mapping) }),
            Some(axis) if unlimited_axis(&mapping.source).is_none() => {
                pieces.extend(series(sources, dataset, &mapping, axis, &shape, missing));
            }
            Some(axis) => pieces.extend(growing(sources, dataset, mapping, axis, missing)),
        }
    }
    Ok(pieces)
}

fn of(mapping: Mapping) -> Piece {
    Piece {
        file: literal(&mapping.file),
        dataset: literal(&mapping.dataset),
        source: mapping.source,
        target: Vec::new(),
    }
}

/// Returns the axis on which a selection is unlimited. `None` if there is no such axis.
fn unlimited_axis(selection: &Selection) -> Option<usize> {
    selection.only()?.iter().position(Strided::is_unlimited)
}

/// Replaces `%%` in a name by a per cent sign.
fn literal(name: &str) -> String {
    name.replace("%%", "%")
}

/// Returns the name of source number `k` of a series: `%b` in `name` stands for the number.
fn numbered(name: &str, k: u64) -> String {
    name.split("%%").map(|part| part.replace("%b", &k.to_string())).collect::<Vec<_>>().join("%")
}

/// Returns the pieces of a numbered series of sources. Each source fills one block of the virtual dataset. The series
/// ends at the first number without a source, and libhdf5 ends the dataset there. If a source with a higher number
/// exists, or if there is no source at all, the first source that doesn't exist is added to `missing`.
fn series(
    sources: &mut Sources,
    dataset: &Dataset,
    mapping: &Mapping,
    axis: usize,
    shape: &[u64],
    missing: &mut Missing,
) -> Vec<Piece> {
    let Some(axes) = mapping.target.only() else { return Vec::new() };
    let blocks = axes[axis].blocks_below(shape.get(axis).copied().unwrap_or(0));
    let piece = |k: u64| {
        let mut target = axes.to_vec();
        target[axis] = Strided::range(axes[axis].block_range(k));
        let (file, dataset) = (numbered(&mapping.file, k), numbered(&mapping.dataset, k));
        Piece { file, dataset, source: mapping.source.clone(), target: vec![target] }
    };
    let mut pieces = Vec::new();
    for k in 0..blocks {
        let piece = piece(k);
        // A source that doesn't exist ends the series. The caller reports it.
        let there = sources.open(dataset, &piece).is_ok();
        pieces.push(piece);
        if !there {
            return pieces;
        }
    }
    let next = piece(blocks);
    let later = (blocks + 1..blocks + LOOK_AHEAD).find(|&k| sources.open(dataset, &piece(k)).is_ok());
    if blocks == 0 || later.is_some() {
        let rows = bounds(&next.target, 0);
        if let Err(wrong) = sources.open(dataset, &next) {
            missing.add(rows, next.described(dataset, &wrong));
        }
    }
    pieces
}

/// Returns the piece for a mapping of unlimited size to a single source. The piece has the entries that the source has
/// at present. If the source cannot be opened, it is added to `missing`.
fn growing(
    sources: &mut Sources,
    dataset: &Dataset,
    mapping: Mapping,
    axis: usize,
    missing: &mut Missing,
) -> Option<Piece> {
    let target = mapping.target.only()?.to_vec();
    let source_axis = unlimited_axis(&mapping.source)?;
    let mut piece = of(mapping);
    let source = match sources.open(dataset, &piece) {
        Ok((source, _)) => source,
        Err(wrong) => {
            let from = target.first().map_or(0, |rows| rows.start);
            missing.add(from..u64::MAX, piece.described(dataset, &wrong));
            return None;
        }
    };
    let extent = shape(&source).get(source_axis).copied().unwrap_or(0);
    let mut axes = piece.source.only()?.to_vec();
    let there = endless(axes[source_axis]).len_below(extent);
    let [whole, rest] = endless(axes[source_axis]).first(there);
    let others = |axes: &[Strided], skipped: usize| {
        let one = |(i, axis): (usize, &Strided)| if i == skipped { 1 } else { axis.len() };
        axes.iter().enumerate().map(one).fold(1_u64, u64::saturating_mul).max(1)
    };
    let lines = there.saturating_mul(others(&axes, source_axis)) / others(&target, axis);
    let with = |axes: &mut [Strided], i: usize, part: Strided| {
        axes[i] = part;
        axes.to_vec()
    };
    piece.source = Selection::Boxes(vec![with(&mut axes, source_axis, whole), with(&mut axes, source_axis, rest)]);
    piece.target = endless(target[axis]).first(lines).map(|part| with(&mut target.clone(), axis, part)).to_vec();
    Some(piece)
}

/// Converts a block of unlimited size to an unlimited number of blocks of one entry. Other selections are returned
/// unchanged.
fn endless(axis: Strided) -> Strided {
    if axis.block == u64::MAX { Strided { stride: 1, count: u64::MAX, block: 1, ..axis } } else { axis }
}
