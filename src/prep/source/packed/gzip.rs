//! Unpacks files in gzip.

use std::io::{BufReader, Read, Result};

use flate2::bufread::MultiGzDecoder;

use crate::source::packed::limit::{most_unpacked, too_large};

/// Size of the buffer of packed bytes.
const BUFFER: usize = 1 << 16;

/// The unpacked bytes of a gzip file.
pub(super) struct Gzip<R> {
    bytes: MultiGzDecoder<BufReader<R>>,
    unpacked: u64,
    most: u64,
}

impl<R: Read> Gzip<R> {
    /// `len` is the number of packed bytes.
    pub(super) fn new(bytes: R, len: u64) -> Gzip<R> {
        let bytes = MultiGzDecoder::new(BufReader::with_capacity(BUFFER, bytes));
        Gzip { bytes, unpacked: 0, most: most_unpacked(len) }
    }
}

impl<R: Read> Read for Gzip<R> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        let read = self.bytes.read(out)?;
        self.unpacked += read as u64;
        if self.unpacked > self.most { Err(too_large(self.most)) } else { Ok(read) }
    }
}
