//! Points in streams' work, by which streams, and the host, wait for each other and take the time.

use cudarc::driver::sys::{self, CUevent};

use super::device::{Device, check};
use crate::error::Result;

/// A point in a stream's work, for others to wait for.
#[derive(Debug)]
pub struct Event {
    device: Device,
    raw: CUevent,
}

// SAFETY: the driver takes an event from any thread, and from several at a time.
unsafe impl Send for Event {}
// SAFETY: the same.
unsafe impl Sync for Event {}

impl Device {
    /// An event, which takes the time if `timing` is asked for; it is a little slower then.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::error::Error::Cuda).
    pub fn event(&self, timing: bool) -> Result<Event> {
        self.activate()?;
        let mut raw = std::ptr::null_mut();
        let flags = match timing {
            true => sys::CUevent_flags::CU_EVENT_DEFAULT,
            false => sys::CUevent_flags::CU_EVENT_DISABLE_TIMING,
        };
        // SAFETY: the context is current; the driver writes one handle.
        check(unsafe { sys::cuEventCreate(&raw mut raw, flags as u32) }, || format!("make an event on {self}"))?;
        Ok(Event { device: self.clone(), raw })
    }
}

impl Event {
    /// Waits for the work that it stands for.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::error::Error::Cuda), also for what went wrong in that work.
    pub fn synchronize(&self) -> Result<()> {
        self.device.activate()?;
        // SAFETY: the event is the driver's.
        check(unsafe { sys::cuEventSynchronize(self.raw) }, || format!("finish the work on {}", self.device))
    }

    /// Milliseconds from the event `since` to this one, when both are over.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::error::Error::Cuda) where one is not over yet, or was made without timing.
    pub fn elapsed_ms(&self, since: &Event) -> Result<f32> {
        self.device.activate()?;
        let mut elapsed = 0.0;
        // SAFETY: both are the driver's; it writes one number.
        let code = unsafe { sys::cuEventElapsedTime_v2(&raw mut elapsed, since.raw, self.raw) };
        check(code, || format!("time work on {}", self.device)).map(|()| elapsed)
    }

    pub(super) fn raw(&self) -> CUevent {
        self.raw
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if self.device.activate().is_ok() {
            // SAFETY: it is destroyed once; the driver waits for nobody here. A failure leaves it to the end.
            let _ = unsafe { sys::cuEventDestroy_v2(self.raw) };
        }
    }
}
