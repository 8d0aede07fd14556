//! CUDA C++ to the GPU's code, by NVRTC: at run time, for the GPU that is there.

use std::ffi::{CStr, CString, c_char, c_int};

use cudarc::nvrtc::sys::{self, nvrtcProgram, nvrtcResult};

use super::device::Device;
use super::library;
use crate::error::{Error, Result};

/// The language, whatever the GPU. Functions without a mark are the device's.
/// The last leaves multiply-add to the sources, which say where it is fused: sums are rounded as the CPU's.
pub(super) const OPTIONS: [&str; 3] = ["--std=c++17", "-default-device", "--fmad=false"];
/// What the compiler's messages call a program.
const NAME: &CStr = c"kernels.cu";
/// Lines of a compiler's log that an error has.
const LOG_LINES: usize = 12;

/// A program in CUDA C++.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The text, with all that it includes.
    pub text: &'a str,
    /// Names of the preprocessor and their values.
    pub defines: &'a [(String, String)],
}

/// Code that NVRTC made: a CUBIN of one kind of GPU, or PTX, which the driver compiles further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image(Vec<u8>);

impl Image {
    /// The code; PTX ends with a zero.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Takes bytes that were an image's.
    pub(super) fn again(bytes: Vec<u8>) -> Image {
        Image(bytes)
    }
}

/// NVRTC's version, (13, 0) for example.
///
/// # Errors
/// [`Error::Unavailable`] where there is none.
pub fn nvrtc_version() -> Result<(u32, u32)> {
    library::nvrtc()?;
    let (mut major, mut minor) = (0, 0);
    // SAFETY: NVRTC is there, and writes two numbers.
    check(unsafe { sys::nvrtcVersion(&raw mut major, &raw mut minor) }, || "ask NVRTC for its version".into())?;
    Ok((major as u32, minor as u32))
}

/// Whether what NVRTC compiles runs on a device: its driver has to know CUDA of the same major version.
///
/// # Errors
/// [`Error::Unavailable`] where there is no NVRTC, or the driver is too old for it.
pub fn check_compiler(device: &Device) -> Result<()> {
    let (nvrtc, driver) = (nvrtc_version()?, device.driver_version());
    if driver.0 >= nvrtc.0 {
        return Ok(());
    }
    let why = format!(
        "the NVIDIA driver is too old: it is of CUDA {}.{}, and kernels are compiled for CUDA {}.{}",
        driver.0, driver.1, nvrtc.0, nvrtc.1
    );
    Err(Error::Unavailable { what: format!("--device cuda:{}", device.ordinal()), why })
}

/// Compiles for GPUs of a compute capability: a CUBIN where NVRTC knows them, else PTX of the newest older ones.
///
/// # Errors
/// [`Error::Cuda`] with the first lines of the compiler's log; [`Error::Unavailable`] where there is no NVRTC.
pub fn compile(source: &Source, architecture: (u32, u32)) -> Result<Image> {
    let known = known_architectures()?;
    let wanted = architecture.0 * 10 + architecture.1;
    if known.contains(&wanted) {
        let program = Program::compile(source, &format!("sm_{wanted}"))?;
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

/// Compiles to PTX for GPUs of a compute capability, to be read.
///
/// # Errors
/// As [`compile`], also where NVRTC does not know such GPUs.
pub fn compile_ptx(source: &Source, architecture: (u32, u32)) -> Result<String> {
    library::nvrtc()?;
    let bytes = ptx(source, architecture.0 * 10 + architecture.1)?;
    Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\0').into())
}

fn ptx(source: &Source, architecture: u32) -> Result<Vec<u8>> {
    Program::compile(source, &format!("compute_{architecture}"))?.get(sys::nvrtcGetPTXSize, sys::nvrtcGetPTX)
}

/// The compute capabilities for which NVRTC makes code, 90 for (9, 0).
fn known_architectures() -> Result<Vec<u32>> {
    library::nvrtc()?;
    let doing = || "ask NVRTC for the GPUs that it knows".into();
    let mut count = 0;
    // SAFETY: NVRTC is there, and writes one number.
    check(unsafe { sys::nvrtcGetNumSupportedArchs(&raw mut count) }, doing)?;
    let mut known = vec![0 as c_int; count.max(0) as usize];
    // SAFETY: there is room for as many numbers as it said.
    check(unsafe { sys::nvrtcGetSupportedArchs(known.as_mut_ptr()) }, doing)?;
    Ok(known.into_iter().map(|known| known as u32).collect())
}

/// A program in NVRTC's hands.
struct Program {
    raw: nvrtcProgram,
    doing: String,
}

/// NVRTC's calls for a text: its size with the zero at its end, if it has one, and the text.
///
/// # Safety
/// They take a program that is there, and write no more than the size.
type GetSize = unsafe fn(nvrtcProgram, *mut usize) -> nvrtcResult;
type Get = unsafe fn(nvrtcProgram, *mut c_char) -> nvrtcResult;

impl Program {
    fn compile(source: &Source, architecture: &str) -> Result<Program> {
        let doing = format!("compile kernels for {architecture}");
        let terminated = |text: String| {
            CString::new(text)
                .map_err(|_| Error::Cuda { doing: doing.clone(), what: "its text has a zero in it".into() })
        };
        let text = terminated(source.text.into())?;
        let defines = source.defines.iter().map(|(name, value)| format!("-D{name}={value}"));
        let options = OPTIONS.map(String::from).into_iter().chain([format!("--gpu-architecture={architecture}")]);
        let options = options.chain(defines).map(terminated).collect::<Result<Vec<CString>>>()?;
        let pointers: Vec<*const c_char> = options.iter().map(|option| option.as_ptr()).collect();

        let mut raw = std::ptr::null_mut();
        let none = std::ptr::null();
        // SAFETY: NVRTC is there, both texts end with a zero and are copied, there are no headers, and it writes one
        // handle.
        let code = unsafe { sys::nvrtcCreateProgram(&raw mut raw, text.as_ptr(), NAME.as_ptr(), 0, none, none) };
        check(code, || doing.clone())?;
        let program = Program { raw, doing };
        // SAFETY: the program is NVRTC's, and the options end with a zero each and outlive the call.
        let code = unsafe { sys::nvrtcCompileProgram(raw, pointers.len() as c_int, pointers.as_ptr()) };
        match code {
            nvrtcResult::NVRTC_SUCCESS => Ok(program),
            code => Err(Error::Cuda { doing: program.doing.clone(), what: program.fault(code) }),
        }
    }

    /// A text of the program.
    fn get(&self, size: GetSize, text: Get) -> Result<Vec<u8>> {
        let doing = || self.doing.clone();
        let mut bytes = 0;
        // SAFETY: the program is NVRTC's; it writes one number.
        check(unsafe { size(self.raw, &raw mut bytes) }, doing)?;
        let mut content = vec![0; bytes];
        // SAFETY: there is room for as many bytes as it said.
        check(unsafe { text(self.raw, content.as_mut_ptr().cast()) }, doing)?;
        Ok(content)
    }

    /// The first lines of the log, or what the code is called if there is none.
    fn fault(&self, code: nvrtcResult) -> String {
        let log = self.get(sys::nvrtcGetProgramLogSize, sys::nvrtcGetProgramLog).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.trim_end_matches('\0').lines().filter(|line| !line.is_empty()).collect();
        match lines.len() {
            0 => format!("{code:?}"),
            n if n > LOG_LINES => format!("{}\n({} more lines)", lines[..LOG_LINES].join("\n"), n - LOG_LINES),
            _ => lines.join("\n"),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: it is destroyed once.
        let _ = unsafe { sys::nvrtcDestroyProgram(&raw mut self.raw) };
    }
}

/// An [`Error::Cuda`] of what NVRTC answered, unless that was success.
fn check(code: nvrtcResult, doing: impl FnOnce() -> String) -> Result<()> {
    match code {
        nvrtcResult::NVRTC_SUCCESS => Ok(()),
        code => Err(Error::Cuda { doing: doing(), what: format!("{code:?}") }),
    }
}
