//! Copies between page-locked host memory and GPU memory, queued on a stream.

use std::ops::Range;

use cudarc::driver::sys::{self, CUresult, CUstreamCaptureStatus};

use crate::error::{Error, Result};
use crate::gpu::args::DeviceType;
use crate::gpu::device::check;
use crate::gpu::memory::{Buffer, Pinned};
use crate::gpu::stream::Stream;

impl Stream {
    /// Queues a copy of `from[range]` (host memory) to `to[at..]` (GPU memory). Fails while the stream records a graph.
    pub(crate) fn upload<T: DeviceType>(
        &self,
        to: &Buffer<T>,
        at: usize,
        from: &Pinned<T>,
        range: Range<usize>,
    ) -> Result<()> {
        let (to, source) = (to.start_of(&(at..at + range.len())), from.start_of(&range));
        let bytes = range.len() * size_of::<T>();
        let doing = || format!("copy to {}", self.device());
        self.begin_copy(from, bytes, doing, || {
            // SAFETY: the context is current, both sides have `bytes` bytes, and the host memory is not freed before
            // the copy ends.
            unsafe { sys::cuMemcpyHtoDAsync_v2(to.raw(), source.cast(), bytes, self.raw()) }
        })
    }

    /// Queues a copy of `from[range]` (GPU memory) to `to[at..]` (host memory). Fails while the stream records a graph.
    pub(crate) fn download<T: DeviceType>(
        &self,
        from: &Buffer<T>,
        range: Range<usize>,
        to: &mut Pinned<T>,
        at: usize,
    ) -> Result<()> {
        let (from, target) = (from.start_of(&range), to.start_of(&(at..at + range.len())));
        let bytes = range.len() * size_of::<T>();
        let doing = || format!("copy from {}", self.device());
        self.begin_copy(to, bytes, doing, || {
            // SAFETY: the context is current, both sides have `bytes` bytes, and the host memory is neither borrowed
            // nor freed before the copy ends.
            unsafe { sys::cuMemcpyDtoHAsync_v2(target.cast(), from.raw(), bytes, self.raw()) }
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
        self.device().activate()?;
        let mut status = CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_NONE;
        // SAFETY: the stream is valid; the driver writes one status.
        check(unsafe { sys::cuStreamIsCapturing(self.raw(), &raw mut status) }, &doing)?;
        if status != CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_NONE {
            let what = "a graph is recorded, whose replay would use host memory that may be gone".into();
            return Err(Error::Cuda { doing: doing(), what });
        }
        host.during(self, || check(copy(), doing))
    }

    /// Queues work that sets every byte of a buffer to `byte`.
    pub(crate) fn fill<T: DeviceType>(&self, buffer: &Buffer<T>, byte: u8) -> Result<()> {
        if buffer.bytes() == 0 {
            return Ok(());
        }
        self.device().activate()?;
        // SAFETY: the context is current, and the buffer has `bytes()` bytes; any bytes are valid.
        let code = unsafe { sys::cuMemsetD8Async(buffer.address().raw(), byte, buffer.bytes(), self.raw()) };
        check(code, || format!("fill memory of {}", self.device()))
    }
}
