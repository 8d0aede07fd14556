//! A CUDA kernel with its number of threads and its shared memory, and the sizes that several kernels share.

use crate::error::Result;
use crate::gpu::{Kernel, KernelStruct, Stream};
use crate::kernel::product::{PLANE_BYTES, TILE};

/// Number of threads per CUDA block, for most kernels.
pub(crate) const BLOCK_THREADS: usize = 256;
/// Number of active cells that a CUDA block of `iaf_forward_cells` or `outputs_cells` keeps in shared memory at a time.
pub(super) const ENTRIES: usize = 2048;
/// Size in bytes of the shared memory of a CUDA block of `iaf_forward_cells` or `outputs_cells`. This memory
/// holds input currents, starts of frames, and active cells.
pub(super) const CELLS_BYTES: usize =
    2 * PLANE_BYTES + 2 * (TILE + 4) * size_of::<u32>() + ENTRIES * 2 * size_of::<u32>();

/// A CUDA kernel, with the number of threads per block and the shared memory per block in bytes.
#[derive(Debug)]
pub(crate) struct SizedKernel {
    kernel: Kernel,
    threads: u32,
    shared_bytes: usize,
}

impl SizedKernel {
    pub(super) fn new(kernel: Kernel, threads: usize, shared_bytes: usize) -> SizedKernel {
        SizedKernel { kernel, threads: threads as u32, shared_bytes }
    }

    /// Queues the kernel on `stream`. `blocks` is the number of CUDA blocks in x and in y.
    pub(crate) fn launch<A: KernelStruct>(&self, stream: &Stream, blocks: [usize; 2], args: &A) -> Result<()> {
        self.launch_sized(stream, blocks, self.shared_bytes, args)
    }

    /// Like [`SizedKernel::launch`], with less shared memory per CUDA block, so that more blocks run at the same time.
    pub(crate) fn launch_sized<A: KernelStruct>(
        &self,
        stream: &Stream,
        blocks: [usize; 2],
        shared_bytes: usize,
        args: &A,
    ) -> Result<()> {
        let [x, y] = blocks.map(|n| u32::try_from(n).unwrap_or(u32::MAX)); // the driver refuses u32::MAX in x and y
        stream.launch(&self.kernel, [x, y, 1], self.threads, shared_bytes, args)
    }
}
