//! Arrays on the GPU, and the page-locked memory of the host that copies run from and to while the program goes on.

use std::mem::size_of;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

use cudarc::driver::sys::{self, CUresult};

use super::args::{Address, DeviceType};
use super::device::{Device, check};
use super::event::Event;
use super::stream::Stream;
use crate::error::{Error, Result};
use crate::progress::human_bytes;

/// Device memory of some elements, freed when this is dropped: the driver waits until the GPU is done with it.
///
/// Any number of streams may write to it: which goes first is for the caller to say, by streams and events.
#[derive(Debug)]
pub struct Buffer<T: DeviceType> {
    device: Device,
    address: Address<T>,
    len: usize,
}

impl Device {
    /// Memory of `len` elements, with whatever was in it before.
    ///
    /// # Errors
    /// [`Error::DeviceMemory`] where the device has not so much left; [`Error::Cuda`].
    pub fn buffer<T: DeviceType>(&self, len: usize) -> Result<Buffer<T>> {
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

    /// Memory with these elements. Returns when they are there.
    ///
    /// # Errors
    /// As [`Device::buffer`].
    pub fn buffer_from<T: DeviceType>(&self, elements: &[T]) -> Result<Buffer<T>> {
        let _alone = self.alone();
        let buffer = self.buffer(elements.len())?;
        if buffer.bytes() > 0 {
            // SAFETY: the context is current, the buffer has these bytes, and the elements are read before it returns.
            let code = unsafe { sys::cuMemcpyHtoD_v2(buffer.address.raw(), elements.as_ptr().cast(), buffer.bytes()) };
            check(code, || format!("copy to {self}"))?;
            // The last of them may still be on their way, and other streams do not wait for that.
            self.synchronize()?;
        }
        Ok(buffer)
    }

    /// Page-locked memory of `len` elements, zeroed.
    ///
    /// # Errors
    /// [`Error::Cuda`] where the system gives none.
    pub fn pinned<T: DeviceType>(&self, len: usize) -> Result<Pinned<T>> {
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
            // SAFETY: the memory has these bytes, aligned to a page, and is nobody else's yet.
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
    /// Elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none; its address is null then.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Its bytes.
    pub fn bytes(&self) -> usize {
        self.len * size_of::<T>()
    }

    /// Where it starts.
    pub fn address(&self) -> Address<T> {
        self.address
    }

    /// Where its element `offset` is; its length gives its end.
    ///
    /// # Panics
    /// Beyond its end.
    pub fn at(&self, offset: usize) -> Address<T> {
        self.place(&(offset..self.len))
    }

    /// Where a range of it starts.
    ///
    /// # Panics
    /// Beyond its end.
    pub(super) fn place(&self, range: &Range<usize>) -> Address<T> {
        let len = self.len;
        assert!(range.start <= range.end && range.end <= len, "elements {range:?} of a buffer of {len}");
        self.address.add(range.start)
    }

    /// All elements, after all work on the device.
    ///
    /// # Errors
    /// [`Error::Cuda`], also for what went wrong in that work.
    pub fn read(&self) -> Result<Vec<T>> {
        self.read_range(0..self.len)
    }

    /// Some elements, after all work on the device.
    ///
    /// # Errors
    /// As [`Buffer::read`].
    ///
    /// # Panics
    /// Beyond its end.
    pub fn read_range(&self, range: Range<usize>) -> Result<Vec<T>> {
        let place = self.place(&range);
        let _alone = self.device.alone();
        self.device.synchronize()?;
        let mut elements = Vec::<T>::with_capacity(range.len());
        let bytes = range.len() * size_of::<T>();
        if bytes > 0 {
            // SAFETY: the context is current, the buffer has the range, and the elements have room for as many bytes.
            let code = unsafe { sys::cuMemcpyDtoH_v2(elements.as_mut_ptr().cast(), place.raw(), bytes) };
            check(code, || format!("copy from {}", self.device))?;
        }
        // SAFETY: the driver has written all of them, and any bytes are a DeviceType.
        unsafe { elements.set_len(range.len()) };
        Ok(elements)
    }
}

impl<T: DeviceType> Drop for Buffer<T> {
    fn drop(&mut self) {
        let _alone = self.device.alone();
        if !self.address.is_null() && self.device.activate().is_ok() {
            // SAFETY: it is this buffer's, freed once. A failure leaves it to the end of the process.
            let _ = unsafe { sys::cuMemFree_v2(self.address.raw()) };
        }
    }
}

/// Page-locked host memory of some elements, which the GPU copies from and to by itself. It is lent to the program, and
/// freed, only when the copies that were begun have ended.
#[derive(Debug)]
pub struct Pinned<T: DeviceType> {
    device: Device,
    start: NonNull<T>,
    len: usize,
    copies: Mutex<Copies>,
}

// SAFETY: it owns its memory, as a Vec does; what changes through & is behind a mutex.
unsafe impl<T: DeviceType> Send for Pinned<T> {}
// SAFETY: the same.
unsafe impl<T: DeviceType> Sync for Pinned<T> {}

/// What is under way from and to a piece of host memory.
#[derive(Debug, Default)]
struct Copies {
    /// The last copy on each stream, if it is not known to have ended.
    marks: Vec<Mark>,
    /// Whether a copy may be under way of which there is no mark, because the driver failed.
    lost: bool,
}

#[derive(Debug)]
struct Mark {
    stream: u64,
    event: Event,
    pending: bool,
}

impl<T: DeviceType> Pinned<T> {
    /// Elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The elements, when copies have ended.
    ///
    /// # Errors
    /// [`Error::Cuda`], also for what went wrong on the device before the copies ended.
    pub fn as_slice(&self) -> Result<&[T]> {
        self.wait()?;
        // SAFETY: the memory has so many elements of any bytes, no copy is under way, and one that writes takes &mut.
        Ok(unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) })
    }

    /// The elements to write to, when copies have ended.
    ///
    /// # Errors
    /// As [`Pinned::as_slice`].
    pub fn as_mut_slice(&mut self) -> Result<&mut [T]> {
        self.wait()?;
        // SAFETY: as above, and the borrow is the only one.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) })
    }

    /// Where a range of it starts.
    ///
    /// # Panics
    /// Beyond its end.
    pub(super) fn place(&self, range: &Range<usize>) -> *mut T {
        let len = self.len;
        assert!(range.start <= range.end && range.end <= len, "elements {range:?} of pinned memory of {len}");
        // SAFETY: within the memory, or at its end.
        unsafe { self.start.as_ptr().add(range.start) }
    }

    /// Begins a copy from or to this memory on a stream, and remembers it until it has ended.
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
            // Whether it has begun is not known: it has ended when everything has.
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
        // Memory that a copy may still write to is left to the end of the process.
        if self.len * size_of::<T>() > 0 && self.wait().is_ok() && self.device.activate().is_ok() {
            let _alone = self.device.alone();
            // SAFETY: it is this memory's start, from the driver, freed once, and no copy is under way.
            let _ = unsafe { sys::cuMemFreeHost(self.start.as_ptr().cast()) };
        }
    }
}
