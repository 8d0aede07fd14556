//! Writes dense frames as NumPy files.

use std::ops::Range;
use std::path::Path;

use tonic_base::{Progress, Verbosity, remove_file};
use tonic_report::write_npy;
use tonic_shard::{FrameShape, NO_LABEL, SampleFrames, SampleReader, ShardSet, Width, refuse_url};

use crate::error::{BaseFault, Error, Result};
use crate::range::check_range;

/// The arrays that an export wrote.
#[derive(Clone, Debug)]
pub struct Exported {
    /// Indices, in the exported set, of the samples that were written.
    pub samples: Range<u64>,
    /// Size of all files in bytes.
    pub bytes: u64,
}

/// Writes each sample to a file `frames_<index>.npy`, (T, P, H, W), with the number type of the set's counts. `<index>`
/// is the index of the sample in the set. Writes the labels of these samples to `labels.npy`, as int64, with -1 for
/// samples without a label.
///
/// Without `overwrite`, the folder `out` must be new or empty. With `overwrite`, the arrays of an earlier export in
/// `out` are removed first; other files stay.
///
/// # Errors
/// [`tonic_base::Error::Usage`] for a range outside the set, [`tonic_base::Error::Exists`] for a folder that is not
/// empty, [`tonic_base::Error::Io`], [`tonic_base::Error::Corrupt`].
pub fn export_npy(
    set: &ShardSet,
    out: &Path,
    samples: Range<u64>,
    overwrite: bool,
    verbosity: Verbosity,
) -> Result<Exported> {
    check_range(set, &samples)?;
    empty_folder(out, overwrite)?;
    let progress = Progress::start(verbosity, "export", samples.end - samples.start, "samples");
    let description = &set.manifest().description;
    let shape = description.shape;
    let mut reader = SampleReader::new(set);
    let mut labels = Vec::with_capacity((samples.end - samples.start) as usize);
    let mut bytes = 0;
    for sample in samples.clone() {
        let (chunk, inside) = reader.sample(sample)?;
        let frames = chunk.frames.sample(inside);
        let dims = [frames.frames() as u64, shape.polarities.into(), shape.height.into(), shape.width.into()];
        let path = out.join(format!("frames_{sample}.npy"));
        bytes += match description.widths.counts {
            Width::U8 => write_npy(&path, &dims, dense(&frames, shape).map(|n| n as u8))?,
            Width::U16 => write_npy(&path, &dims, dense(&frames, shape).map(|n| n as u16))?,
            Width::U32 => write_npy(&path, &dims, dense(&frames, shape).map(|n| n as u32))?,
            Width::F32 => write_npy(&path, &dims, dense(&frames, shape).map(|n| n as f32))?,
        };
        let label = chunk.table.labels[inside];
        labels.push(if label == NO_LABEL { -1 } else { i64::from(label) });
        progress.add(1);
    }
    bytes += write_npy(&out.join("labels.npy"), &[labels.len() as u64], labels.into_iter())?;
    progress.finish();
    Ok(Exported { samples, bytes })
}

/// Iterates over the values of all cells of a sample, (T, P, H, W). Each value is computed when it is needed, because
/// even one dense frame can be larger than the memory.
fn dense<'a>(frames: &'a SampleFrames<'a>, shape: FrameShape) -> impl Iterator<Item = f64> + 'a {
    let cells = shape.cells();
    let index = move |(frame, cell, value): (usize, u32, f64)| (frame as u64 * cells + u64::from(cell), value);
    let mut entries = frames.iter().map(index).peekable();
    let value = move |at| entries.next_if(|(index, _)| *index == at).map_or(0.0, |(_, value)| value);
    (0..frames.frames() as u64 * cells).map(value)
}

/// Creates the folder `out`, or removes the arrays of an earlier export from it. Without `overwrite`, returns an error
/// if the folder isn't empty.
fn empty_folder(out: &Path, overwrite: bool) -> Result<()> {
    refuse_url("npy", out)?;
    std::fs::create_dir_all(out).map_err(Error::io(out, "create the directory"))?;
    for entry in std::fs::read_dir(out).map_err(Error::io(out, "list the directory"))? {
        let path = entry.map_err(Error::io(out, "list the directory"))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let number = name.strip_prefix("frames_").and_then(|rest| rest.strip_suffix(".npy"));
        if !overwrite {
            return Err(Error::exists(out, "it holds files, of which only arrays can be replaced"));
        }
        if name == "labels.npy" || number.is_some_and(|n| n.parse::<u64>().is_ok()) {
            remove_file(&path)?;
        }
    }
    Ok(())
}
