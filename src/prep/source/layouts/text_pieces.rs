//! Reads the bytes of a text in pieces of whole lines.

use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};
use crate::source::packed;
use crate::source::text::MARK;

/// Number of bytes that are read at a time. A line must be shorter.
const PIECE: usize = 1 << 22;

/// What comes before the first row of a text (a byte order mark, lines), and the byte that ends its lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beginning {
    /// Number of lines before the first row.
    pub(super) lines: u64,
    pub(super) has_mark: bool,
    pub(super) line_end: u8,
}

/// The bytes of a text, in pieces of whole lines.
pub(super) struct Pieces<'a> {
    path: &'a Path,
    bytes: Box<dyn Read + Send>,
    /// The byte order mark and the lines that still have to be left out.
    beginning: Beginning,
    /// The beginning of a line whose rest was not read yet.
    rest: Vec<u8>,
    /// Number of bytes that were read.
    at: u64,
    /// Whether the last line has no line break.
    pub(super) is_open: bool,
    /// Why no more bytes are read: they cannot be unpacked, or a line is too long.
    pub(super) fault: Option<Error>,
}

impl<'a> Pieces<'a> {
    pub(super) fn open(path: &'a Path, beginning: Beginning) -> Result<Pieces<'a>> {
        Ok(Pieces::of(path, packed::open(path)?, beginning))
    }

    fn of(path: &'a Path, bytes: Box<dyn Read + Send>, beginning: Beginning) -> Pieces<'a> {
        Pieces { path, bytes, beginning, rest: Vec::new(), at: 0, is_open: false, fault: None }
    }

    /// Reads the next lines into `piece`, whose content is overwritten. Returns no bytes at the end of the text. Adds a
    /// line break to the last line if it has none.
    pub(super) fn next(&mut self, mut piece: Vec<u8>) -> Result<Vec<u8>> {
        loop {
            piece.clear();
            piece.append(&mut self.rest);
            let (begin, missing) = (piece.len(), PIECE - piece.len());
            if self.fault.is_none()
                && let Err(e) = (&mut self.bytes).take(missing as u64).read_to_end(&mut piece)
            {
                // The bytes before the damage are used first.
                match packed::failed(self.path, self.at + (piece.len() - begin) as u64, e) {
                    fault @ Error::DamagedBytes { .. } => self.fault = Some(fault),
                    fault => return Err(fault),
                }
            }
            let read = piece.len() - begin;
            self.at += read as u64;
            if self.beginning.line_end == b'\r' {
                piece[begin..].iter_mut().filter(|byte| **byte == b'\r').for_each(|byte| *byte = b'\n');
            }
            let end = piece.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
            let is_full = read == missing;
            if self.fault.is_some() || is_full && end == 0 {
                self.fault.get_or_insert_with(|| Error::DamagedBytes {
                    path: self.path.into(),
                    at: self.at - piece.len() as u64,
                    expected: format!("lines of fewer than {PIECE} bytes"),
                    got: "a longer one".into(),
                    events: 0,
                });
                piece.truncate(end);
            } else if is_full {
                self.rest.extend_from_slice(&piece[end..]);
                piece.truncate(end);
            } else if end < piece.len() {
                piece.push(b'\n');
                self.is_open = true;
            }
            let Beginning { lines, has_mark, .. } = &mut self.beginning;
            let mut start = if std::mem::take(has_mark) { MARK.len().min(piece.len()) } else { 0 };
            while *lines > 0 && start < piece.len() {
                start = line_end(&piece, start);
                *lines -= 1;
            }
            piece.drain(..start);
            if !piece.is_empty() || !is_full || self.fault.is_some() {
                return Ok(piece);
            }
        }
    }
}

/// Returns the index after the first line break in `text[from..]`, or the length of the text if there is none.
pub(super) fn line_end(text: &[u8], from: usize) -> usize {
    text[from..].iter().position(|&byte| byte == b'\n').map_or(text.len(), |end| from + end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Beginning = Beginning { lines: 0, has_mark: false, line_end: b'\n' };

    /// Reads a text to its end. Returns its bytes, whether its last line is open, and the offset of the fault.
    fn read(text: &[u8], beginning: Beginning) -> (Vec<u8>, bool, Option<u64>) {
        let mut pieces = Pieces::of(Path::new("a.csv"), Box::new(std::io::Cursor::new(text.to_vec())), beginning);
        let mut all = Vec::new();
        loop {
            let piece = pieces.next(Vec::new()).unwrap();
            if piece.is_empty() {
                break;
            }
            assert!(piece.len() <= PIECE + 1 && piece.ends_with(b"\n"), "{} bytes", piece.len());
            all.extend(piece);
        }
        assert!(pieces.next(Vec::new()).unwrap().is_empty(), "nothing follows the end");
        let fault = pieces.fault.map(|fault| match fault {
            Error::DamagedBytes { at, .. } => at,
            other => panic!("{other}"),
        });
        (all, pieces.is_open, fault)
    }

    /// A text of `len` bytes: lines of 64 bytes, of which the last is longer, and ends with `end`.
    fn text(len: usize, end: &[u8]) -> Vec<u8> {
        let lines = len / 64 - 1;
        let mut text: Vec<u8> = (0..lines).flat_map(|i| format!("{i:063}\n").into_bytes()).collect();
        text.resize(len - end.len(), b'7');
        [&text, end].concat()
    }

    #[test]
    fn pieces_join_to_the_text_wherever_it_is_cut() {
        for len in [PIECE - 1, PIECE, PIECE + 1, PIECE + 63, 2 * PIECE, 2 * PIECE + 1] {
            for end in [&b"\n"[..], b"\r\n", b"\n\n"] {
                let text = text(len, end);
                assert!(read(&text, PLAIN) == (text, false, None), "{len} {end:?}");
            }
            let open = text(len, b"");
            let (read, is_open, fault) = read(&open, PLAIN);
            assert!(read == [&open[..], b"\n"].concat() && is_open && fault.is_none(), "{len}");
        }
    }

    #[test]
    fn line_breaks_of_two_bytes_may_be_cut_in_two() {
        let line = b"12345\r\n".repeat(PIECE / 7 + 2);
        for before in 0..7 {
            let text = [&b"1234567"[..before], &line].concat();
            assert!(read(&text, PLAIN) == (text, false, None), "{before}");
        }
        let old = Beginning { line_end: b'\r', ..PLAIN };
        let text = b"1234\r".repeat(PIECE / 5 + 2);
        let read = read(&text, old);
        assert!(read == (b"1234\n".repeat(PIECE / 5 + 2), false, None));
    }

    #[test]
    fn a_line_that_is_as_long_as_a_piece_is_refused() {
        for (lines, longest, is_refused) in
            [(0, PIECE - 1, false), (0, PIECE, true), (3, PIECE - 1, false), (3, PIECE, true), (3, 3 * PIECE, true)]
        {
            let before = b"1,2\n".repeat(lines);
            for (end, is_open) in [(&b"\n3,4\n"[..], false), (b"\n", false), (b"", true)] {
                let text = [&before[..], &b"5".repeat(longest), end].concat();
                let (read, open, fault) = read(&text, PLAIN);
                if is_refused {
                    assert_eq!(
                        (read, open, fault),
                        (before.clone(), false, Some(before.len() as u64)),
                        "{lines} {end:?}"
                    );
                } else {
                    let whole = if is_open { [&text[..], b"\n"].concat() } else { text };
                    assert!(read == whole && open == is_open && fault.is_none(), "{lines} {end:?}");
                }
            }
        }
    }

    #[test]
    fn lines_before_the_first_row_are_left_out() {
        let beginning = Beginning { lines: 2, has_mark: true, line_end: b'\n' };
        let mark = MARK.as_bytes();
        let head = [mark, &b"t,x\n"[..], b"# about\n"].concat();
        for rows in [&b""[..], b"1,2\n", &b"1,2\n".repeat(PIECE)] {
            assert!(read(&[&head, rows].concat(), beginning) == (rows.to_vec(), false, None));
        }
        // Lines before the first row that fill a piece.
        let rows = [mark, &text(PIECE, b"\n"), b"1,2\n"].concat();
        let lines = (PIECE / 64) as u64;
        assert!(read(&rows, Beginning { lines, ..beginning }) == (b"1,2\n".to_vec(), false, None));
        assert!(read(&mark[..1], beginning) == (Vec::new(), true, None), "shorter than the mark");
    }
}
