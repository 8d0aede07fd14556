//! A GPU and its context, from which buffers, streams and modules are made.

use std::ffi::{CStr, c_int};
use std::fmt;
use std::sync::Arc;

use cudarc::driver::sys::{self, CUcontext, CUdevice, CUdevice_attribute, CUresult};
use parking_lot::ReentrantMutex;

use crate::error::{BaseFault, Error, Result};
use crate::gpu::library;

/// Oldest compute capability that the kernels run on, as (major, minor). (8, 0) is Ampere.
const OLDEST: (u32, u32) = (8, 0);

/// A GPU and its primary CUDA context. All clones, and libtorch, share the context.
#[derive(Clone)]
pub struct Device(Arc<Open>);

struct Open {
    ordinal: usize,
    device: CUdevice,
    context: CUcontext,
    driver: (u32, u32),
    name: String,
    capability: (u32, u32),
    multiprocessors: usize,
    shared_memory_limit: usize,
    total_memory: u64,
    /// Locked while a graph is recorded, and during calls that would break a recording.
    recording: ReentrantMutex<()>,
}

// SAFETY: a context may be used by any thread, and by several at a time; the rest is plain data.
unsafe impl Send for Open {}
// SAFETY: a context may be used by several threads at a time; the rest is plain data.
unsafe impl Sync for Open {}

impl Drop for Open {
    fn drop(&mut self) {
        // SAFETY: `open` retained the context once. Every value that uses the context holds a clone of the device, so
        // no such value exists any more. If the release fails, the context stays until the end of the process.
        let _ = unsafe { sys::cuDevicePrimaryCtxRelease_v2(self.device) };
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({self})")
    }
}

/// Writes the index and the name of the GPU, for example "cuda:0 (NVIDIA H200)".
impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cuda:{} ({})", self.0.ordinal, self.0.name)
    }
}

impl Device {
    /// Opens the GPU with the index `ordinal`, from 0.
    ///
    /// # Errors
    /// [`Unavailable`](tonic_base::Error::Unavailable) if the machine has no such GPU, or if the GPU is too old.
    /// [`Error::Cuda`] if the driver returns an error.
    pub fn open(ordinal: usize) -> Result<Device> {
        let unavailable = |why: String| Error::unavailable(format!("device cuda:{ordinal}"), why);
        let count = devices().map_err(unavailable)?;
        if ordinal >= count {
            let has = if count == 1 { "one GPU, cuda:0".into() } else { format!("GPUs cuda:0 to cuda:{}", count - 1) };
            return Err(unavailable(format!("this machine has {has}")));
        }
        let doing = || format!("open cuda:{ordinal}");
        let mut device = 0;
        // SAFETY: the driver is initialised, and writes one number.
        check(unsafe { sys::cuDeviceGet(&raw mut device, ordinal as c_int) }, doing)?;
        let name = name(device)?;
        let attribute = |attribute| {
            let mut value = 0;
            // SAFETY: the device is the driver's; the driver writes one number.
            check(unsafe { sys::cuDeviceGetAttribute(&raw mut value, attribute, device) }, doing)?;
            Ok::<usize, Error>(value.max(0) as usize)
        };
        let capability = (
            attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)? as u32,
            attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)? as u32,
        );
        if capability < OLDEST {
            let (major, minor) = capability;
            let needed = format!("{}.{}", OLDEST.0, OLDEST.1);
            return Err(unavailable(format!("{name} has compute capability {major}.{minor}, and {needed} is needed")));
        }
        let multiprocessors = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
        let shared_memory_limit = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?;
        let mut bytes = 0;
        // SAFETY: the device is the driver's; the driver writes one number.
        check(unsafe { sys::cuDeviceTotalMem_v2(&raw mut bytes, device) }, doing)?;
        let total_memory = bytes as u64;
        let driver = driver_version()?;
        let mut context = std::ptr::null_mut();
        // SAFETY: the device is the driver's; the driver writes one handle, which is released when the last clone is
        // dropped.
        check(unsafe { sys::cuDevicePrimaryCtxRetain(&raw mut context, device) }, doing)?;
        Ok(Device(Arc::new(Open {
            ordinal,
            device,
            context,
            driver,
            name,
            capability,
            multiprocessors,
            shared_memory_limit,
            total_memory,
            recording: ReentrantMutex::new(()),
        })))
    }

    /// Returns the number of GPUs that this process can use.
    ///
    /// # Errors
    /// [`Unavailable`](tonic_base::Error::Unavailable) if there is none.
    pub(crate) fn count() -> Result<usize> {
        devices().map_err(|why| Error::unavailable("device cuda", why))
    }

    /// Returns the UUID of this GPU, or of this MIG instance (a part of a GPU). No other device has the same UUID.
    ///
    /// # Errors
    /// [`Error::Cuda`] if the GPU's driver returns an error.
    pub(crate) fn uuid(&self) -> Result<[u8; 16]> {
        let mut uuid = sys::CUuuid { bytes: [0; 16] };
        // SAFETY: the device is the driver's; the driver writes 16 bytes.
        let code = unsafe { sys::cuDeviceGetUuid_v2(&raw mut uuid, self.0.device) };
        check(code, || format!("ask {self} for its UUID"))?;
        Ok(uuid.bytes.map(|byte| byte as u8))
    }

    /// Index of the GPU, from 0.
    pub(crate) fn ordinal(&self) -> usize {
        self.0.ordinal
    }

    /// Product name of the GPU.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Compute capability of the GPU as (major, minor), for example (9, 0) for Hopper.
    pub fn capability(&self) -> (u32, u32) {
        self.0.capability
    }

    /// Newest CUDA version that the driver supports, as (major, minor), for example (13, 0).
    pub(crate) fn driver_version(&self) -> (u32, u32) {
        self.0.driver
    }

    /// Number of multiprocessors of the GPU.
    pub fn multiprocessors(&self) -> usize {
        self.0.multiprocessors
    }

    /// Maximum shared memory of a CUDA block, in bytes.
    pub(crate) fn shared_memory_limit(&self) -> usize {
        self.0.shared_memory_limit
    }

    /// Total memory of the GPU, in bytes.
    pub(crate) fn total_memory(&self) -> u64 {
        self.0.total_memory
    }

    /// Returns the free memory of the GPU, in bytes.
    ///
    /// # Errors
    /// [`Error::Cuda`] if the GPU's driver returns an error.
    pub fn free_memory(&self) -> Result<u64> {
        self.activate()?;
        let (mut free, mut total) = (0, 0);
        // SAFETY: the context is current; the driver writes two numbers.
        check(unsafe { sys::cuMemGetInfo_v2(&raw mut free, &raw mut total) }, || format!("ask {self} for its memory"))?;
        Ok(free as u64)
    }

    /// Waits until all work on the GPU has ended. Returns an error if the work failed.
    pub(crate) fn synchronize(&self) -> Result<()> {
        let _alone = self.alone();
        self.activate()?;
        // SAFETY: the context is current.
        check(unsafe { sys::cuCtxSynchronize() }, || format!("finish the work on {self}"))
    }

    /// Locks `recording`. Recording a graph needs this lock, and so does every driver call that would break a
    /// recording.
    pub(super) fn alone(&self) -> impl Drop {
        self.0.recording.lock()
    }

    /// Makes the GPU's CUDA context current on the calling thread, as most calls of the driver require.
    pub(super) fn activate(&self) -> Result<()> {
        // SAFETY: the context is retained as long as `self` lives.
        check(unsafe { sys::cuCtxSetCurrent(self.0.context) }, || format!("use {self}"))
    }
}

/// Returns the number of GPUs, or a text that says why the program can use none.
fn devices() -> Result<usize, String> {
    library::driver()?;
    // SAFETY: the driver is there.
    match unsafe { sys::cuInit(0) } {
        CUresult::CUDA_SUCCESS => {}
        CUresult::CUDA_ERROR_NO_DEVICE => return Err(no_gpu()),
        CUresult::CUDA_ERROR_STUB_LIBRARY => {
            return Err("the libcuda.so that was found is the CUDA toolkit's stub, not an NVIDIA driver".into());
        }
        CUresult::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH => {
            return Err("the NVIDIA driver and its kernel module are of different versions: reboot".into());
        }
        code => return Err(format!("the NVIDIA driver does not start: {}", describe(code))),
    }
    let mut count = 0;
    // SAFETY: the driver is initialised, and writes one number.
    match unsafe { sys::cuDeviceGetCount(&raw mut count) } {
        CUresult::CUDA_SUCCESS if count > 0 => Ok(count as usize),
        CUresult::CUDA_SUCCESS | CUresult::CUDA_ERROR_NO_DEVICE => Err(no_gpu()),
        code => Err(format!("the NVIDIA driver does not count its GPUs: {}", describe(code))),
    }
}

fn no_gpu() -> String {
    match std::env::var("CUDA_VISIBLE_DEVICES") {
        Ok(hides) => format!("the NVIDIA driver finds no GPU (CUDA_VISIBLE_DEVICES={hides})"),
        Err(_) => "the NVIDIA driver finds no GPU".into(),
    }
}

fn name(device: CUdevice) -> Result<String> {
    let mut name = [0u8; 256];
    // SAFETY: the driver writes at most as many bytes as it is told.
    let code = unsafe { sys::cuDeviceGetName(name.as_mut_ptr().cast(), name.len() as c_int, device) };
    check(code, || "ask a GPU for its name".into())?;
    let name = CStr::from_bytes_until_nul(&name).unwrap_or_default();
    Ok(name.to_string_lossy().into_owned())
}

fn driver_version() -> Result<(u32, u32)> {
    let mut version = 0;
    // SAFETY: the driver is there, and writes one number.
    check(unsafe { sys::cuDriverGetVersion(&raw mut version) }, || "ask the driver for its version".into())?;
    Ok((version as u32 / 1000, version as u32 % 1000 / 10))
}

/// Converts a status code of the driver to a result. `doing` returns the text after "cannot" in the error message.
pub(super) fn check(code: CUresult, doing: impl FnOnce() -> String) -> Result<()> {
    match code {
        CUresult::CUDA_SUCCESS => Ok(()),
        code => Err(Error::Cuda { doing: doing(), what: describe(code) }),
    }
}

/// Returns the name and the meaning of a status code of the driver.
fn describe(code: CUresult) -> String {
    let (mut name, mut words) = (std::ptr::null(), std::ptr::null());
    // SAFETY: the driver is there. It writes the address of a constant text, or null for a code that it does not know.
    let _ = unsafe { (sys::cuGetErrorName(code, &raw mut name), sys::cuGetErrorString(code, &raw mut words)) };
    let text = |text: *const std::ffi::c_char| {
        // SAFETY: a text that is not null is the driver's, ends with a zero, and is never freed.
        (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy())
    };
    match (text(name), text(words)) {
        (Some(name), Some(words)) => format!("{name}: {words}"),
        _ => format!("code {} of the driver", code as u32),
    }
}
