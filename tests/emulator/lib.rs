#![doc = include_str!("README.md")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

#[cfg(test)]
mod selftest;

/// Name of the environment variable for the path of a real libnvrtc.so.13. If it is set, the emulator runs the PTX that
/// this NVRTC compiles.
pub const PTX: &str = "TONIC_EMULATED_PTX";

const CRATE: &str = env!("CARGO_MANIFEST_DIR");

/// Loads the emulated driver and NVRTC into this process, in place of CUDA. Must be called before the first CUDA call.
///
/// Returns the folder of the libraries, for `LD_LIBRARY_PATH` of child processes.
///
/// # Panics
/// If there is no C++ compiler (`$CXX`, or `c++`), or the libraries don't compile or load.
pub fn install() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = build();
        for name in ["libcuda.so.1", "libcuda.so", "libnvrtc.so.13", "libnvrtc.so"] {
            // SAFETY: these are our own libraries, whose constructors only set up C++ objects.
            #[allow(unsafe_code)]
            let library = unsafe { Library::open(Some(folder.join(name)), RTLD_NOW | RTLD_GLOBAL) };
            std::mem::forget(library.unwrap_or_else(|error| panic!("{name}: {error}")));
        }
        folder
    })
}

/// Returns a folder for compiled kernels, for the environment variable `TONIC_CACHE`. `ptx` says whether the kernels
/// are PTX or C++.
pub fn kernel_cache(ptx: bool) -> PathBuf {
    let mut folder = install().as_os_str().to_owned();
    folder.push(if ptx { "-ptx" } else { "-kernels" });
    folder.into()
}

/// Returns the path of the real NVRTC that `scripts/setup` downloads. Prints what is missing and returns `None` if it
/// can't be used.
pub fn real_nvrtc() -> Option<PathBuf> {
    let nvrtc = Path::new(CRATE).join("../../.deps/nvrtc/libnvrtc.so.13");
    let python = Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success());
    match (nvrtc.exists(), python) {
        (true, true) => return Some(nvrtc),
        (false, _) => println!("skipped: there is no {}", nvrtc.display()),
        (_, false) => println!("skipped: there is no python3"),
    }
    None
}

/// Compiles the emulated driver and NVRTC, and returns their folder.
fn build() -> PathBuf {
    let root = Path::new(env!("OUT_DIR"));
    let folder = root.join(format!("emulator-{}", hash_of_sources()));
    if folder.exists() {
        return folder;
    }
    let unfinished = tempfile::Builder::new().prefix("unfinished-").tempdir_in(root).expect("a temporary folder");
    let driver = ["-O2", "driver/driver.cpp", "driver/driver_streams.cpp", "-ldl"];
    compile_library(unfinished.path(), "libcuda.so", "1", &driver);
    let nvrtc_folder = format!("-DTONIC_EMULATOR=\"{CRATE}/nvrtc\"");
    compile_library(unfinished.path(), "libnvrtc.so", "13", &["-O1", &nvrtc_folder, "nvrtc/nvrtc.cpp"]);
    // If another process was faster, its folder has the same libraries.
    match fs::rename(unfinished.path(), &folder) {
        Ok(()) => drop(unfinished.keep()),
        Err(error) => assert!(folder.exists(), "{}: {error}", folder.display()),
    }
    folder
}

fn hash_of_sources() -> String {
    let files = |folder: &str| fs::read_dir(Path::new(CRATE).join(folder)).expect("the emulator's sources");
    let mut paths: Vec<PathBuf> =
        ["driver", "nvrtc"].into_iter().flat_map(files).map(|file| file.expect("a source file").path()).collect();
    paths.push(Path::new(CRATE).join("kernel_abi.h"));
    paths.retain(|path| path.is_file());
    paths.sort();
    let mut hasher = blake3::Hasher::new();
    for path in paths {
        hasher.update(&fs::read(path).expect("a source file"));
    }
    hasher.finalize().to_hex()[..16].into()
}

/// Compiles a library to the file `<name>.<version>`, and a library `<name>` that loads that file.
fn compile_library(folder: &Path, name: &str, version: &str, arguments: &[&str]) {
    let versioned = format!("{name}.{version}");
    let output = folder.join(&versioned);
    let soname = format!("-Wl,-soname,{versioned}");
    compile(&[&["-shared", "-fPIC", &soname], arguments].concat(), &output);
    let (soname, needed) = (format!("-Wl,-soname,{name}"), output.to_str().expect("a path in UTF-8"));
    let alias = ["-shared", &soname, "-Wl,--no-as-needed", "-Wl,-rpath,$ORIGIN", needed];
    compile(&alias, &folder.join(name));
}

fn compile(arguments: &[&str], output: &Path) {
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
    let mut command = Command::new(compiler);
    command.args(["-std=c++17", "-g"]).args(arguments).arg("-o").arg(output).current_dir(CRATE);
    let result = command.output().expect("the C++ compiler starts");
    assert!(result.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&result.stderr));
}
