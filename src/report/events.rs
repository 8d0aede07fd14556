//! Event files of TensorBoard: curves of scalars.
//!
//! ```text
//! file     records
//! record   length (u64), masked CRC32C of the length (u32), data, masked CRC32C of the data (u32), little-endian
//! data     an `Event` of TensorBoard's event.proto, a protocol buffer:
//!            1 wall_time, float64 · 2 step, int64 · 3 file_version, string · 5 summary
//!          Summary: 1 value, repeated. Value: 1 tag, string · 2 simple_value, float32
//! ```

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use tonic_base::{BaseFault, Error, Result};

/// Wire types of the fields of a protocol buffer.
const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;
const FIXED32: u8 = 5;

/// A file to which scalars are appended. TensorBoard can read it at any time.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Creates a file, which must not exist. TensorBoard only reads files with `tfevents` in their names.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(path: &Path, unix_seconds: f64) -> Result<EventFile> {
        let file = File::create_new(path).map_err(Error::io(path, "create the event file"))?;
        let mut events = EventFile { path: path.into(), file };
        let mut event = wall_time(unix_seconds);
        bytes(&mut event, 3, b"brain.Event:2");
        events.write(&event)?;
        Ok(events)
    }

    /// Appends scalars of one step. Each is a name and a value. If a name contains a slash, TensorBoard uses the text
    /// before the slash as the name of a group.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn append(&mut self, step: u64, unix_seconds: f64, scalars: &[(String, f64)]) -> Result<()> {
        let mut summary = Vec::new();
        for (name, value) in scalars {
            let mut scalar = Vec::new();
            bytes(&mut scalar, 1, name.as_bytes());
            scalar.push(2 << 3 | FIXED32);
            scalar.extend((*value as f32).to_le_bytes());
            bytes(&mut summary, 1, &scalar);
        }
        let mut event = wall_time(unix_seconds);
        event.push(2 << 3 | VARINT);
        varint(&mut event, step);
        bytes(&mut event, 5, &summary);
        self.write(&event)
    }

    fn write(&mut self, event: &[u8]) -> Result<()> {
        let length = (event.len() as u64).to_le_bytes();
        let parts = [&length[..], &masked_crc(&length).to_le_bytes(), event, &masked_crc(event).to_le_bytes()];
        self.file.write_all(&parts.concat()).map_err(Error::io(&self.path, "write the event file"))
    }
}

fn wall_time(unix_seconds: f64) -> Vec<u8> {
    let mut event = vec![1 << 3 | FIXED64];
    event.extend(unix_seconds.to_le_bytes());
    event
}

fn bytes(out: &mut Vec<u8>, field: u8, data: &[u8]) {
    out.push(field << 3 | BYTES);
    varint(out, data.len() as u64);
    out.extend(data);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// CRC32C (Castagnoli), rotated and with an offset, as TensorFlow's records store it.
fn masked_crc(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

fn crc32c(data: &[u8]) -> u32 {
    /// The polynomial of Castagnoli, with reversed bits.
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    !data.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { POLYNOMIAL } else { 0 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_rfc_3720() {
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    /// The expected bytes were written by TensorBoard's own `RecordWriter`, for the same events.
    #[test]
    fn a_file_has_the_bytes_of_tensorboard() {
        let expected = "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c2c000000000000\
                        00f4aecc4509000000000000044010ac022a1e0a110a0a6c6f73732f747261696e150000803e0a090a026c72156f12\
                        833a13ee8c34";
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.out.tfevents.1");
        let mut events = EventFile::create(&path, 1.5).unwrap();
        events.append(300, 2.5, &[("loss/train".into(), 0.25), ("lr".into(), 1e-3)]).unwrap();
        let hex: String = std::fs::read(&path).unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected);
        assert!(EventFile::create(&path, 1.5).is_err());
    }

    #[test]
    fn large_numbers_take_several_bytes() {
        let mut out = Vec::new();
        [0, 127, 128, 300, u64::MAX].into_iter().for_each(|value| varint(&mut out, value));
        assert_eq!(out[..6], [0, 127, 128, 1, 172, 2]);
        assert_eq!(out[6..], [vec![0xff; 9], vec![1]].concat());
    }
}
