//! Dense frames as NumPy arrays, for those who stay in Python.

use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::Path;

use npyz::WriterBuilder;

use crate::error::{Error, Result};
use crate::frames::Width;
use crate::progress::Progress;
use crate::publish::Draft;
use crate::shard::codec::{Decoder, NO_LABEL};
use crate::shard::reader::ShardSet;

/// Writes `frames_<i>.npy`, (T, P, H, W) in the set's count type, and `labels.npy` (int64, -1 for none) into `out`.
///
/// # Errors
/// [`Error::Usage`] for samples that the set has not, [`Error::Io`], [`Error::Corrupt`].
pub fn export_npy(set: &ShardSet, out: &Path, samples: Range<u64>, progress: &Progress) -> Result<()> {
    if samples.start > samples.end || samples.end > set.len() {
        let got = format!("{}..{}", samples.start, samples.end);
        return Err(Error::usage("--samples", format!("a range A..B within 0..{}", set.len()), got));
    }
    std::fs::create_dir_all(out).map_err(Error::io(out, "create the directory"))?;
    let description = &set.manifest().description;
    let shape = description.shape;
    let per_chunk = u64::from(description.chunk_samples);
    let (mut decoder, mut chunk) = (Decoder::new(), set.empty_chunk());
    let mut decoded = None;
    let mut labels = Vec::with_capacity((samples.end - samples.start) as usize);
    for sample in samples {
        let number = sample / per_chunk;
        if decoded.replace(number) != Some(number) {
            set.decode(number, &mut decoder, &mut chunk)?;
        }
        let inside = (sample % per_chunk) as usize;
        let frames = chunk.frames.sample(inside);
        let dims = [frames.frames() as u64, shape.polarities.into(), shape.height.into(), shape.width.into()];
        let dense = frames.to_dense::<u32>(shape);
        let path = out.join(format!("frames_{sample}.npy"));
        match description.widths.counts {
            Width::U8 => write_npy(&path, &dims, dense.iter().map(|&n| n as u8))?,
            Width::U16 => write_npy(&path, &dims, dense.iter().map(|&n| n as u16))?,
            Width::U32 => write_npy(&path, &dims, dense.iter().copied())?,
        }
        let label = chunk.table.labels[inside];
        labels.push(if label == NO_LABEL { -1 } else { i64::from(label) });
        progress.add(1);
    }
    write_npy(&out.join("labels.npy"), &[labels.len() as u64], labels.into_iter())
}

fn write_npy<T: npyz::AutoSerialize>(path: &Path, shape: &[u64], numbers: impl Iterator<Item = T>) -> Result<()> {
    let draft = Draft::create(path)?;
    let mut out = BufWriter::new(&draft.file);
    let write = || -> std::io::Result<()> {
        let mut npy = npyz::WriteOptions::new().default_dtype().shape(shape).writer(&mut out).begin_nd()?;
        npy.extend(numbers)?;
        npy.finish()?;
        out.flush()
    };
    write().map_err(Error::io(path, "write the array"))?;
    drop(out);
    draft.publish()
}
