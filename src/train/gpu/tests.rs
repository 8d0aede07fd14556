//! Tests that need no GPU: structs, the compiler, the cache of compiled kernels, and a machine without a driver.

use std::fs::{read, read_dir, write};
use std::mem::size_of;
use std::path::{Path, PathBuf};

use tonic_base::Error as BaseError;

use crate::error::Error;
use crate::gpu::cache::cached_in;
use crate::gpu::compile::{CudaSource, compile, compile_ptx, nvrtc_version};
use crate::gpu::{Address, Device, KernelStruct, kernel_structs};

kernel_structs! {
    struct Part {
        first: u64,
        label: u16,
        weights: [f32; 3],
    }

    /// A struct with fields of all kinds, and with padding between the fields.
    struct Mixed {
        out: Address<f32>,
        scale: f64,
        flag: u8,
        count: u16,
        shift: i32,
        samples: Address<Part>,
        one: Part,
        tables: [Address<u32>; 2],
        pairs: Address<[f32; 2]>,
        last: u8,
    }

    /// A struct for the test in which Rust and CUDA C++ have different layouts.
    struct Shift {
        values: Address<f32>,
        len: u32,
    }
}

const KERNEL: &str = r#"
extern "C" __global__ void mixed(Mixed args) {
    unsigned int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < args.count) args.out[i] = SCALE * args.one.weights[2] + args.samples[i].label + args.pairs[i][1];
}
"#;

fn program() -> (String, [(String, String); 1]) {
    (declarations() + KERNEL, scale("0.5f"))
}

fn scale(value: &str) -> [(String, String); 1] {
    [("SCALE".into(), value.into())]
}

fn file_in(folder: &Path) -> PathBuf {
    let files: Vec<PathBuf> = read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.into_iter().next().unwrap()
}

#[test]
fn structs_have_the_same_layout_for_every_generation_of_gpus() {
    let (text, defines) = program();
    let source = CudaSource { text: &text, defines: &defines };
    for architecture in [(8, 0), (9, 0), (10, 0)] {
        let ptx = compile_ptx(&source, architecture).unwrap();
        for words in [
            format!(".param .align 8 .b8 mixed_param_0[{}]", size_of::<Mixed>()),
            format!(".target sm_{}{}", architecture.0, architecture.1),
        ] {
            assert!(ptx.contains(&words), "no {words} in {ptx}");
        }
    }
}

#[test]
fn code_is_for_the_gpu_or_for_older_ones_of_those_that_the_compiler_knows() {
    let (text, defines) = program();
    let source = CudaSource { text: &text, defines: &defines };
    assert!(compile(&source, (9, 0)).unwrap().bytes().starts_with(b"\x7fELF"));
    let image = compile(&source, (9, 9)).unwrap();
    let ptx = String::from_utf8(image.bytes().to_vec()).unwrap();
    assert!(ptx.contains(".target sm_90") && ptx.ends_with('\0'), "{ptx}");
    let fault = compile(&source, (3, 5)).unwrap_err().to_string();
    assert_eq!(fault, "cannot compile kernels for compute capability 3.5: NVRTC knows only newer GPUs");
    assert!(nvrtc_version().unwrap() >= (12, 0));
}

#[test]
fn another_layout_does_not_compile() {
    let declared = Shift::declaration();
    for (right, wrong) in [
        ("sizeof(Shift) == 16", "sizeof(Shift) == 24"),
        ("alignof(Shift) == 8", "alignof(Shift) == 4"),
        ("TONIC_OFFSET(Shift, len) == 8", "TONIC_OFFSET(Shift, len) == 12"),
    ] {
        assert!(compile_ptx(&CudaSource { text: &declared, defines: &[] }, (9, 0)).is_ok());
        let text = declared.replace(right, wrong);
        assert_ne!(text, declared);
        let fault = compile_ptx(&CudaSource { text: &text, defines: &[] }, (9, 0)).unwrap_err();
        assert!(matches!(fault, Error::Cuda { .. }));
        let words = fault.to_string();
        for word in ["cannot compile kernels for compute_90: kernels.cu(", "static assertion failed", "Shift: Rust has"]
        {
            assert!(words.contains(word), "no {word:?} in {words}");
        }
        assert!(words.contains(wrong) && words.contains("1 error"), "{words}");
    }
}

#[test]
fn an_error_has_the_first_lines_of_the_log() {
    let text: String = (0..40).map(|i| format!("unknown_{i} x{i};\n")).collect();
    let words = compile(&CudaSource { text: &text, defines: &[] }, (9, 0)).unwrap_err().to_string();
    assert!(words.contains("unknown_0") && words.ends_with(" more lines)"), "{words}");
    assert!(words.lines().count() <= 13, "{words}");
    let words = compile(&CudaSource { text: "a\0b", defines: &[] }, (9, 0)).unwrap_err().to_string();
    assert!(words.contains("a zero in it"), "{words}");
}

#[test]
fn code_on_disk_is_the_same_and_what_is_damaged_is_compiled_anew() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("not/there/yet");
    let (text, defines) = program();
    let source = CudaSource { text: &text, defines: &defines };
    let cached = || cached_in(Some(&folder), &source, (9, 0)).unwrap();
    let image = cached();
    assert_eq!(image, cached_in(None, &source, (9, 0)).unwrap());
    let (file, whole) = (file_in(&folder), read(file_in(&folder)).unwrap());

    // The content of the file is used: an undamaged file with other code is accepted.
    let mut other = b"other code".to_vec();
    other.extend(blake3::hash(&other).as_bytes());
    write(&file, &other).unwrap();
    assert_eq!(cached().bytes(), b"other code");

    for (name, damaged) in [
        ("cut short", whole[..whole.len() - 1].to_vec()),
        ("a bit flipped", [&whole[..100], &[whole[100] ^ 4], &whole[101..]].concat()),
        ("another hash", [&whole[..whole.len() - 1], &[!whole[whole.len() - 1]]].concat()),
        ("shorter than a hash", vec![7; 9]),
        ("empty", vec![]),
    ] {
        write(&file, damaged).unwrap();
        assert_eq!(cached(), image, "{name}");
        assert_eq!(read(&file).unwrap(), whole, "{name}");
    }

    // Another program, or another GPU, has another file.
    let others = scale("0.25f");
    assert_ne!(cached_in(Some(&folder), &CudaSource { text: &text, defines: &others }, (9, 0)).unwrap(), image);
    assert_ne!(cached_in(Some(&folder), &source, (8, 0)).unwrap(), image);
    assert_eq!(read_dir(&folder).unwrap().count(), 3);
}

#[test]
fn a_folder_that_cannot_be_written_is_no_fault() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    write(&file, "no folder").unwrap();
    let (text, defines) = program();
    let source = CudaSource { text: &text, defines: &defines };
    let image = compile(&source, (9, 0)).unwrap();
    assert_eq!(cached_in(Some(&file.join("folder")), &source, (9, 0)).unwrap(), image);
    assert_eq!(cached_in(Some(Path::new("/proc/kernels")), &source, (9, 0)).unwrap(), image);
}

#[test]
fn threads_compile_at_once_and_share_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let (text, defines) = program();
    let source = CudaSource { text: &text, defines: &defines };
    let images: Vec<_> = std::thread::scope(|scope| {
        let compile = || cached_in(Some(dir.path()), &source, (9, 0)).unwrap();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(compile)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(images.iter().all(|image| *image == images[0]));
    assert_eq!(cached_in(Some(dir.path()), &source, (9, 0)).unwrap(), images[0]);
}

#[test]
fn a_machine_without_a_driver_says_so() {
    if Device::open(0).is_ok() {
        println!("skipped: this machine has a driver and a GPU");
        return;
    }
    let fault = Device::open(3).unwrap_err();
    assert!(matches!(fault, Error::Base(BaseError::Unavailable { .. })), "{fault}");
    let words = fault.to_string();
    assert!(words.starts_with("device cuda:3 is not available: ") && words.lines().count() == 1, "{words}");
    assert!(words.contains("NVIDIA driver"), "{words}");
}

#[cfg(feature = "libtorch")]
#[test]
fn a_libtorch_without_its_cuda_part_says_what_brings_it() {
    use crate::gpu::{load_libtorch_cuda, set_libtorch};

    let dir = tempfile::tempdir().unwrap();
    let fault = set_libtorch(dir.path()).unwrap_err();
    assert!(
        matches!(fault, Error::Base(BaseError::Usage { .. })) && fault.to_string().contains("lib/libtorch_cpu.so"),
        "{fault}"
    );
    // The process loads tch's libtorch with the first call.
    tch::manual_seed(0);
    match load_libtorch_cuda() {
        Ok(()) => println!("skipped: this libtorch has its CUDA part"),
        Err(fault) => {
            let words = fault.to_string();
            assert!(
                matches!(fault, Error::Base(BaseError::Unavailable { .. })) && words.lines().count() == 1,
                "{words}"
            );
            assert!(words.ends_with("has no libtorch_cuda.so"), "{words}");
        }
    }
}
