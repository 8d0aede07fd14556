//! Reads a camera's file once, from its beginning to its end, through a buffer of a fixed size. Counts the bytes, so
//! that errors can say at which byte they occurred.

use std::cell::Cell;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use tonic_base::interrupt;
use tonic_shard::KEPT;

use crate::error::{BaseFault, Error, Result};
use crate::source::packed;

/// Size of the buffer in bytes.
const BUFFER: usize = 1 << 16;
/// Maximum number of bytes that [`Input::words`] passes to the decoder at a time.
const PIECE: usize = 1 << 11;
/// Maximum number of bytes of a line of a header.
const MAX_LINE: usize = 1 << 15;

/// A file that is read from its beginning to its end.
pub(crate) struct Input<'a> {
    path: &'a Path,
    bytes: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    /// The bytes from `begin` to `end` of the buffer were read from the file, but not used yet.
    begin: usize,
    end: usize,
    /// Offset of the first unused byte in the file.
    at: u64,
    /// Whether the last byte was read.
    is_end: bool,
    /// Error of decompression. No more bytes can be read after it.
    fault: Option<Error>,
}

thread_local! {
    /// The buffer of the thread's previous input. Making a new one takes as long as reading a small file.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl Drop for Input<'_> {
    fn drop(&mut self) {
        SPARE.set(std::mem::take(&mut self.buffer));
    }
}

impl<'a> Input<'a> {
    /// Opens a file. A compressed file is decompressed while it is read.
    ///
    /// # Errors
    /// Errors of [`packed::open`].
    pub(crate) fn open(path: &'a Path) -> Result<Input<'a>> {
        Ok(Input::of(path, packed::open(path)?))
    }

    /// Reads `bytes` as those of the file at `path`.
    pub(crate) fn of(path: &'a Path, bytes: Box<dyn Read + Send>) -> Input<'a> {
        let mut buffer = SPARE.take();
        buffer.resize(BUFFER, 0);
        Input { path, bytes, buffer, begin: 0, end: 0, at: 0, is_end: false, fault: None }
    }

    /// Opens a file like [`Input::open`], and starts to read at the offset `at`. In a compressed file, the offset
    /// counts decompressed bytes.
    ///
    /// # Errors
    /// Errors of [`packed::open`] and [`Input::pass`].
    pub(crate) fn open_at(path: &'a Path, at: u64) -> Result<Input<'a>> {
        if packed::is_packed(path) {
            let mut input = Input::open(path)?;
            input.pass(at, "the bytes before the index")?;
            return Ok(input);
        }
        let mut file = File::open(path).map_err(Error::io(path, "open the recording"))?;
        file.seek(SeekFrom::Start(at)).map_err(Error::io(path, "read the recording"))?;
        let mut input = Input::of(path, Box::new(file));
        input.at = at;
        Ok(input)
    }

    pub(crate) fn path(&self) -> &'a Path {
        self.path
    }

    /// Takes the error of decompression, if the input ended because of it.
    pub(crate) fn fault(&mut self) -> Option<Error> {
        self.fault.take()
    }

    /// Returns the number of bytes from the next one to the end of a file that is not compressed. Returns 0 if it is not
    /// known, as for a member of an archive.
    pub(crate) fn bytes_left(&self) -> u64 {
        std::fs::metadata(self.path).map_or(0, |file| file.len().saturating_sub(self.at))
    }

    /// Returns the offset of the next byte in the file.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Reads until at least `least` bytes are in the buffer, or the file ends. Returns all bytes in the buffer, without
    /// using them. `least` is at most [`BUFFER`].
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`], [`tonic_base::Error::Interrupted`].
    pub(crate) fn peek(&mut self, least: usize) -> Result<&[u8]> {
        if self.end - self.begin < least {
            interrupt::check(KEPT)?;
            self.buffer.copy_within(self.begin..self.end, 0);
            (self.begin, self.end) = (0, self.end - self.begin);
            while self.end < least.min(BUFFER) && self.fault.is_none() && !self.is_end {
                match self.bytes.read(&mut self.buffer[self.end..]) {
                    Ok(0) => self.is_end = true,
                    Ok(bytes) => self.end += bytes,
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                    // The bytes before the damage are used first.
                    Err(e) => match packed::failed(self.path, self.at + self.end as u64, e) {
                        fault @ Error::DamagedBytes { .. } => self.fault = Some(fault),
                        fault => return Err(fault),
                    },
                }
            }
        }
        Ok(&self.buffer[self.begin..self.end])
    }

    /// Skips `bytes` bytes, which [`Input::peek`] must have returned before.
    pub(crate) fn skip(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.end - self.begin);
        self.begin += bytes;
        self.at += bytes as u64;
    }

    /// Reads the next `N` bytes. `None` if the file ends here.
    ///
    /// # Errors
    /// Errors of [`Input::peek`]; [`Error::DamagedBytes`] if the file ends inside these bytes. `what` names the bytes
    /// in the error.
    pub(crate) fn array<const N: usize>(&mut self, what: &str) -> Result<Option<[u8; N]>> {
        let there = self.peek(N)?;
        match (there.first_chunk::<N>().copied(), there.len()) {
            (Some(bytes), _) => {
                self.skip(N);
                Ok(Some(bytes))
            }
            (None, 0) => Ok(None),
            (None, _) => Err(self.ends_early(self.at, N as u64, what, (self.end - self.begin) as u64)),
        }
    }

    /// Reads the next `N` bytes.
    ///
    /// # Errors
    /// Errors of [`Input::array`]; [`Error::DamagedBytes`] also if the file ends here.
    pub(crate) fn needed<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        self.array(what)?.ok_or_else(|| self.ends_early(self.at, N as u64, what, 0))
    }

    /// Reads `size` bytes into `out`. Allocates memory only for bytes that the file really has.
    ///
    /// # Errors
    /// Errors of [`Input::peek`]; [`Error::DamagedBytes`] if the file has fewer bytes.
    pub(crate) fn bytes(&mut self, size: u64, what: &str, out: &mut Vec<u8>) -> Result<()> {
        out.clear();
        let begin = self.at;
        while (out.len() as u64) < size {
            let missing = size - out.len() as u64;
            let there = self.peek(1)?;
            let taken = there.len().min(usize::try_from(missing).unwrap_or(usize::MAX));
            if taken == 0 {
                return Err(self.ends_early(begin, size, what, out.len() as u64));
            }
            out.extend_from_slice(&there[..taken]);
            self.skip(taken);
        }
        Ok(())
    }

    /// Reads a line of a text header, without the end of the line. Returns `None`, and reads nothing, if the next bytes
    /// are not a line of printable text that begins with `mark`. The line must be UTF-8, unless a space follows `mark`:
    /// then bytes that are not UTF-8 are replaced.
    ///
    /// # Errors
    /// Errors of [`Input::peek`]; [`Error::DamagedBytes`] for a line that is longer than [`MAX_LINE`].
    pub(crate) fn line(&mut self, mark: &str) -> Result<Option<String>> {
        let there = self.peek(MAX_LINE)?;
        let head = &there[..there.len().min(MAX_LINE)];
        let end = head.iter().position(|&byte| byte == b'\n');
        let line = &head[..end.unwrap_or(head.len())];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let is_printable = !line.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t');
        let is_text = is_printable && (std::str::from_utf8(line).is_ok() || line.get(mark.len()) == Some(&b' '));
        if !line.starts_with(mark.as_bytes()) || !is_text {
            return Ok(None);
        }
        let Some(end) = end else {
            let long = head.len() == MAX_LINE;
            let got = "a longer one";
            let expected = format!("lines of the header of at most {MAX_LINE} bytes");
            return if long { Err(self.damaged(self.at, expected, got)) } else { Ok(None) };
        };
        let line = String::from_utf8_lossy(line).into_owned();
        self.skip(end + 1);
        Ok(Some(line))
    }

    /// Reads the rest of the file as words of `N` bytes. Calls `take` with pieces of at most [`PIECE`] bytes. The
    /// second argument of `take` is the offset of the piece's first word in the file.
    ///
    /// # Errors
    /// Errors of [`Input::peek`] and of `take`; [`Error::DamagedBytes`] if the file ends inside a word.
    pub(crate) fn words<const N: usize>(
        &mut self,
        what: &str,
        mut take: impl FnMut(&[[u8; N]], u64) -> Result<()>,
    ) -> Result<()> {
        while self.piece(u64::MAX, what, &mut take)? > 0 {}
        Ok(())
    }

    /// Reads the next `count` words of `N` bytes. The calls of `take` are the same as in [`Input::words`].
    ///
    /// # Errors
    /// Errors of [`Input::words`]; [`Error::DamagedBytes`] if the file has fewer words.
    pub(crate) fn some_words<const N: usize>(
        &mut self,
        count: u64,
        what: &str,
        mut take: impl FnMut(&[[u8; N]], u64) -> Result<()>,
    ) -> Result<()> {
        let mut missing = count;
        while missing > 0 {
            match self.piece(missing, what, &mut take)? {
                0 => return Err(self.damaged(self.at, format!("{missing} more of {what}"), "the end of the file")),
                words => missing -= words,
            }
        }
        Ok(())
    }

    /// Calls `take` with one piece of at most `most` words. Returns the number of words in it, which is 0 at the end of
    /// the file.
    fn piece<const N: usize>(
        &mut self,
        most: u64,
        what: &str,
        take: &mut impl FnMut(&[[u8; N]], u64) -> Result<()>,
    ) -> Result<u64> {
        let (at, path) = (self.at, self.path);
        let there = self.peek(PIECE)?;
        let (words, rest) = there[..there.len().min(PIECE)].as_chunks::<N>();
        let words = &words[..words.len().min(usize::try_from(most).unwrap_or(usize::MAX))];
        if words.is_empty() && !rest.is_empty() {
            let got = format!("{} and the end of the file", rest.len());
            return Err(damaged(path, at, format!("the {N} bytes of {what}"), got));
        }
        take(words, at)?;
        let count = words.len();
        self.skip(count * N);
        Ok(count as u64)
    }

    /// Reads the rest of the file and ignores it, so that a wrong checksum at the end of a packed file is found.
    ///
    /// # Errors
    /// Errors of [`Input::peek`].
    pub(crate) fn finish(&mut self) -> Result<()> {
        loop {
            match self.peek(1)?.len() {
                0 => return Ok(()),
                bytes => self.skip(bytes),
            }
        }
    }

    /// Skips `size` bytes of the file.
    ///
    /// # Errors
    /// Errors of [`Input::peek`]; [`Error::DamagedBytes`] if the file has fewer bytes.
    pub(crate) fn pass(&mut self, size: u64, what: &str) -> Result<()> {
        let (begin, mut missing) = (self.at, size);
        while missing > 0 {
            let there = self.peek(1)?.len();
            let taken = there.min(usize::try_from(missing).unwrap_or(usize::MAX));
            if taken == 0 {
                return Err(self.ends_early(begin, size, what, size - missing));
            }
            self.skip(taken);
            missing -= taken as u64;
        }
        Ok(())
    }

    fn ends_early(&self, begin: u64, size: u64, what: &str, got: u64) -> Error {
        self.damaged(begin, format!("the {size} bytes of {what}"), format!("{got} and the end of the file"))
    }

    /// Makes the error for damaged bytes at the offset `at` of the file.
    pub(crate) fn damaged(&self, at: u64, expected: impl Into<String>, got: impl std::fmt::Display) -> Error {
        damaged(self.path, at, expected, got)
    }
}

/// Makes the error for damaged bytes at the offset `at` of a file.
pub(crate) fn damaged(path: &Path, at: u64, expected: impl Into<String>, got: impl std::fmt::Display) -> Error {
    Error::DamagedBytes { path: path.into(), at, expected: expected.into(), got: got.to_string(), events: 0 }
}
