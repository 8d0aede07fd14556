//! Compiles CUDA C++ with NVRTC at run time, for the GPU of this machine.

use std::ffi::{CStr, CString, c_char, c_int};

use cudarc::nvrtc::sys::{self, nvrtcProgram, nvrtcResult};

use crate::error::{BaseFault, Error, Result};
use crate::gpu::device::Device;
use crate::gpu::library;

/// Compiler options for every GPU.
// With --fmad=false, only explicit calls of `fmaf` fuse a multiplication and an addition.
pub(super) const NVRTC_OPTIONS: [&str; 3] = ["--std=c++17", "-default-device", "--fmad=false"];
/// Name of the source text in the compiler's messages.
const NAME: &CStr = c"kernels.cu";
/// Maximum number of lines of the compiler's log in an error message.
const LOG_LINES: usize = 12;

#[derive(Clone, Copy, Debug)]
pub(crate) struct CudaSource<'a> {
    /// Source text, which must not contain `#include`.
    pub(crate) text: &'a str,
    /// Preprocessor macros as pairs (name, value).
    pub(crate) defines: &'a [(String, String)],
}

/// Compiled code: a CUBIN (machine code), or PTX (text that the driver compiles to machine code).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image(pub(super) Vec<u8>);

impl Image {
    /// Returns the code. If the code is PTX, the text ends with a NUL byte.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Returns the version of NVRTC, for example (13, 0), or an error if NVRTC is missing.
pub(crate) fn nvrtc_version() -> Result<(u32, u32)> {
    library::nvrtc()?;
    let (mut major, mut minor) = (0, 0);
    // SAFETY: NVRTC is there, and writes two numbers.
    check(unsafe { sys::nvrtcVersion(&raw mut major, &raw mut minor) }, || "ask NVRTC for its version".into())?;
    Ok((major as u32, minor as u32))
}

/// Returns an error if NVRTC is missing, or if the driver is too old to run code that NVRTC compiles.
pub(crate) fn check_compiler(device: &Device) -> Result<()> {
    let (nvrtc, driver) = (nvrtc_version()?, device.driver_version());
    if driver.0 >= nvrtc.0 {
        return Ok(());
    }
    let why = format!(
        "the NVIDIA driver is too old: it is of CUDA {}.{}, and kernels are compiled for CUDA {}.{}",
        driver.0, driver.1, nvrtc.0, nvrtc.1
    );
    Err(Error::unavailable(format!("device cuda:{}", device.ordinal()), why))
}

/// Compiles a program to a CUBIN. If NVRTC doesn't know the compute capability `architecture`, compiles to PTX for
/// the closest older compute capability.
pub(crate) fn compile(source: &CudaSource, architecture: (u32, u32)) -> Result<Image> {
    let known = known_architectures()?;
    let wanted = architecture.0 * 10 + architecture.1;
    if known.contains(&wanted) {
        let program = Compilation::compile(source, &format!("sm_{wanted}"))?;
        return program.get(sys::nvrtcGetCUBINSize, sys::nvrtcGetCUBIN).map(Image);
    }
    match known.into_iter().filter(|known| *known < wanted).max() {
        Some(older) => ptx(source, older).map(Image),
        None => {
            let doing = format!("compile kernels for compute capability {}.{}", architecture.0, architecture.1);
            Err(Error::Cuda { doing, what: "NVRTC knows only newer GPUs".into() })
        }
    }
}

#[cfg(test)]
pub(crate) fn compile_ptx(source: &CudaSource, architecture: (u32, u32)) -> Result<String> {
    library::nvrtc()?;
    let bytes = ptx(source, architecture.0 * 10 + architecture.1)?;
    Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\0').into())
}

fn ptx(source: &CudaSource, architecture: u32) -> Result<Vec<u8>> {
    Compilation::compile(source, &format!("compute_{architecture}"))?.get(sys::nvrtcGetPTXSize, sys::nvrtcGetPTX)
}

/// Returns the compute capabilities that NVRTC knows, each as one number, for example 90 for (9, 0).
fn known_architectures() -> Result<Vec<u32>> {
    library::nvrtc()?;
    let doing = || "ask NVRTC for the GPUs that it knows".into();
    let mut count = 0;
    // SAFETY: NVRTC is there, and writes one number.
    check(unsafe { sys::nvrtcGetNumSupportedArchs(&raw mut count) }, doing)?;
    let mut known = vec![0 as c_int; count.max(0) as usize];
    // SAFETY: the vector has as many numbers as NVRTC announced.
    check(unsafe { sys::nvrtcGetSupportedArchs(known.as_mut_ptr()) }, doing)?;
    Ok(known.into_iter().map(|known| known as u32).collect())
}

/// A program that NVRTC has compiled. Dropping this value destroys the program.
struct Compilation {
    raw: nvrtcProgram,
    doing: String,
}

/// NVRTC function that writes the size in bytes of a result, such as the compiled code or the log.
///
/// # Safety
/// The program must be valid.
type GetSize = unsafe fn(nvrtcProgram, *mut usize) -> nvrtcResult;
/// NVRTC function that copies a result, such as the compiled code or the log, to memory.
///
/// # Safety
/// The program must be valid. The memory must have the size that the [`GetSize`] function for this result writes.
type Get = unsafe fn(nvrtcProgram, *mut c_char) -> nvrtcResult;

impl Compilation {
    fn compile(source: &CudaSource, architecture: &str) -> Result<Compilation> {
        let doing = format!("compile kernels for {architecture}");
        let terminated = |text: String| {
            CString::new(text)
                .map_err(|_| Error::Cuda { doing: doing.clone(), what: "its text has a zero in it".into() })
        };
        let text = terminated(source.text.into())?;
        let defines = source.defines.iter().map(|(name, value)| format!("-D{name}={value}"));
        let options = NVRTC_OPTIONS.map(String::from).into_iter().chain([format!("--gpu-architecture={architecture}")]);
        let options = options.chain(defines).map(terminated).collect::<Result<Vec<CString>>>()?;
        let pointers: Vec<*const c_char> = options.iter().map(|option| option.as_ptr()).collect();

        let mut raw = std::ptr::null_mut();
        let none = std::ptr::null();
        // SAFETY: NVRTC is there, both texts end with a zero and are copied, there are no headers, and NVRTC writes one
        // handle.
        let code = unsafe { sys::nvrtcCreateProgram(&raw mut raw, text.as_ptr(), NAME.as_ptr(), 0, none, none) };
        check(code, || doing.clone())?;
        let program = Compilation { raw, doing };
        // SAFETY: the program is NVRTC's, and the options end with a zero each and outlive the call.
        let code = unsafe { sys::nvrtcCompileProgram(raw, pointers.len() as c_int, pointers.as_ptr()) };
        match code {
            nvrtcResult::NVRTC_SUCCESS => Ok(program),
            code => Err(Error::Cuda { doing: program.doing.clone(), what: program.fault(code) }),
        }
    }

    /// Returns a result of the compilation. `size` and `text` are the NVRTC functions for its size and its bytes.
    fn get(&self, size: GetSize, text: Get) -> Result<Vec<u8>> {
        let doing = || self.doing.clone();
        let mut bytes = 0;
        // SAFETY: the program is NVRTC's; the function writes one number.
        check(unsafe { size(self.raw, &raw mut bytes) }, doing)?;
        let mut content = vec![0; bytes];
        // SAFETY: the vector has as many bytes as NVRTC announced.
        check(unsafe { text(self.raw, content.as_mut_ptr().cast()) }, doing)?;
        Ok(content)
    }

    /// Returns the first lines of the compiler's log for an error message, or the error code if the log is empty.
    fn fault(&self, code: nvrtcResult) -> String {
        let log = self.get(sys::nvrtcGetProgramLogSize, sys::nvrtcGetProgramLog).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.trim_end_matches('\0').lines().filter(|line| !line.is_empty()).collect();
        match lines.len() {
            0 => format!("{code:?}"),
            n if n > LOG_LINES => format!("{} | ({} more lines)", lines[..LOG_LINES].join(" | "), n - LOG_LINES),
            _ => lines.join(" | "),
        }
    }
}

impl Drop for Compilation {
    fn drop(&mut self) {
        // SAFETY: the program is destroyed once, here.
        let _ = unsafe { sys::nvrtcDestroyProgram(&raw mut self.raw) };
    }
}

/// Converts a status code of NVRTC to a result. `doing` returns the text after "cannot" in the error message.
fn check(code: nvrtcResult, doing: impl FnOnce() -> String) -> Result<()> {
    match code {
        nvrtcResult::NVRTC_SUCCESS => Ok(()),
        code => Err(Error::Cuda { doing: doing(), what: format!("{code:?}") }),
    }
}
