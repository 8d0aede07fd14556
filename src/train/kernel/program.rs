//! The CUDA program: the sources beside the kernels' CPU code, compiled for one device, one form of the input and one
//! precision.
//!
//! ```text
//! device.cuh    what all of them share: bfloat16 pieces, products of tiles
//! order.cu      draw: which samples a batch has
//! inflate.cu    inflate: a batch as dense float32; inflate_input: as the first layer's weight gradient reads it
//! iaf.cu        iaf_forward, iaf_backward: a layer over time and back, its matmul included
//! linear.cu     weight_gradient, readout_gradient
//! loss.cu       readout: logits, loss and its gradient
//! adam.cu       update, pack
//! ```

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::cuda::{Device, Image, Kernel, KernelStruct, Source, Stream, cached};
use super::interface::{Sample, TILE, declarations};
use crate::column::Width;
use crate::error::{Error, Result};
use crate::frames::FrameShape;

/// The sources in their order; each uses those before.
const SOURCES: [&str; 6] = [
    include_str!("order.cu"),
    include_str!("inflate.cu"),
    include_str!("iaf.cu"),
    include_str!("linear.cu"),
    include_str!("loss.cu"),
    include_str!("adam.cu"),
];
/// Bytes of a plane of bfloat16, and of one of float32, of `device.cuh`.
const PLANE: usize = 64 * 72 * 2;
/// Threads of the kernels that multiply, `THREADS` of `device.cuh`.
const MULTIPLY_THREADS: usize = 128;
/// Threads of the other kernels.
pub const THREADS: usize = 256;
/// Entries that a block of the first layer has in shared memory, `ENTRIES` of `iaf.cu`.
const ENTRIES: usize = 2048;
/// Shared memory of a block of the first layer: currents, where frames end in this tile and the next, and entries.
const CELLS_BYTES: usize = 2 * PLANE + 2 * (TILE + 4) * size_of::<u32>() + ENTRIES * 2 * size_of::<u32>();
/// Shared memory of a block that the system takes.
const RESERVED: usize = 1024;
/// Shared memory of a block of `inflate` and `inflate_input`.
pub const INFLATE_BYTES: usize = 32 << 10;

/// How exact the products of matrices on a GPU are, in the words of PyTorch's `set_float32_matmul_precision`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MatmulPrecision {
    /// As in float32: three bfloat16 pieces a number.
    #[default]
    Highest,
    /// 16 bits of each number: two pieces, more than TF32's 11 bits.
    High,
    /// 8 bits: plain bfloat16.
    Medium,
}

impl MatmulPrecision {
    /// bfloat16 pieces a number.
    pub fn pieces(self) -> usize {
        match self {
            MatmulPrecision::Highest => 3,
            MatmulPrecision::High => 2,
            MatmulPrecision::Medium => 1,
        }
    }
}

impl FromStr for MatmulPrecision {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<MatmulPrecision, String> {
        match text {
            "highest" => Ok(MatmulPrecision::Highest),
            "high" => Ok(MatmulPrecision::High),
            "medium" => Ok(MatmulPrecision::Medium),
            _ => Err("expected highest, high or medium".into()),
        }
    }
}

/// How the columns of samples lie in device memory: the same for all sets of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// Of where a frame's entries end in its sample.
    pub frame_ends: Width,
    /// Of a cell.
    pub cells: Width,
    /// Of a count.
    pub counts: Width,
}

impl Form {
    /// For sets of frames of `shape`, up to `longest` in a sample, with counts of these widths.
    pub fn of(shape: FrameShape, longest: usize, counts: impl IntoIterator<Item = Width>) -> Form {
        // No narrower than two bytes: a set of frames so small gains nothing.
        let entries = shape.cells().saturating_mul(longest as u64).clamp(1 << 8, u32::MAX.into());
        Form {
            frame_ends: Width::holding(entries as u32),
            cells: Width::holding((shape.cells() - 1) as u32),
            counts: counts.into_iter().max().unwrap_or(Width::U8),
        }
    }

    /// Bytes that samples of so many frames and entries take.
    pub fn bytes(&self, samples: u64, frames: u64, entries: u64) -> u64 {
        samples * size_of::<Sample>() as u64
            + frames * self.frame_ends.bytes() as u64
            + entries * (self.cells.bytes() + self.counts.bytes()) as u64
    }

    /// bfloat16 pieces that hold every count: 8 bits a piece.
    pub fn input_pieces(&self) -> usize {
        match self.counts {
            Width::U8 => 1,
            Width::U16 => 2,
            Width::U32 | Width::F32 => 3,
        }
    }
}

/// What a program is compiled for, besides the device's generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Of the input.
    pub form: Form,
    /// Of products.
    pub precision: MatmulPrecision,
    /// Shared memory that a block can have, in bytes, of which a multiprocessor has about as much in all.
    pub shared_memory: usize,
}

impl Variant {
    /// All sources as one text.
    pub fn text() -> String {
        let head = include_str!("device.cuh");
        [declarations().as_str(), head].into_iter().chain(SOURCES).collect::<Vec<_>>().join("\n")
    }

    /// What the text leaves open.
    pub fn defines(&self) -> Vec<(String, String)> {
        let number = |width: Width| match width {
            Width::U8 => "unsigned char",
            Width::U16 => "unsigned short",
            Width::U32 => "unsigned int",
            Width::F32 => "float",
        };
        let Form { frame_ends, cells, counts } = self.form;
        let defines = [
            ("FrameEnd", number(frame_ends).to_string()),
            ("Cell", number(cells).to_string()),
            ("Count", number(counts).to_string()),
            ("PIECES", self.precision.pieces().to_string()),
            ("INPUT_PIECES", self.form.input_pieces().to_string()),
            ("FORWARD_STAGES", self.stages(Variant::forward_bytes).to_string()),
            ("BACKWARD_STAGES", self.stages(Variant::backward_bytes).to_string()),
            ("GRADIENT_STAGES", self.gradient_stages().to_string()),
        ];
        defines.map(|(name, value)| (name.to_string(), value)).into()
    }

    fn forward_bytes(&self, stages: usize) -> usize {
        2 * PLANE + stages * (1 + self.precision.pieces()) * PLANE
    }

    fn backward_bytes(&self, stages: usize) -> usize {
        let (pieces, tile) = (self.precision.pieces(), 4 * PLANE);
        // Of two pieces or more, a part has room for the tile that its product becomes.
        stages * 2 * pieces * PLANE + if pieces > 1 { 0 } else { tile }
    }

    /// With `before` pieces of what goes in.
    fn gradient_bytes(&self, before: usize, stages: usize) -> usize {
        stages * (before + self.precision.pieces()) * PLANE
    }

    /// Parts of a product in shared memory: 2, one being loaded while the other is used, if two blocks have room for that
    /// on a multiprocessor. Two blocks hide more than two parts of one.
    fn stages(&self, bytes: fn(&Variant, usize) -> usize) -> usize {
        if 2 * (bytes(self, 2) + RESERVED) <= self.shared_memory + RESERVED { 2 } else { 1 }
    }

    fn gradient_stages(&self) -> usize {
        self.stages(|variant, stages| variant.gradient_bytes(variant.form.input_pieces(), stages))
    }
}

/// A kernel, and what each of its launches has alike.
#[derive(Debug)]
pub struct Entry {
    kernel: Kernel,
    threads: u32,
    shared_bytes: usize,
}

impl Entry {
    /// Queues it on so many blocks.
    ///
    /// # Errors
    /// [`Error::Cuda`].
    pub fn launch<A: KernelStruct>(&self, stream: &Stream, blocks: [usize; 2], args: &A) -> Result<()> {
        self.launch_sized(stream, blocks, self.shared_bytes, args)
    }

    /// The same with less shared memory, so that more blocks run at a time.
    ///
    /// # Errors
    /// [`Error::Cuda`].
    pub fn launch_sized<A: KernelStruct>(
        &self,
        stream: &Stream,
        blocks: [usize; 2],
        shared_bytes: usize,
        args: &A,
    ) -> Result<()> {
        let [x, y] = blocks.map(|n| u32::try_from(n).unwrap_or(u32::MAX)); // which the driver refuses
        stream.launch(&self.kernel, [x, y, 1], self.threads, shared_bytes, args)
    }
}

/// The kernels, loaded.
#[derive(Debug)]
pub struct Program {
    device: Device,
    variant: Variant,
    /// Which samples a batch has.
    pub draw: Entry,
    /// A batch as dense float32.
    pub inflate: Entry,
    /// A batch as the first layer's weight gradient reads it.
    pub inflate_input: Entry,
    /// The first layer over time.
    pub iaf_forward_cells: Entry,
    /// A further layer over time.
    pub iaf_forward: Entry,
    /// Logits, loss, and the loss's gradient.
    pub readout: Entry,
    /// The readout's gradients, and the batch's score.
    pub readout_gradient: Entry,
    /// The last layer back through time.
    pub iaf_backward_constant: Entry,
    /// A layer before back through time.
    pub iaf_backward: Entry,
    /// The first layer's weights.
    pub weight_gradient_cells: Entry,
    /// The same, of an input that is dense.
    pub weight_gradient_input: Entry,
    /// A further layer's weights.
    pub weight_gradient: Entry,
    /// Adam.
    pub update: Entry,
    /// Weights in the layouts that products read.
    pub pack: Entry,
}

impl Program {
    /// Compiles, or takes from the cache on disk, and loads.
    ///
    /// # Errors
    /// [`Error::Unavailable`] without NVRTC, [`Error::Cuda`].
    pub fn new(device: &Device, form: Form, precision: MatmulPrecision) -> Result<Program> {
        let (variant, image) = Program::compile(device, form, precision)?;
        let module = device.load(&image)?;
        let entry = |name, threads: usize, shared_bytes| {
            let kernel = module.kernel(name, shared_bytes)?;
            Ok::<Entry, Error>(Entry { kernel, threads: threads as u32, shared_bytes })
        };
        let words = THREADS * size_of::<u32>();
        let gradient_stages = variant.gradient_stages();
        let input_bytes = variant.gradient_bytes(form.input_pieces(), gradient_stages);
        let forward_bytes = variant.forward_bytes(variant.stages(Variant::forward_bytes));
        let backward_bytes = variant.backward_bytes(variant.stages(Variant::backward_bytes));
        Ok(Program {
            draw: entry("draw", THREADS, words)?,
            inflate: entry("inflate", THREADS, INFLATE_BYTES)?,
            inflate_input: entry("inflate_input", THREADS, INFLATE_BYTES)?,
            iaf_forward_cells: entry("iaf_forward_cells", THREADS, CELLS_BYTES)?,
            iaf_forward: entry("iaf_forward", MULTIPLY_THREADS, forward_bytes)?,
            readout: entry("readout", THREADS, 2 * words)?,
            readout_gradient: entry("readout_gradient", THREADS, 3 * words)?,
            iaf_backward_constant: entry("iaf_backward_constant", MULTIPLY_THREADS, 4 * PLANE)?,
            iaf_backward: entry("iaf_backward", MULTIPLY_THREADS, backward_bytes)?,
            weight_gradient_cells: entry("weight_gradient_cells", MULTIPLY_THREADS, input_bytes)?,
            weight_gradient_input: entry("weight_gradient_input", MULTIPLY_THREADS, input_bytes)?,
            weight_gradient: entry("weight_gradient", MULTIPLY_THREADS, variant.gradient_bytes(1, gradient_stages))?,
            update: entry("update", THREADS, 0)?,
            pack: entry("pack", THREADS, 0)?,
            device: device.clone(),
            variant,
        })
    }

    /// Compiles, unless the cache on disk has it.
    ///
    /// # Errors
    /// Those of [`Program::new`].
    pub fn compile(device: &Device, form: Form, precision: MatmulPrecision) -> Result<(Variant, Image)> {
        let variant = Variant { form, precision, shared_memory: device.shared_memory_limit() };
        let (text, defines) = (Variant::text(), variant.defines());
        Ok((variant, cached(&Source { text: &text, defines: &defines }, device)?))
    }

    /// The device that it is loaded on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// How columns have to lie.
    pub fn form(&self) -> Form {
        self.variant.form
    }

    /// bfloat16 pieces of a number.
    pub fn pieces(&self) -> usize {
        self.variant.precision.pieces()
    }
}
