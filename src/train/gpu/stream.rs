//! Streams: queues of work for a GPU. The GPU does the work of a stream in order.

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU64, Ordering};

use cudarc::driver::sys::{self, CUstream};

use crate::error::Result;
use crate::gpu::args::KernelStruct;
use crate::gpu::device::{Device, check};
use crate::gpu::event::Event;
use crate::gpu::module::Kernel;

/// Maximum size of the arguments of a kernel, in bytes.
const ARGUMENTS_LIMIT: usize = 32764;

/// Memory with room for the arguments of any kernel. The driver reads as many bytes as the kernel declares, even if the
/// caller's struct is smaller than that.
#[repr(C, align(16))]
struct Padded([MaybeUninit<u8>; ARGUMENTS_LIMIT]);

/// A queue of work for a GPU. The GPU does the work of one stream in order, and can work on several streams at the same
/// time. A call returns when its work is queued, not when the work is done. If the work fails, a later call returns the
/// error.
#[derive(Debug)]
pub struct Stream {
    device: Device,
    raw: CUstream,
    /// Number of the stream, unique in the process. The handle `raw` is not unique: the driver may give the handle of a
    /// destroyed stream to a new stream.
    id: u64,
}

// SAFETY: the driver takes work for a stream from any thread, and from several at a time.
unsafe impl Send for Stream {}
// SAFETY: the driver takes it from several threads at a time.
unsafe impl Sync for Stream {}

impl Device {
    /// Makes a stream that works independently of all other streams, also of CUDA's default stream.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::Error::Cuda).
    pub fn stream(&self) -> Result<Stream> {
        self.stream_of(0)
    }

    /// Makes a stream whose work has priority over the work of other streams.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::Error::Cuda).
    pub(crate) fn urgent_stream(&self) -> Result<Stream> {
        self.stream_of(c_int::MIN) // the driver clamps this to its highest priority
    }

    fn stream_of(&self, priority: c_int) -> Result<Stream> {
        static STREAMS: AtomicU64 = AtomicU64::new(0);
        self.activate()?;
        let mut raw = std::ptr::null_mut();
        let flags = sys::CUstream_flags::CU_STREAM_NON_BLOCKING as u32;
        // SAFETY: the context is current; the driver writes one handle.
        let code = unsafe { sys::cuStreamCreateWithPriority(&raw mut raw, flags, priority) };
        check(code, || format!("make a stream on {self}"))?;
        Ok(Stream { device: self.clone(), raw, id: STREAMS.fetch_add(1, Ordering::Relaxed) })
    }
}

impl Stream {
    /// Device of the stream.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Queues a kernel on a grid of CUDA blocks. `grid` is the number of blocks in x, y and z. If one of these numbers
    /// is 0, nothing is queued. Each block has `threads` threads, and `shared_bytes` bytes of dynamic shared memory.
    ///
    /// This function is safe, although the kernel writes to the addresses in `args`. Every [`Address`] is null or
    /// points into a `Buffer`, and Rust has no values in the device memory of a `Buffer`. If a kernel writes outside
    /// its arrays, or gets the struct of another kernel, it can damage other arrays in device memory, or end with
    /// CUDA_ERROR_ILLEGAL_ADDRESS.
    ///
    /// All GPUs can also write to page-locked host memory, and some GPUs to any host memory. A kernel must never
    /// compute an address in host memory. The compiler can't check this, so the kernels' sources are trusted like the
    /// code in an `unsafe` block.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::Error::Cuda), also if earlier work failed.
    ///
    /// [`Address`]: crate::gpu::Address
    pub(crate) fn launch<A: KernelStruct>(
        &self,
        kernel: &Kernel,
        grid: [u32; 3],
        threads: u32,
        shared_bytes: usize,
        args: &A,
    ) -> Result<()> {
        if grid.contains(&0) {
            return Ok(());
        }
        const { assert!(size_of::<A>() <= ARGUMENTS_LIMIT && align_of::<A>() <= align_of::<Padded>()) };
        self.device.activate()?;
        let mut padded = Padded([MaybeUninit::uninit(); ARGUMENTS_LIMIT]);
        let pointer = padded.0.as_mut_ptr();
        let mut params = [pointer.cast::<c_void>()];
        let shared = u32::try_from(shared_bytes).unwrap_or(u32::MAX);
        let ([x, y, z], none) = (grid, std::ptr::null_mut());
        // SAFETY: the padded bytes have room for the arguments, and for those of any kernel. The context is current,
        // and the driver reads the arguments before it returns.
        let code = unsafe {
            pointer.cast::<A>().write(*args);
            sys::cuLaunchKernel(kernel.raw(), x, y, z, threads, 1, 1, shared, self.raw, params.as_mut_ptr(), none)
        };
        check(code, || format!("launch {} on {}", kernel.name(), self.device))
    }

    /// Records a CUDA event after all work that is queued on this stream at the time of the call.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::Error::Cuda).
    pub(crate) fn record(&self, event: &Event) -> Result<()> {
        self.device.activate()?;
        // SAFETY: both are the driver's.
        check(unsafe { sys::cuEventRecord(event.raw(), self.raw) }, || format!("record an event on {}", self.device))
    }

    /// Makes this stream wait for a CUDA event: work that is queued later starts only after the event. If the event was
    /// never recorded, the stream doesn't wait.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::Error::Cuda).
    pub(crate) fn wait(&self, event: &Event) -> Result<()> {
        self.device.activate()?;
        // SAFETY: both are the driver's.
        let code = unsafe { sys::cuStreamWaitEvent(self.raw, event.raw(), 0) };
        check(code, || format!("wait for an event on {}", self.device))
    }

    /// Waits until all work that is queued on this stream at the time of the call has ended.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::Error::Cuda), also if the work failed.
    pub(crate) fn synchronize(&self) -> Result<()> {
        self.device.activate()?;
        // SAFETY: the stream is the driver's.
        check(unsafe { sys::cuStreamSynchronize(self.raw) }, || format!("finish the work on {}", self.device))
    }

    pub(super) fn raw(&self) -> CUstream {
        self.raw
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.device.activate().is_ok() {
            // SAFETY: it is destroyed once, and the driver finishes its work first. After a failure it stays.
            let _ = unsafe { sys::cuStreamDestroy_v2(self.raw) };
        }
    }
}
