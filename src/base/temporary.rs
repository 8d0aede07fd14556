//! A temporary file that this process can open again by its path.

use std::fs::File;
use std::path::{Path, PathBuf};

use tempfile::TempPath;

use crate::error::{BaseFault, Error, Result};

/// A temporary file in `std::env::temp_dir()`, open for reading and writing. Dropping this value removes it.
#[derive(Debug)]
pub struct TemporaryFile {
    file: File,
    path: PathBuf,
    name: Option<TempPath>,
}

impl TemporaryFile {
    /// Creates an empty file. It has a name until [`TemporaryFile::unname`] is called.
    ///
    /// # Errors
    /// [`Error::Io`], which names the folder of the temporary file.
    pub fn create() -> Result<TemporaryFile> {
        let dir = std::env::temp_dir();
        let file = tempfile::NamedTempFile::new_in(&dir).map_err(Error::io(&dir, "create a temporary file"))?;
        let (file, name) = file.into_parts();
        Ok(TemporaryFile { file, path: name.to_path_buf(), name: Some(name) })
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// A path by which this process can open the file, as long as this value exists.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the name of the file, so that nothing is left behind if the process is killed. Then
    /// [`TemporaryFile::path`] returns another path, below `/proc`. Does nothing on systems other than Linux.
    pub fn unname(&mut self) {
        #[cfg(target_os = "linux")]
        if self.name.take().is_some() {
            use std::os::fd::AsRawFd;
            self.path = format!("/proc/self/fd/{}", self.file.as_raw_fd()).into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_path_leads_to_the_file() {
        let mut temporary = TemporaryFile::create().unwrap();
        temporary.file().write_all(b"abc").unwrap();
        let named = temporary.path().to_path_buf();
        assert_eq!(std::fs::read(temporary.path()).unwrap(), b"abc");
        temporary.unname();
        assert_eq!(named.exists(), !cfg!(target_os = "linux"));
        assert_eq!(std::fs::read(temporary.path()).unwrap(), b"abc", "from the beginning again");
        drop(temporary);
        assert!(!named.exists());
    }
}
