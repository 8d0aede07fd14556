//! Work on a GPU in order: copies and launches.

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use cudarc::driver::sys::{self, CUresult, CUstream, CUstreamCaptureStatus};

use super::args::{DeviceType, KernelStruct};
use super::device::{Device, check};
use super::event::Event;
use super::memory::{Buffer, Pinned};
use super::module::Kernel;
use crate::error::{Error, Result};

/// The most bytes of arguments that any kernel can have.
const ARGUMENTS_LIMIT: usize = 32764;

/// Room for any kernel's arguments: the driver reads as many bytes as the kernel says, whatever struct it is given.
#[repr(C, align(16))]
struct Padded([MaybeUninit<u8>; ARGUMENTS_LIMIT]);

/// A queue of work, done in the order in which it was given, beside that of other streams. Calls return when the work
/// is queued; what goes wrong in it is the error of a later call.
#[derive(Debug)]
pub struct Stream {
    device: Device,
    raw: CUstream,
    /// Never used again, as the driver's handle may be.
    id: u64,
}

// SAFETY: the driver takes work for a stream from any thread, and from several at a time.
unsafe impl Send for Stream {}
// SAFETY: the same.
unsafe impl Sync for Stream {}

impl Device {
    /// A stream of its own order, which waits for no other.
    ///
    /// # Errors
    /// [`Error::Cuda`].
    pub fn stream(&self) -> Result<Stream> {
        self.stream_of(0)
    }

    /// The same, whose work goes before that of others where both are ready.
    ///
    /// # Errors
    /// [`Error::Cuda`].
    pub fn urgent_stream(&self) -> Result<Stream> {
        self.stream_of(c_int::MIN) // the driver takes the most urgent that it has
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
    /// The device that it is a stream of.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Copies `range` of the host's elements to the buffer, from its element `at`. The host's memory is not lent to
    /// write to, and not freed, before that is done.
    ///
    /// # Errors
    /// [`Error::Cuda`], also while a graph is recorded: its replay would read memory that may be gone.
    ///
    /// # Panics
    /// Beyond the end of either.
    pub fn upload<T: DeviceType>(
        &self,
        to: &Buffer<T>,
        at: usize,
        from: &Pinned<T>,
        range: Range<usize>,
    ) -> Result<()> {
        let (to, source) = (to.place(&(at..at + range.len())), from.place(&range));
        let bytes = range.len() * size_of::<T>();
        let doing = || format!("copy to {}", self.device);
        self.begin_copy(from, bytes, doing, || {
            // SAFETY: the context is current, both sides have so many bytes, and the host's stay until it is done.
            unsafe { sys::cuMemcpyHtoDAsync_v2(to.raw(), source.cast(), bytes, self.raw) }
        })
    }

    /// Copies `range` of the buffer to the host's elements, from their element `at`. They are lent when that is done.
    ///
    /// # Errors
    /// As [`Stream::upload`].
    ///
    /// # Panics
    /// Beyond the end of either.
    pub fn download<T: DeviceType>(
        &self,
        from: &Buffer<T>,
        range: Range<usize>,
        to: &mut Pinned<T>,
        at: usize,
    ) -> Result<()> {
        let (from, target) = (from.place(&range), to.place(&(at..at + range.len())));
        let bytes = range.len() * size_of::<T>();
        let doing = || format!("copy from {}", self.device);
        self.begin_copy(to, bytes, doing, || {
            // SAFETY: the context is current, both sides have so many bytes, nobody has the host's until it is done.
            unsafe { sys::cuMemcpyDtoHAsync_v2(target.cast(), from.raw(), bytes, self.raw) }
        })
    }

    fn begin_copy<T: DeviceType>(
        &self,
        host: &Pinned<T>,
        bytes: usize,
        doing: impl Fn() -> String,
        copy: impl FnOnce() -> CUresult,
    ) -> Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        self.device.activate()?;
        let mut status = CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_NONE;
        // SAFETY: the stream is the driver's; it writes one status.
        check(unsafe { sys::cuStreamIsCapturing(self.raw, &raw mut status) }, &doing)?;
        if status != CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_NONE {
            let what = "a graph is recorded, whose replay would use host memory that may be gone".into();
            return Err(Error::Cuda { doing: doing(), what });
        }
        host.during(self, || check(copy(), doing))
    }

    /// Sets every byte of a buffer.
    ///
    /// # Errors
    /// [`Error::Cuda`].
    pub fn fill<T: DeviceType>(&self, buffer: &Buffer<T>, byte: u8) -> Result<()> {
        if buffer.bytes() == 0 {
            return Ok(());
        }
        self.device.activate()?;
        // SAFETY: the context is current, and the buffer has so many bytes, which may be any.
        let code = unsafe { sys::cuMemsetD8Async(buffer.address().raw(), byte, buffer.bytes(), self.raw) };
        check(code, || format!("fill memory of {}", self.device))
    }

    /// Runs a kernel on `grid` blocks of `threads` threads, each block with `shared_bytes` of dynamic shared memory. A
    /// grid of no blocks is no work.
    ///
    /// This is safe to call, although the arguments hold addresses. They are of device memory: an [`Address`] is made
    /// by a [`Buffer`] alone, and what the host's side of the program owns is elsewhere. A kernel that leaves its
    /// arrays hurts other arrays on the device or ends in CUDA_ERROR_ILLEGAL_ADDRESS, as one that is given another's
    /// arguments does, of which the driver reads no more than it is given. (Where a GPU reaches the host's memory too,
    /// as it reaches pinned memory everywhere, it could hurt that: a kernel's text is trusted, as an `unsafe` block
    /// is.)
    ///
    /// # Errors
    /// [`Error::Cuda`], also for what went wrong in work before it.
    ///
    /// [`Address`]: super::Address
    pub fn launch<A: KernelStruct>(
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

    /// Lets the event stand for all work given so far.
    ///
    /// # Errors
    /// [`Error::Cuda`].
    pub fn record(&self, event: &Event) -> Result<()> {
        self.device.activate()?;
        // SAFETY: both are the driver's.
        check(unsafe { sys::cuEventRecord(event.raw(), self.raw) }, || format!("record an event on {}", self.device))
    }

    /// Lets all work given from now on wait for the event; one that was never recorded is over.
    ///
    /// # Errors
    /// [`Error::Cuda`].
    pub fn wait(&self, event: &Event) -> Result<()> {
        self.device.activate()?;
        // SAFETY: both are the driver's.
        let code = unsafe { sys::cuStreamWaitEvent(self.raw, event.raw(), 0) };
        check(code, || format!("wait for an event on {}", self.device))
    }

    /// Waits for all work given so far.
    ///
    /// # Errors
    /// [`Error::Cuda`], also for what went wrong in that work.
    pub fn synchronize(&self) -> Result<()> {
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
            // SAFETY: it is destroyed once; the driver finishes its work first. A failure leaves it to the end.
            let _ = unsafe { sys::cuStreamDestroy_v2(self.raw) };
        }
    }
}
