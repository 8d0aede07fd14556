//! CUDA events: points in the work of a stream, for waiting and for measuring time.

use cudarc::driver::sys::{self, CUevent};

use crate::error::Result;
use crate::gpu::device::{Device, check};

/// A CUDA event: a point in the work of a stream, for which other streams and the host can wait.
#[derive(Debug)]
pub(crate) struct Event {
    device: Device,
    raw: CUevent,
}

// SAFETY: the driver takes an event from any thread, and from several at a time.
unsafe impl Send for Event {}
// SAFETY: the driver takes an event from several threads at a time.
unsafe impl Sync for Event {}

impl Device {
    /// Makes a CUDA event. `timing` says whether the event stores the time at which the GPU reaches it.
    pub(crate) fn event(&self, timing: bool) -> Result<Event> {
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
    /// Waits until the GPU has reached this event. Returns at once if the event was never recorded.
    pub(crate) fn synchronize(&self) -> Result<()> {
        self.device.activate()?;
        // SAFETY: the event is the driver's.
        check(unsafe { sys::cuEventSynchronize(self.raw) }, || format!("finish the work on {}", self.device))
    }

    /// Returns the milliseconds from `since` to this event. Both must have been made with `timing`, and the GPU must have reached both.
    pub(crate) fn elapsed_ms(&self, since: &Event) -> Result<f32> {
        self.device.activate()?;
        let mut elapsed = 0.0;
        // SAFETY: both events are the driver's; the driver writes one number.
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
            // SAFETY: the event is destroyed once, here, even if the GPU has not reached it yet. After a failure, the
            // event stays until the process ends.
            let _ = unsafe { sys::cuEventDestroy_v2(self.raw) };
        }
    }
}
