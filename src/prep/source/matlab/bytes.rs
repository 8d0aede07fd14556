//! Reads the bytes of a MATLAB file in order: the bytes of the file itself, or the unpacked bytes of a compressed
//! variable.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Take};
use std::path::Path;

use flate2::bufread::ZlibDecoder;
use tonic_base::interrupt;
use tonic_shard::KEPT;

use crate::error::{BaseFault, Error, Result};

/// Number of bytes that are copied at a time.
const PIECE: usize = 1 << 16;

pub(super) struct Bytes<'a> {
    path: &'a Path,
    source: Source,
    /// Offset of the next byte: in the file, or in the unpacked bytes of a compressed variable.
    at: u64,
    /// For the bytes of a compressed variable: the offset of the compressed bytes in the file.
    packed_at: Option<u64>,
    big_endian: bool,
}

enum Source {
    Plain(BufReader<File>),
    Packed(Box<ZlibDecoder<BufReader<Take<File>>>>),
}

impl<'a> Bytes<'a> {
    /// Opens the file at the path `local`, to read it from the offset `at` on. `path` is the path in error messages.
    pub(super) fn plain(path: &'a Path, local: &Path, at: u64, big_endian: bool) -> Result<Bytes<'a>> {
        let source = Source::Plain(BufReader::new(open(path, local, at)?));
        Ok(Bytes { path, source, at, packed_at: None, big_endian })
    }

    /// Opens the file at the path `local`, to read the compressed variable in its bytes `at..at + size`. `path` is the
    /// path in error messages.
    pub(super) fn packed(path: &'a Path, local: &Path, (at, size): (u64, u64), big_endian: bool) -> Result<Bytes<'a>> {
        let decoder = ZlibDecoder::new(BufReader::new(open(path, local, at)?.take(size)));
        Ok(Bytes { path, source: Source::Packed(Box::new(decoder)), at: 0, packed_at: Some(at), big_endian })
    }

    pub(super) fn at(&self) -> u64 {
        self.at
    }

    pub(super) fn big_endian(&self) -> bool {
        self.big_endian
    }

    pub(super) fn packed_at(&self) -> Option<u64> {
        self.packed_at
    }

    /// Makes the error for bytes at the offset `at` that are not what the format requires.
    pub(super) fn damaged(&self, at: u64, expected: impl std::fmt::Display, got: impl std::fmt::Display) -> Error {
        let place = match self.packed_at {
            None => format!("byte {at}"),
            Some(begin) => format!("byte {at} of the variable that is compressed at byte {begin}"),
        };
        Error::damaged(self.path, place, format!("expected {expected}, got {got}"))
    }

    fn failed(&self, what: &str, error: std::io::Error) -> Error {
        match (error.kind(), self.packed_at) {
            (std::io::ErrorKind::UnexpectedEof, _) => self.damaged(self.at, what, "the end"),
            (_, Some(_)) => self.damaged(self.at, format!("{what}, compressed with zlib"), error),
            (_, None) => Error::io(self.path, "read the recording")(error),
        }
    }

    /// Fills `out` with the next bytes. `what` describes them in error messages.
    pub(super) fn read(&mut self, what: &str, out: &mut [u8]) -> Result<()> {
        let read = match &mut self.source {
            Source::Plain(file) => file.read_exact(out),
            Source::Packed(decoder) => decoder.read_exact(out),
        };
        read.map_err(|error| self.failed(what, error))?;
        self.at += out.len() as u64;
        Ok(())
    }

    /// Reads the next `size` bytes in pieces of at most [`PIECE`] bytes. Calls `take` with each piece.
    pub(super) fn copy(&mut self, what: &str, size: u64, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut piece = vec![0; PIECE.min(usize::try_from(size).unwrap_or(PIECE))];
        let mut missing = size;
        while missing > 0 {
            interrupt::check(KEPT)?;
            let taken = piece.len().min(usize::try_from(missing).unwrap_or(PIECE));
            self.read(what, &mut piece[..taken])?;
            take(&piece[..taken])?;
            missing -= taken as u64;
        }
        Ok(())
    }

    /// Skips the bytes before the offset `to`.
    pub(super) fn pass_to(&mut self, what: &str, to: u64) -> Result<()> {
        let size = to - self.at;
        match &mut self.source {
            Source::Plain(file) => {
                file.seek_relative(size as i64).map_err(Error::io(self.path, "read the recording"))?;
                self.at = to;
                Ok(())
            }
            Source::Packed(_) => self.copy(what, size, |_| Ok(())),
        }
    }

    /// Reads a compressed variable to its end, so that zlib checks the checksum there.
    pub(super) fn finish(&mut self) -> Result<()> {
        let Source::Packed(decoder) = &mut self.source else { return Ok(()) };
        let mut piece = vec![0; PIECE];
        loop {
            interrupt::check(KEPT)?;
            match decoder.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(bytes) => self.at += bytes as u64,
                Err(error) => return Err(self.failed("the end of the variable", error)),
            }
        }
    }
}

fn open(path: &Path, local: &Path, at: u64) -> Result<File> {
    let mut file = File::open(local).map_err(Error::io(path, "open the recording"))?;
    file.seek(SeekFrom::Start(at)).map_err(Error::io(path, "read the recording"))?;
    Ok(file)
}
