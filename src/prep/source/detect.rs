//! Detects the layout of a file from its content, and opens a file that holds one recording.

use std::path::Path;

use crate::error::{BaseFault, Error, Result};
use crate::source::layout::Layout;
use crate::source::options::SourceOptions;
use crate::source::stream::EventStream;
use crate::source::{camera, hdf, npy_files, ntidigits};

/// The layout of a file: the one in `options`, or else the first that fits its content.
pub(super) fn layout_of(path: &Path, options: &SourceOptions) -> Result<Layout> {
    if let Some(layout) = options.layout.or(options.map.is_some().then_some(Layout::Map)) {
        return Ok(layout);
    }
    let mut head = [0; 4];
    let file = std::fs::File::open(path).map_err(Error::io(path, "open the recording"))?;
    if std::io::Read::read_exact(&mut &file, &mut head).is_ok() {
        match &head {
            b"\x93NUM" => return Ok(Layout::Npy),
            b"PK\x03\x04" | b"PK\x05\x06" => return Ok(Layout::Npz),
            _ => {}
        }
    }
    let file = hdf::open(path)?;
    if file.group("spikes").is_ok() {
        Ok(Layout::Hsd)
    } else if ntidigits::detect(&file) {
        Ok(Layout::Ntidigits)
    } else if let Some(layout) = camera::detect(&file) {
        Ok(layout)
    } else {
        let known = Layout::ALL[..6].iter().map(|(_, name, mark)| format!("{mark} ({name})"));
        let looked = known.collect::<Vec<_>>().join(", ");
        Err(Error::UnknownLayout { path: path.into(), looked, has: hdf::contents(&file) })
    }
}

/// Opens a file that holds one recording.
///
/// # Errors
/// Those of the layout; [`tonic_base::Error::Usage`] for a layout with many samples per file.
pub(super) fn open_stream(path: &Path, options: &SourceOptions) -> Result<EventStream> {
    match layout_of(path, options)? {
        Layout::Npy => npy_files::open_npy(path, options),
        Layout::Npz => npy_files::open_npz(path, options),
        layout if layout.has_samples() => {
            let expected = format!("one recording a file in a folder; give {} by itself", path.display());
            Err(Error::usage("layout", expected, layout.title()))
        }
        layout => camera::open(path, layout, options),
    }
}
