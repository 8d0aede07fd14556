//! A temporary file for data that would take too much memory.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use crate::error::{BaseFault, Error, Result};

/// Several streams of bytes in a temporary file in `std::env::temp_dir()`. Dropping this value removes the file.
#[derive(Debug)]
pub struct Spill {
    file: File,
    dir: PathBuf,
    end: u64,
    streams: Vec<Vec<Piece>>,
}

/// Consecutive bytes of a stream that are also consecutive in the file.
#[derive(Clone, Copy, Debug)]
struct Piece {
    /// Where the piece begins in the stream, in bytes from the start of the stream.
    start: u64,
    /// Where the piece begins in the file, in bytes from the start of the file.
    at: u64,
    bytes: u64,
}

impl Spill {
    /// Creates a temporary file with `streams` empty streams.
    ///
    /// # Errors
    /// [`Error::Io`], which names the folder of the temporary file.
    pub fn new(streams: usize) -> Result<Spill> {
        let dir = std::env::temp_dir();
        let file = tempfile::tempfile_in(&dir).map_err(Error::io(&dir, "create a temporary file"))?;
        Ok(Spill { file, dir, end: 0, streams: vec![Vec::new(); streams] })
    }

    /// Adds an empty stream and returns its index, counted from 0.
    pub fn add_stream(&mut self) -> usize {
        self.streams.push(Vec::new());
        self.streams.len() - 1
    }

    /// Number of streams.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Length of a stream in bytes.
    pub fn len(&self, stream: usize) -> u64 {
        self.streams[stream].last().map_or(0, |piece| piece.start + piece.bytes)
    }

    /// Appends bytes to a stream. Few large appends are faster than many small ones.
    ///
    /// # Errors
    /// [`Error::Io`], which names the folder of the temporary file.
    pub fn append(&mut self, stream: usize, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(Error::io(&self.dir, "write a temporary file"))?;
        let (at, bytes) = (self.end, bytes.len() as u64);
        self.end += bytes;
        let start = self.len(stream);
        match self.streams[stream].last_mut().filter(|piece| piece.at + piece.bytes == at) {
            Some(piece) => piece.bytes += bytes,
            None => self.streams[stream].push(Piece { start, at, bytes }),
        }
        Ok(())
    }

    /// Fills `out` with the bytes of a stream, beginning at the position `start`. The stream must have enough bytes.
    ///
    /// # Errors
    /// [`Error::Io`], which names the folder of the temporary file.
    pub fn read(&self, stream: usize, start: u64, mut out: &mut [u8]) -> Result<()> {
        let pieces = &self.streams[stream];
        let mut next = start;
        for piece in &pieces[pieces.partition_point(|piece| piece.start + piece.bytes <= start)..] {
            let skipped = next - piece.start;
            let bytes = (out.len() as u64).min(piece.bytes - skipped) as usize;
            let (now, later) = out.split_at_mut(bytes);
            read_at(&self.file, now, piece.at + skipped).map_err(Error::io(&self.dir, "read a temporary file"))?;
            (out, next) = (later, next + bytes as u64);
            if out.is_empty() {
                break;
            }
        }
        debug_assert!(out.is_empty(), "the stream is long enough");
        Ok(())
    }

    /// Calls `take` with all bytes of a stream, in order. Each call gets at most `most` bytes.
    ///
    /// # Errors
    /// Errors of [`Spill::read`] and of `take`.
    pub fn read_all<E: From<Error>>(
        &self,
        stream: usize,
        most: usize,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut start, end) = (0, self.len(stream));
        let mut buffer = vec![0; (most as u64).min(end) as usize];
        while start < end {
            let bytes = (buffer.len() as u64).min(end - start) as usize;
            self.read(stream, start, &mut buffer[..bytes])?;
            take(&buffer[..bytes])?;
            start += bytes as u64;
        }
        Ok(())
    }
}

#[cfg(unix)]
fn read_at(file: &File, out: &mut [u8], at: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, out, at)
}

#[cfg(windows)]
fn read_at(file: &File, mut out: &mut [u8], mut at: u64) -> std::io::Result<()> {
    while !out.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, out, at)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => (out, at) = (&mut out[read..], at + read as u64),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_come_back_in_pieces_of_any_size() {
        let mut spill = Spill::new(2).unwrap();
        let third = spill.add_stream();
        let mut expected = vec![Vec::new(); 3];
        for i in 0..200_usize {
            let stream = [0, 0, 1, third, 1, 0][i % 6];
            let bytes: Vec<u8> = (0..i % 7).map(|k| (i + k) as u8).collect();
            spill.append(stream, &bytes).unwrap();
            expected[stream].extend(bytes);
        }
        for (stream, expected) in expected.iter().enumerate() {
            assert_eq!(spill.len(stream), expected.len() as u64);
            for most in [1, 3, 64, 1000] {
                let mut read = Vec::new();
                let taken = spill.read_all::<Error>(stream, most, |bytes| {
                    read.extend_from_slice(bytes);
                    Ok(())
                });
                taken.unwrap();
                assert_eq!(&read, expected, "{stream} {most}");
            }
            let mut part = vec![0; expected.len() / 2];
            spill.read(stream, 3, &mut part).unwrap();
            assert_eq!(part, expected[3..3 + part.len()]);
        }
        assert_eq!(spill.streams(), 3);
    }
}
