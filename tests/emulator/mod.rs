//! A CUDA driver and an NVRTC without a card: tests run the real host code, with the real kernels compiled as C++.
//!
//! `install()` before the first CUDA call of the process. A child process takes them by `LD_LIBRARY_PATH`.
//! Where the environment has [`PTX`], kernels run as the PTX that the real compiler makes of them, and every access to
//! memory is checked.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

const SOURCES: [&str; 18] = [
    include_str!("api.h"),
    include_str!("cuda_on_host.h"),
    include_str!("driver.cpp"),
    include_str!("driver_streams.cpp"),
    include_str!("errors.h"),
    include_str!("faults.h"),
    include_str!("fibers.h"),
    include_str!("kernel_abi.h"),
    include_str!("machine.h"),
    include_str!("machine_warp.h"),
    include_str!("memory.h"),
    include_str!("mma.h"),
    include_str!("modules.h"),
    include_str!("nvrtc.cpp"),
    include_str!("ptx.py"),
    include_str!("ptx_on_host.h"),
    include_str!("shadow.h"),
    include_str!("streams.h"),
];

/// The environment variable that names a real libnvrtc.so.13.
pub const PTX: &str = "TONIC_EMULATED_PTX";

/// The folder of the sources.
fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/emulator")
}

fn compile(arguments: &[&str], output: &Path) {
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
    let mut command = Command::new(compiler);
    command.args(["-std=c++17", "-g"]).args(arguments).arg("-o").arg(output).current_dir(source());
    let result = command.output().expect("the C++ compiler starts");
    assert!(result.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&result.stderr));
}

/// A program looks for a library first under its name without a version. A library of that name which only needs the
/// emulator's stands before a real driver, in this process as well as in a child.
fn compile_with_alias(folder: &Path, name: &str, version: &str, arguments: &[&str]) {
    let versioned = format!("{name}.{version}");
    let output = folder.join(&versioned);
    let soname = format!("-Wl,-soname,{versioned}");
    compile(&[&["-shared", "-fPIC", &soname], arguments].concat(), &output);
    let (soname, needed) = (format!("-Wl,-soname,{name}"), output.to_str().expect("a path in UTF-8"));
    let alias = ["-shared", &soname, "-Wl,--no-as-needed", "-Wl,-rpath,$ORIGIN", needed];
    compile(&alias, &folder.join(name));
}

/// Compiles both libraries unless an earlier run has; processes that do it at the same time do not meet.
fn build() -> PathBuf {
    let hash = blake3::hash(SOURCES.concat().as_bytes()).to_hex();
    let root = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = root.join(format!("emulator-{}", &hash[..16]));
    if folder.exists() {
        return folder;
    }
    let unfinished = tempfile::Builder::new().prefix("emulator-").tempdir_in(root).expect("a temporary folder");
    let header = format!("-DTONIC_EMULATOR=\"{}\"", source().display());
    compile_with_alias(unfinished.path(), "libcuda.so", "1", &["-O2", "driver.cpp", "driver_streams.cpp", "-ldl"]);
    compile_with_alias(unfinished.path(), "libnvrtc.so", "13", &["-O1", &header, "nvrtc.cpp"]);
    // Where another process was faster, its folder holds the same.
    match std::fs::rename(unfinished.path(), &folder) {
        Ok(()) => drop(unfinished.keep()),
        Err(error) => assert!(folder.exists(), "{}: {error}", folder.display()),
    }
    folder
}

/// Puts the emulator in place of CUDA in this process. Returns the libraries' folder, for `LD_LIBRARY_PATH` of a child.
pub fn install() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = build();
        for name in ["libcuda.so.1", "libcuda.so", "libnvrtc.so.13", "libnvrtc.so"] {
            // SAFETY: our own libraries, whose constructors only set up C++ objects.
            #[allow(unsafe_code)]
            let library = unsafe { Library::open(Some(folder.join(name)), RTLD_NOW | RTLD_GLOBAL) };
            std::mem::forget(library.unwrap_or_else(|error| panic!("{name}: {error}")));
        }
        folder
    })
}

/// Where kernels are kept, of either kind.
pub fn kernel_cache(ptx: bool) -> PathBuf {
    let mut folder = install().as_os_str().to_owned();
    folder.push(if ptx { "-ptx" } else { "-kernels" });
    folder.into()
}

/// The real NVRTC. Without it, or without Python, no kernel can run as PTX, and it is printed why.
pub fn real_nvrtc() -> Option<PathBuf> {
    let nvrtc = Path::new(env!("CARGO_MANIFEST_DIR")).join(".deps/libtorch/lib/libnvrtc.so.13");
    let python = Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success());
    match (nvrtc.exists(), python) {
        (true, true) => return Some(nvrtc),
        (false, _) => println!("skipped: there is no {}", nvrtc.display()),
        (_, false) => println!("skipped: there is no python3"),
    }
    None
}

/// Runs a program that tests the emulator, with the real NVRTC where its kernels are to run as PTX.
fn passes(source: &str, ptx: Option<&Path>) {
    let folder = build();
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let program = scratch.path().join("selftest");
    compile(&["-O1", source, "-ldl"], &program);
    let mut command = Command::new(program);
    command.arg(folder).env_remove(PTX).envs(ptx.map(|path| (PTX, path)));
    let result = command.output().expect("the self-test starts");
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stdout));
}

#[test]
fn the_emulator_passes_its_own_test() {
    passes("selftest.cpp", None);
}

#[test]
fn the_emulator_finds_the_faults_of_kernels_as_ptx() {
    if let Some(nvrtc) = real_nvrtc() {
        passes("ptx_selftest.cpp", Some(&nvrtc));
    }
}
