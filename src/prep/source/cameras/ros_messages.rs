//! Messages of events in bags of ROS 1, little-endian and without padding. Sources: the packages `dvs_msgs`,
//! `prophesee_event_msgs` and `event_camera_msgs` (formerly `event_array_msgs`).
//!
//! Numbers in brackets are sizes in bytes. A text comes after its length (4).
//!
//! | `EventArray`: `dvs_msgs`, `prophesee_event_msgs` | `EventPacket`: `event_camera_msgs` |
//! |---|---|
//! | header: number (4), seconds (4), nanoseconds (4), name of the frame (text) | the same |
//! | height (4), width (4) | the same |
//! | number of events (4) | number (8), base of the times (8), encoding (text), is big-endian (1) |
//! | events: x (2), y (2), seconds and nanoseconds (4, 4), polarity (1) | number of bytes (4), bytes |
//!
//! The bytes of an `EventPacket` have one of two encodings:
//!
//! - `evt3`: EVT 3. The time and the row continue from packet to packet. Times are those of the camera, as in a RAW
//!   file.
//! - `mono`: words of 64 bits. Bits 0 to 31 are nanoseconds after the base, bits 32 to 47 are x, bits 48 to 62 are y,
//!   and bit 63 is the polarity. Times are those of the camera, too.
//!
//! Packets are numbered. If numbers are missing, a note says how many packets the bag lacks.
//!
//! Times of an `EventArray` become microseconds. They count from 1970 if the driver stamps them so.

use crate::error::Result;
use crate::source::cameras::block::{Decoded, ROOM};
use crate::source::cameras::evt3;

const ARRAYS: [&str; 2] = ["dvs_msgs/EventArray", "prophesee_event_msgs/EventArray"];
const PACKETS: [&str; 2] = ["event_camera_msgs/EventPacket", "event_array_msgs/EventArray"];

/// Decodes the messages of a topic, with the state that EVT 3 keeps between packets.
#[derive(Default)]
pub(super) struct Messages {
    evt3: evt3::State,
    /// Number of the last packet.
    number: Option<u64>,
    /// Number of packets that are missing.
    missing: u64,
}

impl Messages {
    /// Returns whether messages of the type `kind` can be decoded.
    pub(super) fn are_read(kind: &str) -> bool {
        ARRAYS.contains(&kind) || PACKETS.contains(&kind)
    }

    /// Decodes a message of type `kind`. The inner error says what is wrong with the message.
    ///
    /// # Errors
    /// Errors of [`Decoded::settle`].
    pub(super) fn decode(&mut self, kind: &str, message: &[u8], out: &mut Decoded) -> Result<Result<(), String>> {
        let mut rest = Rest(message);
        let Some((width, height)) = rest.size() else { return Ok(Err("a message that ends early".into())) };
        if out.sensor.is_none() {
            out.set_sensor(width.into(), height.into());
        }
        if ARRAYS.contains(&kind) { array(rest, out) } else { self.packet(rest, out) }
    }

    /// Adds notes about data that was not read, and about missing packets.
    pub(super) fn note(&self, out: &mut Decoded) {
        self.evt3.note(out);
        if self.missing > 0 {
            let missing = self.missing;
            out.notes.push(format!(
                "warning: {missing} packets are missing in the bag, as their numbers tell: their events are lost"
            ));
        }
    }

    fn packet(&mut self, mut rest: Rest<'_>, out: &mut Decoded) -> Result<Result<(), String>> {
        let Some(Packet { number, base, encoding, big_endian, bytes }) = rest.packet() else {
            return Ok(Err("a packet that ends early, or is followed by other bytes".into()));
        };
        // A driver that was started again counts from the beginning.
        if let Some(jump) = self.number.replace(number).and_then(|before| number.checked_sub(before)) {
            self.missing = self.missing.saturating_add(jump.saturating_sub(1));
        }
        if big_endian {
            return Ok(Err("big-endian events".into()));
        }
        match encoding {
            b"evt3" => {
                let (words, odd) = bytes.as_chunks::<2>();
                if !odd.is_empty() {
                    return Ok(Err(format!("{} bytes of EVT 3, which are no whole words", bytes.len())));
                }
                self.evt3.decode(words, out).map(Ok)
            }
            b"mono" => {
                let (words, odd) = bytes.as_chunks::<8>();
                if !odd.is_empty() {
                    return Ok(Err(format!("{} bytes of mono, which are no whole events", bytes.len())));
                }
                for words in words.chunks(ROOM) {
                    let mut room = out.block.room();
                    for word in words {
                        let word = u64::from_le_bytes(*word);
                        let t = (base.saturating_add(word & 0xffff_ffff) / 1_000) as i64;
                        room.push(t, (word >> 32) as u16, (word >> 48 & 0x7fff) as u16, (word >> 63) as u8);
                    }
                    drop(room);
                    out.settle()?;
                }
                Ok(Ok(()))
            }
            other => Ok(Err(format!(
                "events encoded as {:?}, of which evt3 and mono are read; event_camera_py reads them",
                String::from_utf8_lossy(other)
            ))),
        }
    }
}

fn array(mut rest: Rest<'_>, out: &mut Decoded) -> Result<Result<(), String>> {
    let Some(count) = rest.u32() else { return Ok(Err("a message that ends early".into())) };
    let (events, odd) = rest.0.as_chunks::<13>();
    if events.len() != count as usize || !odd.is_empty() {
        return Ok(Err(format!("{} bytes for {count} events of 13 bytes", rest.0.len())));
    }
    for events in events.chunks(ROOM) {
        let mut room = out.block.room();
        for event in events {
            let &[x0, x1, y0, y1, a, b, c, d, e, f, g, h, p] = event;
            let (seconds, ns) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
            let t = i64::from(seconds) * 1_000_000 + i64::from(ns / 1_000);
            room.push(t, u16::from_le_bytes([x0, x1]), u16::from_le_bytes([y0, y1]), u8::from(p != 0));
        }
        drop(room);
        out.settle()?;
    }
    Ok(Ok(()))
}

/// An `EventPacket` without its header.
struct Packet<'m> {
    number: u64,
    /// Base of the times in nanoseconds.
    base: u64,
    encoding: &'m [u8],
    big_endian: bool,
    bytes: &'m [u8],
}

/// The bytes of a message that were not read yet.
struct Rest<'m>(&'m [u8]);

impl<'m> Rest<'m> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// Reads a number of 4 bytes, and then that many bytes.
    fn bytes(&mut self) -> Option<&'m [u8]> {
        let size = self.u32()? as usize;
        let (bytes, rest) = self.0.split_at_checked(size)?;
        self.0 = rest;
        Some(bytes)
    }

    /// Reads the header, and the width and height of the sensor.
    fn size(&mut self) -> Option<(u32, u32)> {
        self.array::<12>()?;
        self.bytes()?;
        let height = self.u32()?;
        Some((self.u32()?, height))
    }

    /// Reads an `EventPacket` after its header, width and height. `None` if more bytes follow, or some are missing.
    fn packet(&mut self) -> Option<Packet<'m>> {
        let number = u64::from_le_bytes(self.array()?);
        let base = u64::from_le_bytes(self.array()?);
        let encoding = self.bytes()?;
        let [big_endian] = self.array()?;
        let bytes = self.bytes()?;
        self.0.is_empty().then_some(Packet { number, base, encoding, big_endian: big_endian != 0, bytes })
    }
}
