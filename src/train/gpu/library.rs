//! Finds the CUDA driver and NVRTC at run time. The crate cudarc panics if it calls a missing library.
//!
//! These folders are searched for NVRTC, in this order:
//! 1. the folder given to [`set_libtorch`]
//! 2. the folders of the system's loader
//! 3. the folder of the loaded libtorch
//! 4. the folder where `scripts/setup` puts NVRTC

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use cudarc::{driver, nvrtc};
use libloading::Library;
use libloading::os::unix::{Library as Opened, RTLD_GLOBAL, RTLD_NOW};

use crate::error::{BaseFault, Error, Result};

/// All functions of the CUDA driver that this crate calls.
const DRIVER_CALLS: [&str; 44] = [
    "cuCtxSetCurrent",
    "cuCtxSynchronize",
    "cuDeviceGet",
    "cuDeviceGetAttribute",
    "cuDeviceGetCount",
    "cuDeviceGetName",
    "cuDeviceGetUuid_v2",
    "cuDevicePrimaryCtxRelease_v2",
    "cuDevicePrimaryCtxRetain",
    "cuDeviceTotalMem_v2",
    "cuDriverGetVersion",
    "cuEventCreate",
    "cuEventDestroy_v2",
    "cuEventElapsedTime_v2",
    "cuEventRecord",
    "cuEventSynchronize",
    "cuFuncSetAttribute",
    "cuGetErrorName",
    "cuGetErrorString",
    "cuGraphDestroy",
    "cuGraphExecDestroy",
    "cuGraphInstantiateWithFlags",
    "cuGraphLaunch",
    "cuInit",
    "cuLaunchKernel",
    "cuMemAlloc_v2",
    "cuMemFreeHost",
    "cuMemFree_v2",
    "cuMemGetInfo_v2",
    "cuMemHostAlloc",
    "cuMemcpyDtoHAsync_v2",
    "cuMemcpyDtoH_v2",
    "cuMemcpyHtoDAsync_v2",
    "cuMemcpyHtoD_v2",
    "cuMemsetD8Async",
    "cuModuleGetFunction",
    "cuModuleLoadData",
    "cuStreamBeginCapture_v2",
    "cuStreamCreateWithPriority",
    "cuStreamDestroy_v2",
    "cuStreamEndCapture",
    "cuStreamIsCapturing",
    "cuStreamSynchronize",
    "cuStreamWaitEvent",
];

/// All NVRTC functions that this crate calls.
const NVRTC_CALLS: [&str; 12] = [
    "nvrtcCompileProgram",
    "nvrtcCreateProgram",
    "nvrtcDestroyProgram",
    "nvrtcGetCUBIN",
    "nvrtcGetCUBINSize",
    "nvrtcGetNumSupportedArchs",
    "nvrtcGetPTX",
    "nvrtcGetPTXSize",
    "nvrtcGetProgramLog",
    "nvrtcGetProgramLogSize",
    "nvrtcGetSupportedArchs",
    "nvrtcVersion",
];

/// Folder in the source tree where `scripts/setup` puts NVRTC.
const SETUPS_NVRTC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.deps/nvrtc");

/// Folder with libtorch's libraries, if [`set_libtorch`] has set it.
static CHOSEN_LIBTORCH: OnceLock<PathBuf> = OnceLock::new();

/// Sets the folder from which this process loads NVRTC and libtorch's CUDA part. Call this before the first device
/// is opened; only the first call has an effect.
///
/// `dir` is the folder of a libtorch, the folder of its libraries, or the folder with the Python package `torch`.
///
/// # Errors
/// [`Usage`](tonic_base::Error::Usage) if `dir` has no libtorch.
pub fn set_libtorch(dir: &Path) -> Result<()> {
    let folders = [dir.join("lib"), dir.join("torch/lib"), dir.into()];
    match folders.into_iter().find(|folder| folder.join("libtorch_cpu.so").exists()) {
        Some(folder) => {
            CHOSEN_LIBTORCH.get_or_init(|| folder);
            Ok(())
        }
        None => Err(Error::usage("libtorch", "a folder with lib/libtorch_cpu.so", dir.display())),
    }
}

pub(super) fn chosen_libtorch() -> Option<&'static Path> {
    CHOSEN_LIBTORCH.get().map(PathBuf::as_path)
}

/// Returns the folder of the loaded libtorch, or `None` if this process has not loaded libtorch.
pub(super) fn running_libtorch() -> Option<PathBuf> {
    loaded(|name| name == "libtorch_cpu.so" || name == "libc10.so")
}

/// Returns the folder of the first loaded library whose file name `wanted` accepts.
fn loaded(wanted: impl Fn(&str) -> bool) -> Option<PathBuf> {
    folder_in(&std::fs::read_to_string("/proc/self/maps").ok()?, wanted)
}

/// Returns the folder of the first library whose file name `wanted` accepts. `maps` is the text of /proc/self/maps.
fn folder_in(maps: &str, wanted: impl Fn(&str) -> bool) -> Option<PathBuf> {
    let mut paths = maps.lines().filter_map(|line| Some(Path::new(&line[line.find('/')?..])));
    let path = paths.find(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(&wanted))?;
    path.parent().map(Path::to_path_buf)
}

/// Opens a library and keeps it open, so that later searches for the same file name find this library.
pub(super) fn open(path: &Path) -> Result<(), String> {
    // SAFETY: the libraries that are opened here (NVRTC, its builtins, libtorch's CUDA part) are made to be loaded at
    // run time: their initialisers have no preconditions.
    let library = unsafe { Opened::open(Some(path), RTLD_NOW | RTLD_GLOBAL) };
    library.map(std::mem::forget).map_err(|e| e.to_string())
}

/// Returns the first function name in `calls` that the library doesn't have.
fn missing<'a>(library: &Library, calls: &[&'a str]) -> Option<&'a str> {
    // SAFETY: the symbol is looked up and not used.
    calls.iter().find(|call| unsafe { library.get::<*const ()>(call.as_bytes()) }.is_err()).copied()
}

/// Returns an error text if the driver is not installed, or if it doesn't have all of [`DRIVER_CALLS`].
pub(super) fn driver() -> Result<(), String> {
    // SAFETY: the call may load the driver, whose initialisers have no preconditions.
    if !unsafe { driver::sys::is_culib_present() } {
        return Err("no NVIDIA driver is installed (libcuda.so.1 was not found)".into());
    }
    // SAFETY: as above. The driver is there, so this does not panic.
    match missing(unsafe { driver::sys::culib() }, &DRIVER_CALLS) {
        Some(call) => Err(format!("the NVIDIA driver is too old: it has no {call}")),
        None => Ok(()),
    }
}

/// Finds and loads NVRTC. Returns an error if NVRTC is missing or too old.
pub(super) fn nvrtc() -> Result<()> {
    static READY: OnceLock<()> = OnceLock::new();
    if READY.get().is_some() {
        return Ok(());
    }
    let unavailable = |why: String| Err(Error::unavailable("NVRTC, which compiles the kernels for the GPU,", why));
    if let Err(looked) = find_nvrtc() {
        return unavailable(format!("no libnvrtc.so.13 {looked}"));
    }
    // SAFETY: NVRTC's initialisers have no preconditions. NVRTC is there, so this does not panic.
    if let Some(call) = missing(unsafe { nvrtc::sys::culib() }, &NVRTC_CALLS) {
        return unavailable(format!("the one that was found is too old: it has no {call}"));
    }
    // NVRTC opens its builtins by name when it compiles, and finds a library that is already open.
    for file in
        loaded(|name| name.starts_with("libnvrtc.so")).and_then(|folder| folder.read_dir().ok()).into_iter().flatten()
    {
        let builtins = file.map(|file| file.path()).ok();
        if let Some(path) = builtins.filter(|path| path.to_string_lossy().contains("/libnvrtc-builtins.so")) {
            // If the builtins can't be opened, NVRTC's log will say so.
            let _ = open(&path);
        }
    }
    READY.get_or_init(|| ());
    Ok(())
}

/// Opens NVRTC, so that the crate cudarc finds it by file name.
fn find_nvrtc() -> Result<(), String> {
    let mut folders: Vec<PathBuf> = chosen_libtorch().map(nvrtc_folders).into_iter().flatten().collect();
    folders.retain(|folder| !opens_in(folder));
    // SAFETY: the call may load NVRTC, whose initialisers have no preconditions.
    let present = || unsafe { nvrtc::sys::is_culib_present() };
    if present() {
        return Ok(());
    }
    folders.extend(running_libtorch().map(|folder| nvrtc_folders(&folder)).into_iter().flatten());
    folders.push(SETUPS_NVRTC.into());
    if folders.iter().any(|folder| opens_in(folder)) && present() {
        return Ok(());
    }
    let names: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    Err(format!("where the system looks, nor in {}", names.join(", ")))
}

fn opens_in(folder: &Path) -> bool {
    ["libnvrtc.so.13", "libnvrtc.so.12"].iter().any(|name| open(&folder.join(name)).is_ok())
}

/// Returns the folders that can have NVRTC. `libtorch` is the folder of libtorch's libraries.
fn nvrtc_folders(libtorch: &Path) -> Vec<PathBuf> {
    ["", "../../nvidia/cu13/lib", "../../nvidia/cuda_nvrtc/lib"].iter().map(|place| libtorch.join(place)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_found_in_the_map_of_memory() {
        let maps = "7f00-7f01 r-xp 00000000 fe:00 17                         /usr/lib/libm.so.6
7f02-7f03 rw-p 00000000 00:00 0
7f04-7f05 r--p 00000000 fe:00 18                         /home/a b/torch/lib/libtorch_cpu.so
7f06-7f07 rw-p 00000000 00:00 0                          [stack]";
        let folder = folder_in(maps, |name| name == "libtorch_cpu.so");
        assert_eq!(folder.as_deref(), Some(Path::new("/home/a b/torch/lib")));
        assert_eq!(folder_in(maps, |name| name == "libc10.so"), None);
    }

    /// The listed functions are looked up first, because cudarc panics if it calls a missing function.
    #[test]
    fn every_call_is_in_the_lists() {
        let sources = [
            include_str!("compile.rs"),
            include_str!("copies.rs"),
            include_str!("device.rs"),
            include_str!("event.rs"),
            include_str!("graph.rs"),
            include_str!("memory.rs"),
            include_str!("module.rs"),
            include_str!("stream.rs"),
        ];
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let mut calls: Vec<&str> = sources
            .iter()
            .flat_map(|source| source.split("sys::").skip(1))
            .map(|rest| &rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())])
            .filter(|name| name.starts_with("nvrtc") || name.starts_with("cu"))
            .filter(|name| *name != "nvrtcResult" && *name != "nvrtcProgram")
            .collect();
        calls.sort_unstable();
        calls.dedup();
        let listed: Vec<&str> = DRIVER_CALLS.into_iter().chain(NVRTC_CALLS).collect();
        assert_eq!(calls, listed);
    }
}
