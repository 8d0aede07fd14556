//! Writes sets of any shape and width from plain lists of frames. The fuzz targets of tests/fuzz use this file too.

use std::path::Path;

use tonic_toolkit::shard::{
    Chunk, ColumnBuf, Encoder, Existing, FLAG_EMPTY, FrameShape, Ledger, Manifest, Origin, OutputDir, SetDescription,
    SetWriter, Tool, Width, Widths,
};

/// The recipe of all sets that this module writes.
const RECIPE: &str = "[frames]\ntime_window = 10000\n";

/// The occupied cells of one frame in ascending order, as pairs (cell, count or value).
pub(crate) type Frame = Vec<(u32, f64)>;

/// The content of a set, as a reader should find it.
#[derive(Clone, Debug)]
pub(crate) struct Set {
    pub shape: FrameShape,
    pub counts: Width,
    pub chunk_samples: u32,
    pub shard_chunks: u32,
    pub classes: Vec<String>,
    pub extras: Vec<String>,
    /// Number of cropped events in the ledger of each sample.
    pub cropped: u64,
    /// For each sample: its label, and one value for all its extra columns. Samples after the end of this list get
    /// default values.
    pub rows: Vec<(u32, i64)>,
    pub samples: Vec<Vec<Frame>>,
}

impl Set {
    /// Makes a set with chunks of 2 samples, shards of 2 chunks and no extra columns.
    pub(crate) fn new(shape: [u32; 3], counts: Width, samples: Vec<Vec<Frame>>) -> Set {
        let [polarities, height, width] = shape;
        let shape = FrameShape { polarities, height, width };
        let classes = ["left", "right"].map(String::from).to_vec();
        let (extras, rows) = (Vec::new(), Vec::new());
        Set { shape, counts, chunk_samples: 2, shard_chunks: 2, classes, extras, cropped: 0, rows, samples }
    }

    pub(crate) fn write(&self, dir: &Path) -> Manifest {
        let description = self.description();
        let output = OutputDir::open(dir, Existing::Refuse).unwrap();
        let mut writer =
            SetWriter::start(output, description.clone(), Origin::default(), false, &mut |_, _, _| {}).unwrap();
        let mut encoder = Encoder::new(1).unwrap();
        for (number, samples) in self.samples.chunks(self.chunk_samples as usize).enumerate() {
            let mut chunk = Chunk::new(description.widths, self.extras.len());
            for (i, sample) in samples.iter().enumerate() {
                let row = self.rows.get(number * self.chunk_samples as usize + i);
                self.push(&mut chunk, sample, row.copied().unwrap_or((i as u32 % 2, -1 - i as i64)));
            }
            let encoded = encoder.encode(number as u64, &chunk).unwrap();
            writer.write(&chunk, encoded).unwrap();
        }
        writer.finish().unwrap()
    }

    fn push(&self, chunk: &mut Chunk, sample: &[Frame], (label, extra): (u32, i64)) {
        let sizes: Vec<u32> = sample.iter().map(|frame| frame.len() as u32).collect();
        let cells: Vec<u32> = sample.iter().flatten().map(|&(cell, _)| cell).collect();
        let values = sample.iter().flatten().map(|&(_, value)| value);
        let counts = match self.counts {
            Width::F32 => ColumnBuf::F32(values.map(|v| v as f32).collect()),
            _ => ColumnBuf::U32(values.map(|v| v as u32).collect()),
        };
        let binned = if self.counts == Width::F32 { cells.len() as u64 } else { counts.view().sum() };
        chunk.frames.push(&sizes, &cells, counts.view()).unwrap();
        chunk.table.labels.push(label);
        chunk.table.flags.push(if binned == 0 { FLAG_EMPTY } else { 0 });
        let cropped = self.cropped;
        chunk.table.ledgers.push(Ledger { events_in: binned + cropped, binned, cropped, ..Ledger::default() });
        chunk.table.extras.iter_mut().for_each(|column| column.push(extra));
    }

    fn description(&self) -> SetDescription {
        let (classes, recipe) = (self.classes.clone(), RECIPE.to_string());
        SetDescription {
            samples: self.samples.len() as u64,
            chunk_samples: self.chunk_samples,
            shard_chunks: self.shard_chunks,
            shape: self.shape,
            widths: Widths::of(self.shape, self.counts),
            recipe_id: SetDescription::recipe_id(self.shape, &recipe, &classes, &self.extras),
            recipe,
            classes,
            extras: self.extras.clone(),
            frame_limit: None,
            sources: Vec::new(),
            linked_files: Vec::new(),
            tool: Tool::this(1),
            part: None,
        }
    }
}
