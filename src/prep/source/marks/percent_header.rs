//! The text header of Prophesee's files (RAW and DAT): lines that begin with `%`, such as `% geometry 1280x720`. The
//! fields are described in the documentation of the Metavision SDK, under "RAW file format" and "DAT file format".
//!
//! In a RAW file, `% format EVT3;height=720;width=1280` and, in older files, `% evt 3.0` name the encoding. Newer
//! headers end with the line `% end`. Older headers end before the first line that has no `%` or isn't text.

use crate::error::Result;
use crate::source::layout::Layout;

/// Maximum number of lines of a header.
const MAX_LINES: usize = 1 << 10;

/// The information in a file's header. A field is `None` if the header lacks it.
#[derive(Debug, Default)]
pub(crate) struct PercentHeader {
    /// Number of lines.
    pub(crate) lines: usize,
    /// The encoding of a RAW file.
    pub(crate) encoding: Option<Layout>,
    /// Whether the two halves of each word are in reverse order. Only for RAW files in EVT 2.1.
    pub(crate) is_legacy: bool,
    /// Version of a DAT file.
    pub(crate) version: Option<u32>,
    /// Whether the header is certainly that of a DAT file. If only `may_be_dat` is true, the file can also be a text
    /// file.
    pub(crate) is_dat: bool,
    pub(crate) may_be_dat: bool,
    pub(crate) width: Option<u64>,
    pub(crate) height: Option<u64>,
}

impl PercentHeader {
    /// Reads the header of a file. `next` reads the next line if it begins with `%`, and returns `None` otherwise.
    ///
    /// # Errors
    /// Those of `next`.
    pub(crate) fn read(mut next: impl FnMut() -> Result<Option<String>>) -> Result<PercentHeader> {
        let mut header = PercentHeader::default();
        while header.lines < MAX_LINES {
            let Some(line) = next()? else { break };
            header.lines += 1;
            if header.add(&line) {
                break;
            }
        }
        Ok(header)
    }

    /// Reads the header from the first bytes of a file.
    pub(crate) fn of_head(head: &[u8]) -> PercentHeader {
        let mut header = PercentHeader::default();
        for line in head.split(|&byte| byte == b'\n').take_while(|line| line.starts_with(b"%")) {
            if line.iter().any(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace()) {
                break;
            }
            header.lines += 1;
            if header.add(String::from_utf8_lossy(line).trim_end_matches('\r')) {
                break;
            }
        }
        header
    }

    /// Adds a line. Returns whether it is the last one.
    fn add(&mut self, line: &str) -> bool {
        let line = line.trim_start_matches('%').trim();
        let (key, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let value = value.trim();
        match key.to_ascii_lowercase().as_str() {
            "end" => return true,
            "evt" => self.encoding = self.encoding.or(encoding(value)),
            "format" => {
                let mut parts = value.split(';').map(str::trim);
                self.encoding = parts.next().and_then(encoding).or(self.encoding);
                for (key, value) in parts.filter_map(|part| part.split_once('=')) {
                    match key.trim() {
                        "width" => self.width = value.trim().parse().ok(),
                        "height" => self.height = value.trim().parse().ok(),
                        "endianness" => self.is_legacy = value.trim() == "legacy",
                        _ => {}
                    }
                }
            }
            "geometry" => {
                if let Some((width, height)) = value.split_once('x') {
                    (self.width, self.height) = (width.trim().parse().ok(), height.trim().parse().ok());
                }
            }
            "width" => self.width = value.parse().ok(),
            "height" => self.height = value.parse().ok(),
            "version" => {
                self.version = value.split('.').next().and_then(|major| major.parse().ok());
                self.may_be_dat = true;
            }
            "data" if value.starts_with("file containing") => self.is_dat = true,
            _ => {}
        }
        self.may_be_dat |= matches!(key, "Width" | "Height");
        false
    }

    /// The size of the sensor, (width, height).
    pub(crate) fn sensor(&self) -> Option<(u64, u64)> {
        self.width.zip(self.height)
    }
}

fn encoding(name: &str) -> Option<Layout> {
    Some(match name {
        "EVT2" | "2.0" => Layout::Evt2,
        "EVT21" | "2.1" => Layout::Evt21,
        "EVT3" | "3.0" => Layout::Evt3,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_old_and_new_files_are_read() {
        for (head, encoding, sensor, dat) in [
            (&b"% evt 3.0\n% format EVT3\n% geometry 1280x720\n"[..], Some(Layout::Evt3), Some((1280, 720)), false),
            (b"% format EVT21;height=720;width=1280\n% end\n%x", Some(Layout::Evt21), Some((1280, 720)), false),
            (b"% evt 2.0\r\n% integrator_name P\r\n\x00\x80", Some(Layout::Evt2), None, false),
            (b"% Data file containing CD events.\n% Version 2\n% Height 4\n% Width 3\n", None, Some((3, 4)), true),
            (b"% Version 1\n\x00\x08", None, None, true),
            (b"% format EVT4\n", None, None, false),
        ] {
            let header = PercentHeader::of_head(head);
            let found = (header.encoding, header.sensor(), header.is_dat || header.may_be_dat);
            assert_eq!(found, (encoding, sensor, dat), "{}", String::from_utf8_lossy(head));
        }
    }
}
