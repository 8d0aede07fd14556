//! Reads MATLAB files of version 5 (also called 6 and 7): lists their arrays and reads the numbers of an array. Source:
//! "MAT-File Format" of MathWorks. Files of version 7.3 are HDF5.
//!
//! ```text
//! bytes                        the bytes of a file or of a compressed variable, in order
//! element                      elements: type, size, where their data is
//! variables                    the arrays of a file, with those in structs and cells
//! file                         an open file: its arrays, the numbers in them
//! ```

mod bytes;
mod element;
mod file;
mod variables;

pub(crate) use file::MatFile;

/// Size of a file's header in bytes. The header has a text, the offset of MATLAB's own data, the version, and two bytes
/// that show the byte order.
const HEADER: usize = 128;

/// Returns whether `head` is the beginning of a MATLAB file of version 5. The text at the start of the header may be
/// missing.
pub(crate) fn is_marked(head: &[u8]) -> bool {
    head.starts_with(b"MATLAB 5.0 MAT-file") || order(head).is_some()
}

/// Returns whether the numbers of a file are big-endian. `None` if `head` is not a whole header of version 5.
fn order(head: &[u8]) -> Option<bool> {
    match head.get(HEADER - 4..HEADER)? {
        [0, 1, b'I', b'M'] => Some(false),
        [1, 0, b'M', b'I'] => Some(true),
        _ => None,
    }
}
