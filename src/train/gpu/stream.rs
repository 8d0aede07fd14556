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

/// Memory for the arguments of any kernel. The driver may read more bytes than the caller's struct has.
#[repr(C, align(16))]
struct Padded([MaybeUninit<u8>; ARGUMENTS_LIMIT]);

/// A queue of work for a GPU. The work of one stream runs in order. The work of several streams can run at the same
/// time. A call returns when its work is queued. If work fails, a later call returns the error.
#[derive(Debug)]
pub struct Stream {
    device: Device,
    raw: CUstream,
    /// Number of the stream, unique in the process, unlike the handle `raw`.
    id: u64,
}

// SAFETY: the driver takes work for a stream from any thread, and from several at a time.
unsafe impl Send for Stream {}
// SAFETY: the driver takes work for a stream from several threads at a time.
unsafe impl Sync for Stream {}

impl Device {
    /// Makes a stream that works independently of all other streams, also of CUDA's default stream.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::Error::Cuda) if the GPU's driver returns an error.
    pub fn stream(&self) -> Result<Stream> {
        self.stream_of(0)
    }

    /// Makes a stream whose work has priority over the work of other streams.
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
    /// Returns the GPU of the stream.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Queues a kernel on `grid` CUDA blocks in x, y and z, each with `threads` threads and `shared_bytes` bytes of
    /// dynamic shared memory. Queues nothing if a number in `grid` is 0.
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
        // SAFETY: `padded` has room for the arguments of this kernel, and of any other kernel. The context is current,
        // and the driver reads the arguments before it returns. The addresses in `args` are null or point into a
        // `Buffer`, and Rust has no values in GPU memory. A kernel could also write to host memory; the compiler can't
        // check this, so the kernels' sources are trusted like the code in an `unsafe` block.
        let code = unsafe {
            pointer.cast::<A>().write(*args);
            sys::cuLaunchKernel(kernel.raw(), x, y, z, threads, 1, 1, shared, self.raw, params.as_mut_ptr(), none)
        };
        check(code, || format!("launch {} on {}", kernel.name(), self.device))
    }

    /// Records a CUDA event after all work that is already queued on this stream.
    pub(crate) fn record(&self, event: &Event) -> Result<()> {
        self.device.activate()?;
        // SAFETY: the event and the stream are the driver's.
        check(unsafe { sys::cuEventRecord(event.raw(), self.raw) }, || format!("record an event on {}", self.device))
    }

    /// Makes later work on this stream wait for a CUDA event. Does nothing if the event was never recorded.
    pub(crate) fn wait(&self, event: &Event) -> Result<()> {
        self.device.activate()?;
        // SAFETY: the event and the stream are the driver's.
        let code = unsafe { sys::cuStreamWaitEvent(self.raw, event.raw(), 0) };
        check(code, || format!("wait for an event on {}", self.device))
    }

    /// Waits until all work on this stream has ended. Returns an error if the work failed.
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
            // SAFETY: the stream is destroyed once, here, and the driver finishes its work first. After a failure, the
            // stream stays.
            let _ = unsafe { sys::cuStreamDestroy_v2(self.raw) };
        }
    }
}
