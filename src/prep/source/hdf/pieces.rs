//! Takes the mappings of a virtual dataset apart into pieces with one source each, as many as there are now.

use std::ops::Range;

use hdf5::plist::DatasetCreate;
use hdf5::{Dataset, Result};

use crate::source::hdf::coverage::{Selection, Strided, bounds};
use crate::source::hdf::sources::{Piece, Sources};
use crate::source::hdf::stored::shape;
use crate::source::hdf::sys::{Mapping, mappings};

/// How many numbers after the end of a numbered series of sources are looked for, to find a series with a hole.
const LOOK_AHEAD: u64 = 64;

/// The sources that are missing.
#[derive(Debug, Default)]
pub(super) struct Missing {
    /// Rows of the first, and what is wrong with it.
    pub(super) first: Option<(Range<u64>, String)>,
    /// How many more there are.
    pub(super) more: u64,
}

impl Missing {
    /// Adds a source, with its rows of the virtual dataset.
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

/// The pieces of a virtual dataset. Sources that are missing where the dataset would be longer with them are added to
/// `missing`.
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

/// The axis on which a selection is unlimited.
fn unlimited_axis(selection: &Selection) -> Option<usize> {
    selection.only()?.iter().position(Strided::is_unlimited)
}

/// A name in which `%%` is a per cent sign.
fn literal(name: &str) -> String {
    name.replace("%%", "%")
}

/// The name of source number `k` of a series: `%b` is the number.
fn numbered(name: &str, k: u64) -> String {
    name.split("%%").map(|part| part.replace("%b", &k.to_string())).collect::<Vec<_>>().join("%")
}

/// The pieces of a numbered series of sources, a block of the virtual dataset each. The dataset ends where the series
/// ends, so a series without its first source is empty and one with a hole is short: both are missing sources.
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
        // One that is not there ends the series; the caller reports it.
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

/// The piece of a source that may still grow: as much as it has now.
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

/// An unlimited block as endless blocks of one.
fn endless(axis: Strided) -> Strided {
    if axis.block == u64::MAX { Strided { stride: 1, count: u64::MAX, block: 1, ..axis } } else { axis }
}
