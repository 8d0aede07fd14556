//! A cache of compiled kernels on disk.
//!
//! Each file contains the code of one program, followed by a hash of the code. The file's name is a hash of
//! everything that the code depends on.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tonic_base::publish;

use crate::error::Result;
use crate::gpu::compile::{CudaSource, Image, NVRTC_OPTIONS, check_compiler, compile, nvrtc_version};
use crate::gpu::device::Device;

/// Folder that [`set_kernel_cache`] was called with.
static CHOSEN: OnceLock<PathBuf> = OnceLock::new();

/// Sets the folder of compiled kernels for programs that this process loads later. Only the first call has an effect.
pub fn set_kernel_cache(folder: &Path) {
    CHOSEN.get_or_init(|| folder.into());
}

/// Returns a compiled program, from the cache if possible.
pub(crate) fn cached(source: &CudaSource, device: &Device) -> Result<Image> {
    check_compiler(device)?;
    cached_in(folder().as_deref(), source, device.capability())
}

/// Returns a compiled program, from the cache in `folder` if possible. Without a folder, always compiles.
pub(super) fn cached_in(folder: Option<&Path>, source: &CudaSource, architecture: (u32, u32)) -> Result<Image> {
    let Some(folder) = folder else {
        return compile(source, architecture);
    };
    let path = folder.join(name(source, architecture, nvrtc_version()?));
    if let Some(image) = std::fs::read(&path).ok().and_then(whole) {
        return Ok(image);
    }
    let image = compile(source, architecture)?;
    let mut content = image.bytes().to_vec();
    content.extend(blake3::hash(image.bytes()).as_bytes());
    if std::fs::create_dir_all(folder).is_ok() {
        let _ = publish(&path, &content);
    }
    Ok(image)
}

/// Returns the compiled code from the content of a cache file, or `None` if the file is damaged.
fn whole(mut content: Vec<u8>) -> Option<Image> {
    let (bytes, hash) = content.split_last_chunk::<{ blake3::OUT_LEN }>()?;
    let len = bytes.len();
    (blake3::hash(bytes) == *hash).then(|| {
        content.truncate(len);
        Image(content)
    })
}

fn name(source: &CudaSource, architecture: (u32, u32), nvrtc: (u32, u32)) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut add = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    add(env!("CARGO_PKG_VERSION"));
    add(&format!("{nvrtc:?} {architecture:?} {NVRTC_OPTIONS:?}"));
    add(source.text);
    for (name, value) in source.defines {
        add(name);
        add(value);
    }
    format!("{}.kernels", hasher.finalize().to_hex())
}

/// Returns the folder of the cache: the one from [`set_kernel_cache`], or one that environment variables name.
fn folder() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let chosen = CHOSEN.get().cloned();
    chosen
        .or_else(|| variable("TONIC_CACHE"))
        .or_else(|| variable("XDG_CACHE_HOME").map(|base| base.join("tonic-toolkit")))
        .or_else(|| variable("HOME").map(|home| home.join(".cache/tonic-toolkit")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_of_one_text_one_set_of_defines_and_one_compiler() {
        let defines = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
        };
        let named = |text, pairs: &[(&str, &str)], architecture, nvrtc| {
            name(&CudaSource { text, defines: &defines(pairs) }, architecture, nvrtc)
        };
        let names = [
            named("text", &[("A", "1")], (9, 0), (13, 0)),
            named("text ", &[("A", "1")], (9, 0), (13, 0)),
            named("text", &[("A", "2")], (9, 0), (13, 0)),
            named("text", &[("A1", "")], (9, 0), (13, 0)),
            named("text", &[], (9, 0), (13, 0)),
            named("text", &[("A", "1")], (8, 0), (13, 0)),
            named("text", &[("A", "1")], (9, 0), (13, 1)),
        ];
        assert_eq!(names.iter().collect::<std::collections::HashSet<_>>().len(), names.len());
    }
}
