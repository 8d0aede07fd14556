//! Compiled code on a GPU, and the kernels in it.

use std::ffi::CString;

use cudarc::driver::sys::{self, CUfunction, CUfunction_attribute, CUmodule};
use tonic_base::human_bytes;

use crate::error::{Error, Result};
use crate::gpu::compile::Image;
use crate::gpu::device::{Device, check};

/// Maximum dynamic shared memory of a CUDA block in bytes, unless the kernel asks the driver for more.
const SHARED_WITHOUT_ASKING: usize = 48 << 10;

/// Compiled code on a GPU. Stays loaded after a drop, because a [`Graph`](super::Graph) may still run its kernels.
#[derive(Clone, Debug)]
pub(crate) struct Module {
    device: Device,
    raw: CUmodule,
}

// SAFETY: the driver takes a module from any thread, and from several at a time.
unsafe impl Send for Module {}
// SAFETY: the driver takes a module from several threads at a time.
unsafe impl Sync for Module {}

#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    name: String,
    raw: CUfunction,
    /// Keeps the CUDA context of the kernel's code alive.
    _device: Device,
}

// SAFETY: the driver takes a function from any thread, and from several at a time.
unsafe impl Send for Kernel {}
// SAFETY: the driver takes a function from several threads at a time.
unsafe impl Sync for Kernel {}

impl Device {
    /// Loads compiled code on the GPU.
    pub(crate) fn load(&self, image: &Image) -> Result<Module> {
        self.activate()?;
        let mut raw = std::ptr::null_mut();
        // SAFETY: the context is current. An image is complete code from NVRTC, so the driver finds its end.
        let code = unsafe { sys::cuModuleLoadData(&raw mut raw, image.bytes().as_ptr().cast()) };
        check(code, || format!("load kernels on {self}"))?;
        Ok(Module { device: self.clone(), raw })
    }
}

impl Module {
    /// Returns the kernel `name`, whose CUDA blocks can have up to `shared_bytes` bytes of dynamic shared memory.
    pub(crate) fn kernel(&self, name: &str, shared_bytes: usize) -> Result<Kernel> {
        let doing = || format!("find the kernel {name} on {}", self.device);
        let refuse = |what: String| Error::Cuda { doing: doing(), what };
        let terminated = CString::new(name).map_err(|_| refuse("a name has no zeros".into()))?;
        self.device.activate()?;
        let mut raw = std::ptr::null_mut();
        // SAFETY: the module is the driver's, the name ends with a zero, and the driver writes one handle.
        check(unsafe { sys::cuModuleGetFunction(&raw mut raw, self.raw, terminated.as_ptr()) }, doing)?;
        let limit = self.device.shared_memory_limit();
        if shared_bytes > limit.max(SHARED_WITHOUT_ASKING) {
            let (asked, limit) = (human_bytes(shared_bytes as u64), human_bytes(limit as u64));
            return Err(refuse(format!("it asks for {asked} of shared memory, and a block has {limit}")));
        }
        if shared_bytes > SHARED_WITHOUT_ASKING {
            let attribute = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            // SAFETY: the function is the driver's.
            check(unsafe { sys::cuFuncSetAttribute(raw, attribute, shared_bytes as i32) }, doing)?;
        }
        Ok(Kernel { name: name.into(), raw, _device: self.device.clone() })
    }
}

impl Kernel {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn raw(&self) -> CUfunction {
        self.raw
    }
}
