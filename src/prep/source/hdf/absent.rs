//! Finds the rows of a dataset that have no data, because their chunks were never written, or because external raw
//! files are missing or too short.

use std::ops::Range;
use std::path::{Path, PathBuf};

use hdf5::dataset::ExternalFile;
use hdf5::{Dataset, Result};

use crate::source::hdf::coverage::{Gaps, Region};
use crate::source::hdf::links::LinkedPath;
use crate::source::hdf::search;

pub(super) fn shape(dataset: &Dataset) -> Vec<u64> {
    dataset.shape().iter().map(|&length| length as u64).collect()
}

/// Finds the rows of a region that lack data, because external raw files are missing or too short. Returns three
/// things:
///
/// - these rows
/// - the raw files that are long enough
/// - what is wrong with the first raw file that is missing or too short
pub(super) fn raw_files(
    dataset: &Dataset,
    files: &[ExternalFile],
    region: &Region,
) -> Result<(Gaps, Vec<LinkedPath>, Option<String>)> {
    let row: u64 = shape(dataset).iter().skip(1).fold(dataset.dtype()?.size() as u64, |a, &b| a.saturating_mul(b));
    let needed = region.rows.start.saturating_mul(row)..region.rows.end.saturating_mul(row);
    let from = PathBuf::from(dataset.filename());
    let (mut missing, mut linked, mut wrong, mut at) = (Gaps::default(), Vec::new(), None, 0_u64);
    for file in files {
        let start = at;
        // The crate `hdf5` gives the size 0 for unlimited.
        at = at.saturating_add(if file.size == 0 { u64::MAX } else { file.size as u64 });
        let here = start.max(needed.start)..at.min(needed.end);
        if here.is_empty() {
            continue;
        }
        let path = search::raw_file(&file.name, &from);
        let (bytes, fault) = match std::fs::metadata(&path) {
            Ok(meta) if meta.is_file() => (meta.len(), format!("which ends after {} bytes", meta.len())),
            Ok(_) => (0, "which is no regular file".into()),
            Err(_) => (0, not_there(&path, &search::expected_at(&file.name, &from))),
        };
        let held = start.saturating_add(bytes.saturating_sub(file.offset as u64));
        if held < here.end {
            missing.add(held.max(here.start) / row..here.end.div_ceil(row));
            wrong.get_or_insert_with(|| format!("{}, {fault}", path.display()));
        } else {
            linked.push(LinkedPath { name: file.name.clone(), path });
        }
    }
    missing.add(at.max(needed.start) / row..needed.end.div_ceil(row));
    Ok((missing, linked, wrong))
}

/// Returns what is wrong with a raw file that was not found at `path`. `beside` is the path that the raw file would
/// have in the folder of the HDF5 file, where libhdf5 doesn't look.
fn not_there(path: &Path, beside: &Path) -> String {
    if path != beside && beside.is_file() {
        return format!("which is not there (it is at {}, where HDF5 does not look by itself)", beside.display());
    }
    "which is not there".into()
}

/// Returns the rows of a region for which at least one chunk was never written.
pub(super) fn missing_chunks(dataset: &Dataset, chunk: &[usize], region: &Region) -> Result<Gaps> {
    let (shape, chunk) = (shape(dataset), chunk.iter().map(|&length| length.max(1) as u64).collect::<Vec<_>>());
    if shape.is_empty() || shape.len() != chunk.len() {
        return Ok(Gaps::default());
    }
    let grid: Vec<u64> = shape.iter().zip(&chunk).map(|(length, chunk)| length.div_ceil(*chunk)).collect();
    let chunks = grid.iter().fold(1_u64, |product, &n| product.saturating_mul(n));
    let bytes = dataset.file()?.size();
    if chunks > bytes {
        // A chunk has at least one byte, so some chunks were never written. There are too many chunks to find out which
        // ones, so all rows of the region count as missing.
        let mut all = Gaps::default();
        all.add(region.rows.clone());
        return Ok(all);
    }
    if dataset.num_chunks().is_some_and(|written| written as u64 == chunks) {
        return Ok(Gaps::default());
    }
    let within = |range: &Range<u64>, axis: usize| range.start / chunk[axis]..range.end.div_ceil(chunk[axis]);
    let rows = within(&region.rows, 0);
    let columns = if chunk.len() > 1 { within(&region.columns, 1) } else { 0..1 };
    let in_a_row = grid.iter().skip(2).product::<u64>() * (columns.end - columns.start);
    let mut written = Vec::new();
    dataset.chunks_visit(|found| {
        let place = |axis: usize| found.offset.get(axis).map_or(0, |first| first / chunk[axis]);
        if rows.contains(&place(0)) && columns.contains(&place(1)) {
            written.push(place(0));
        }
        0
    })?;
    written.sort_unstable();
    let mut missing = Gaps::default();
    let mut reached = rows.start;
    let mut skip = |from: u64, to: u64| {
        missing.add((from * chunk[0]).max(region.rows.start)..to.saturating_mul(chunk[0]).min(region.rows.end));
    };
    for row in written.chunk_by(|a, b| a == b).filter(|row| row.len() as u64 == in_a_row) {
        skip(reached, row[0]);
        reached = row[0] + 1;
    }
    skip(reached, rows.end);
    Ok(missing)
}
