//! Loads libtorch's CUDA part at run time, for the reference engine on a GPU.

use std::path::Path;

use crate::error::{BaseFault, Error, Result};
use crate::gpu::library;

/// Version of libtorch that the crate `tch` needs.
const VERSION: &str = "2.11.0";

/// Opens libtorch_cuda.so. Call this before tch asks whether CUDA is available, because libtorch remembers the answer.
pub(crate) fn load_libtorch_cuda() -> Result<()> {
    let unavailable = |why: String| Error::unavailable("libtorch's CUDA part", why);
    let chosen = library::chosen_libtorch();
    let running = library::running_libtorch();
    let Some(folder) = chosen.or(running.as_deref()) else {
        return Err(unavailable("this process has no libtorch".into()));
    };
    let path = folder.join("libtorch_cuda.so");
    if !path.exists() {
        return Err(unavailable(format!("{} has no libtorch_cuda.so", folder.display())));
    }
    match version(folder) {
        Some(version) if version != VERSION => {
            let what = folder.display();
            return Err(unavailable(format!("{what} is of libtorch {version}, and this program of {VERSION}")));
        }
        None if chosen.is_some() => {
            let (what, files) = (folder.display(), "neither build-version nor version.py");
            return Err(unavailable(format!("{what} may be of any version: next to it is {files}")));
        }
        _ => {}
    }
    library::open(&path).map_err(|words| unavailable(words.lines().collect::<Vec<_>>().join(" ")))
}

/// Returns the version of the libtorch whose libraries are in `folder`, without a suffix such as `+cu130`.
fn version(folder: &Path) -> Option<String> {
    let beside = |name: &str| std::fs::read_to_string(folder.parent()?.join(name)).ok();
    let text = match beside("build-version") {
        Some(text) => text,
        None => in_python(&beside("version.py")?)?.into(),
    };
    Some(text.trim().split('+').next().unwrap_or_default().into())
}

/// Returns the version of libtorch in `text`, the text of torch/version.py.
fn in_python(text: &str) -> Option<&str> {
    let line = text.lines().find(|line| line.starts_with("__version__"))?;
    line.split(['\'', '"']).nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_an_archive_and_from_a_wheel() {
        let dir = tempfile::tempdir().unwrap();
        let lib = dir.path().join("lib");
        assert_eq!(version(&lib), None);
        let python =
            "from typing import Optional\n__all__ = ['__version__']\n__version__ = '2.11.0+cu130'\ndebug = False\n";
        std::fs::write(dir.path().join("version.py"), python).unwrap();
        assert_eq!(version(&lib).as_deref(), Some("2.11.0"));
        std::fs::write(dir.path().join("build-version"), "2.10.1\n").unwrap();
        assert_eq!(version(&lib).as_deref(), Some("2.10.1"));
        assert_eq!(in_python("version = 1"), None);
    }
}
