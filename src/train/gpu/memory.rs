//! Arrays in GPU memory, and page-locked host memory for asynchronous copies.

use std::mem::size_of;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

use cudarc::driver::sys::{self, CUresult};
use tonic_base::human_bytes;

use crate::error::{Error, Result};
use crate::gpu::args::{Address, DeviceType};
use crate::gpu::device::{Device, check};
use crate::gpu::event::Event;
use crate::gpu::stream::Stream;

/// An array in GPU memory. Several streams may use the same array; the caller must order their work with CUDA events.
#[derive(Debug)]
pub(crate) struct Buffer<T: DeviceType> {
    device: Device,
    address: Address<T>,
    len: usize,
}

impl Device {
    /// Allocates an array of `len` uninitialised elements in GPU memory.
    pub(crate) fn buffer<T: DeviceType>(&self, len: usize) -> Result<Buffer<T>> {
        let _alone = self.alone();
        self.activate()?;
        let bytes = len.saturating_mul(size_of::<T>());
        let mut address = 0;
        if bytes > 0 {
            // SAFETY: the context is current; the driver writes one address.
            match unsafe { sys::cuMemAlloc_v2(&raw mut address, bytes) } {
                CUresult::CUDA_ERROR_OUT_OF_MEMORY => return Err(self.full(bytes as u64)),
                code => check(code, || format!("take {} of {self}'s memory", human_bytes(bytes as u64)))?,
            }
        }
        Ok(Buffer { device: self.clone(), address: Address::new(address), len })
    }

    /// Allocates an array in GPU memory and copies `elements` to it. Returns when the copy has ended.
    pub(crate) fn buffer_from<T: DeviceType>(&self, elements: &[T]) -> Result<Buffer<T>> {
        let _alone = self.alone();
        let buffer = self.buffer(elements.len())?;
        if buffer.bytes() > 0 {
            // SAFETY: the context is current, the buffer has as many bytes as `elements`, and the call returns after it
            // has read `elements`.
            let code = unsafe { sys::cuMemcpyHtoD_v2(buffer.address.raw(), elements.as_ptr().cast(), buffer.bytes()) };
            check(code, || format!("copy to {self}"))?;
            // The last bytes may still be in transfer, and other streams do not wait for them.
            self.synchronize()?;
        }
        Ok(buffer)
    }

    /// Allocates an array in page-locked host memory. All bytes are 0.
    pub(crate) fn pinned<T: DeviceType>(&self, len: usize) -> Result<Pinned<T>> {
        let _alone = self.alone();
        self.activate()?;
        let bytes = len.saturating_mul(size_of::<T>());
        let mut start = NonNull::<T>::dangling();
        if bytes > 0 {
            let doing = || format!("lock {} of the host's memory for copies", human_bytes(bytes as u64));
            let mut memory = std::ptr::null_mut();
            // SAFETY: the context is current; the driver writes one address. Portable: any device may copy from it.
            check(unsafe { sys::cuMemHostAlloc(&raw mut memory, bytes, sys::CU_MEMHOSTALLOC_PORTABLE) }, doing)?;
            start = NonNull::new(memory.cast()).ok_or_else(|| Error::Cuda { doing: doing(), what: "null".into() })?;
            // SAFETY: the memory has these bytes, aligned to a page, and nothing else refers to it yet.
            unsafe { start.cast::<u8>().write_bytes(0, bytes) };
        }
        Ok(Pinned { device: self.clone(), start, len, copies: Mutex::default() })
    }

    fn full(&self, bytes: u64) -> Error {
        let free = self.free_memory().map_or_else(|_| "less".into(), human_bytes);
        Error::DeviceMemory { what: self.to_string(), needed: human_bytes(bytes), free }
    }
}

impl<T: DeviceType> Buffer<T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn bytes(&self) -> usize {
        self.len * size_of::<T>()
    }

    pub(crate) fn address(&self) -> Address<T> {
        self.address
    }

    /// Returns the address of the element with the index `offset`.
    pub(crate) fn at(&self, offset: usize) -> Address<T> {
        self.start_of(&(offset..self.len))
    }

    /// Returns the address of the first element of a range. Panics if the range is not inside the array.
    pub(super) fn start_of(&self, range: &Range<usize>) -> Address<T> {
        let len = self.len;
        assert!(range.start <= range.end && range.end <= len, "elements {range:?} of a buffer of {len}");
        self.address.add(range.start)
    }

    /// Waits for all work on the GPU, and copies all elements to host memory. Returns an error if the work failed.
    pub(crate) fn read(&self) -> Result<Vec<T>> {
        self.read_range(0..self.len)
    }

    /// Waits for all work on the GPU, and copies a range of elements to host memory.
    pub(crate) fn read_range(&self, range: Range<usize>) -> Result<Vec<T>> {
        let start = self.start_of(&range);
        let _alone = self.device.alone();
        self.device.synchronize()?;
        let mut elements = Vec::<T>::with_capacity(range.len());
        let bytes = range.len() * size_of::<T>();
        if bytes > 0 {
            // SAFETY: the context is current, the buffer has the range, and the elements have room for as many bytes.
            let code = unsafe { sys::cuMemcpyDtoH_v2(elements.as_mut_ptr().cast(), start.raw(), bytes) };
            check(code, || format!("copy from {}", self.device))?;
        }
        // SAFETY: the driver has written all elements, and any bytes are a valid value of a DeviceType.
        unsafe { elements.set_len(range.len()) };
        Ok(elements)
    }
}

impl<T: DeviceType> Drop for Buffer<T> {
    fn drop(&mut self) {
        let _alone = self.device.alone();
        if !self.address.is_null() && self.device.activate().is_ok() {
            // SAFETY: the memory belongs to this buffer and is freed once. After a failure, it stays until the process
            // ends.
            let _ = unsafe { sys::cuMemFree_v2(self.address.raw()) };
        }
    }
}

/// An array in page-locked host memory. Using or freeing the array first waits for its copies to and from the GPU.
#[derive(Debug)]
pub(crate) struct Pinned<T: DeviceType> {
    device: Device,
    start: NonNull<T>,
    len: usize,
    copies: Mutex<Copies>,
}

// SAFETY: a `Pinned` owns its memory, as a Vec does.
unsafe impl<T: DeviceType> Send for Pinned<T> {}
// SAFETY: what changes through a shared reference is behind a mutex.
unsafe impl<T: DeviceType> Sync for Pinned<T> {}

/// Copies that may still be running, to and from a [`Pinned`] array.
#[derive(Debug, Default)]
struct Copies {
    /// For each stream with copies of the array, an event after the last copy.
    marks: Vec<Mark>,
    /// Set if a copy may still be running after an error.
    lost: bool,
}

#[derive(Debug)]
struct Mark {
    stream: u64,
    event: Event,
    pending: bool,
}

impl<T: DeviceType> Pinned<T> {
    /// Waits for the copies of this array, and borrows the elements. Returns an error if work on the GPU failed.
    pub(crate) fn as_slice(&self) -> Result<&[T]> {
        self.wait()?;
        // SAFETY: the memory has `len` elements, any bytes are valid, no copy runs, and a copy to it takes &mut.
        Ok(unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) })
    }

    /// Waits for the copies of this array, and borrows the elements mutably.
    pub(crate) fn as_mut_slice(&mut self) -> Result<&mut [T]> {
        self.wait()?;
        // SAFETY: as in `as_slice`, and with `&mut self` this borrow is the only one.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) })
    }

    /// Returns the address of the first element of a range. Panics if the range is not inside the array.
    pub(super) fn start_of(&self, range: &Range<usize>) -> *mut T {
        let len = self.len;
        assert!(range.start <= range.end && range.end <= len, "elements {range:?} of pinned memory of {len}");
        // SAFETY: within the memory, or at its end.
        unsafe { self.start.as_ptr().add(range.start) }
    }

    /// Calls `copy`, which queues a copy to or from this array. The next use of the array waits for this copy.
    pub(super) fn during(&self, stream: &Stream, copy: impl FnOnce() -> Result<()>) -> Result<()> {
        let mut copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        let at = match copies.marks.iter().position(|mark| mark.stream == stream.id()) {
            Some(at) => at,
            None => {
                let event = stream.device().event(false)?;
                copies.marks.push(Mark { stream: stream.id(), event, pending: false });
                copies.marks.len() - 1
            }
        };
        let begun = copy().and_then(|()| stream.record(&copies.marks[at].event));
        match begun {
            Ok(()) => copies.marks[at].pending = true,
            // The copy may have started. In this case, it has ended when all work on the device has ended.
            Err(_) => copies.lost |= stream.device().synchronize().is_err(),
        }
        begun
    }

    fn wait(&self) -> Result<()> {
        let mut copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        if copies.lost {
            let doing = format!("use host memory that {} copies from or to", self.device);
            return Err(Error::Cuda { doing, what: "a copy did not end".into() });
        }
        for mark in copies.marks.iter_mut().filter(|mark| mark.pending) {
            mark.event.synchronize()?;
            mark.pending = false;
        }
        Ok(())
    }
}

impl<T: DeviceType> Drop for Pinned<T> {
    fn drop(&mut self) {
        // Memory that a copy may still write to is never freed.
        if self.len * size_of::<T>() > 0 && self.wait().is_ok() && self.device.activate().is_ok() {
            let _alone = self.device.alone();
            // SAFETY: the driver allocated this memory, which is freed once, and no copy runs.
            let _ = unsafe { sys::cuMemFreeHost(self.start.as_ptr().cast()) };
        }
    }
}
