//! AEDAT 4 files of DV. After the line `#!AER-DAT4.0`, they have a header, packets of several streams, and a table of
//! the packets. All of these are FlatBuffers that begin with their size. Source: "AEDAT file formats" of iniVation, and
//! the schemas of dv-processing.
//!
//! | part | content |
//! |---|---|
//! | header, `IOHE` | compression (none, LZ4, LZ4 high, zstd, zstd high); offset of the table, or -1; streams in XML |
//! | packet | number of the stream (4 bytes), size (4 bytes), and then the compressed FlatBuffer |
//! | packet of events, `EVTS` | events of 16 bytes: time in microseconds (8), x (2), y (2), polarity (1), 3 unused |
//!
//! Only the first stream of events is read. The packets of other streams are counted, and a note says how many there
//! are. If the recording was not ended, the file has no table of packets, and is read to its end.

use std::io::{BufReader, Cursor};

use lz4_flex::frame::FrameDecoder;
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::source::cameras::aedat4_streams::{Stream, streams};
use crate::source::cameras::block::{Decoded, ROOM};
use crate::source::cameras::flatbuffer::Table;
use crate::source::cameras::input::Input;
use crate::source::cameras::unpacked::{MAX_BYTES, collect};

/// Maximum number of packets that are decompressed in parallel.
const TOGETHER: usize = 16;
/// Maximum number of bytes of a packet that is decompressed in parallel. Larger packets are decompressed one by one.
const SHARE: u64 = MAX_BYTES / TOGETHER as u64;

/// Decodes a file.
///
/// # Errors
/// Errors of [`Input::bytes`] and [`Decoded::settle`]; [`Error::NoEvents`] for a file without a stream of events;
/// [`Error::DamagedBytes`] for packets that are cut short or contradict themselves.
pub(super) fn decode(input: &mut Input<'_>, out: &mut Decoded) -> Result<()> {
    input.line("#!AER-DAT4")?;
    let begin = input.at();
    let mut bytes = Vec::new();
    let size = input.needed::<4>("the header's size")?;
    let size_of = u32::from_le_bytes(size).into();
    if size_of > MAX_BYTES {
        return Err(input.damaged(begin, format!("a header of at most {MAX_BYTES} bytes"), size_of));
    }
    input.bytes(size_of, "the header", &mut bytes)?;
    bytes.splice(..0, size);
    let Some(header) = Table::root(&bytes, b"IOHE") else {
        return Err(input.damaged(begin, "a header (IOHE)", "other bytes"));
    };
    let compression = header.i32(0).unwrap_or(0);
    if !(0..=4).contains(&compression) {
        return Err(input.damaged(begin, "a compression from 0 to 4", compression));
    }
    let end = header.i64(1).and_then(|end| u64::try_from(end).ok());
    let streams = streams(&String::from_utf8_lossy(header.list(2, 1).unwrap_or_default()));
    let Some(taken) = streams.iter().find(|stream| stream.kind == "EVTS") else {
        let kinds: Vec<&str> = streams.iter().map(|stream| stream.kind.as_str()).collect();
        let got = if kinds.is_empty() { "no stream".into() } else { format!("streams of {}", kinds.join(", ")) };
        return Err(Error::NoEvents { path: input.path().into(), got });
    };
    if let Some((width, height)) = taken.size {
        out.set_sensor(width, height);
    }
    let mut packets = vec![0; streams.len()];
    let result = read_packets(input, out, (compression, end), (&streams, taken), &mut packets);
    for (stream, packets) in streams.iter().zip(packets).filter(|(stream, _)| stream.id != taken.id) {
        let (id, name) = (stream.id, &stream.name);
        let name = if name.is_empty() { String::new() } else { format!(" ({name})") };
        out.not_read(packets, &format!("packets of {} in stream {id}{name}", stream.contents()));
    }
    result
}

/// Reads the packets until the table of packets. `end` is the offset of the table in the file, or `None` if there is no
/// table.
fn read_packets(
    input: &mut Input<'_>,
    out: &mut Decoded,
    (compression, end): (i32, Option<u64>),
    streams: (&[Stream], &Stream),
    packets: &mut [u64],
) -> Result<()> {
    let mut batch: Vec<Packet> = (0..TOGETHER).map(|_| Packet::new()).collect();
    loop {
        let (mut count, mut bytes) = (0, 0);
        let ended = loop {
            if count == TOGETHER || bytes >= SHARE {
                break None;
            }
            match next_packet(input, end, streams, packets, &mut batch[count]) {
                Ok(true) => {
                    bytes += batch[count].packed.len() as u64;
                    count += 1;
                }
                Ok(false) => break Some(Ok(())),
                Err(fault) => break Some(Err(fault)),
            }
        };
        batch[..count].par_iter_mut().for_each(|packet| packet.unpacked = packet.unpack(compression, SHARE));
        for packet in &mut batch[..count] {
            // A packet that is larger than its share of the memory is unpacked again, by itself.
            if packet.unpacked.is_err() {
                packet.unpacked = packet.unpack(compression, MAX_BYTES);
            }
            packet.add_to(compression, input, out)?;
            if packet.packed.capacity().max(packet.plain.capacity()) as u64 > SHARE {
                *packet = Packet::new();
            }
        }
        match ended {
            None => {}
            Some(Ok(())) => return end.map_or(Ok(()), |end| check_table(input, end, compression)),
            Some(Err(fault)) => return Err(fault),
        }
    }
}

/// Reads the next packet of the stream `taken`. Counts the packets of other streams that come before it. Returns
/// `false` if the stream has no more packets.
fn next_packet(
    input: &mut Input<'_>,
    end: Option<u64>,
    (streams, taken): (&[Stream], &Stream),
    packets: &mut [u64],
    packet: &mut Packet,
) -> Result<bool> {
    while end.is_none_or(|end| input.at() < end) {
        let at = input.at();
        let Some([a, b, c, d, size @ ..]) = input.array::<8>("a packet's stream and size")? else {
            return match end {
                None => Ok(false),
                Some(end) => {
                    Err(input.damaged(at, format!("packets until the table at byte {end}"), "the end of the file"))
                }
            };
        };
        let (id, size) = (i32::from_le_bytes([a, b, c, d]), i32::from_le_bytes(size));
        let Some(i) = streams.iter().position(|stream| stream.id == id) else {
            let ids: Vec<String> = streams.iter().map(|stream| stream.id.to_string()).collect();
            return Err(input.damaged(at, format!("a packet of the streams {}", ids.join(", ")), id));
        };
        let Some(size) = u64::try_from(size).ok().filter(|&size| size <= MAX_BYTES) else {
            return Err(input.damaged(at + 4, format!("a packet of at most {MAX_BYTES} bytes"), size));
        };
        if id == taken.id {
            packet.at = at + 8;
            input.bytes(size, "a packet", &mut packet.packed)?;
            return Ok(true);
        }
        input.pass(size, "a packet")?;
        packets[i] += 1;
    }
    Ok(false)
}

/// Checks that the table of packets begins at the offset `end`, which the header gives. If it does not, the file may
/// have more packets.
fn check_table(input: &mut Input<'_>, end: u64, compression: i32) -> Result<()> {
    let at = input.at();
    let there = input.peek(12)?;
    let is_table = match compression {
        0 => there.get(8..12) == Some(b"FTAB"),
        1 | 2 => there.starts_with(&0x184d_2204_u32.to_le_bytes()),
        _ => there.starts_with(&0xfd2f_b528_u32.to_le_bytes()),
    };
    if at == end && is_table {
        return Ok(());
    }
    Err(input.damaged(at, format!("the table of packets at byte {end}"), "other bytes"))
}

/// A packet of events. The buffers are reused for later packets, because LZ4's buffers can be larger than a packet.
struct Packet {
    /// Offset of the packet's data in the file.
    at: u64,
    packed: Vec<u8>,
    plain: Vec<u8>,
    lz4: FrameDecoder<Cursor<Vec<u8>>>,
    /// Result of decompressing the packet from `packed` to `plain`.
    unpacked: std::io::Result<()>,
}

impl Packet {
    fn new() -> Packet {
        let lz4 = FrameDecoder::new(Cursor::default());
        Packet { at: 0, packed: Vec::new(), plain: Vec::new(), lz4, unpacked: Ok(()) }
    }

    /// Decompresses the packet. Fails if the result has more than `most` bytes.
    fn unpack(&mut self, compression: i32, most: u64) -> std::io::Result<()> {
        self.plain.clear();
        match compression {
            0 => {
                std::mem::swap(&mut self.plain, &mut self.packed);
                Ok(())
            }
            1 | 2 => {
                *self.lz4.get_mut() = Cursor::new(std::mem::take(&mut self.packed));
                let result = collect(&mut self.lz4, &mut self.plain, most);
                self.packed = std::mem::take(self.lz4.get_mut().get_mut());
                if result.is_err() {
                    self.lz4 = FrameDecoder::new(Cursor::default());
                }
                result
            }
            _ => collect(&mut BufReader::new(zstd::Decoder::with_buffer(&self.packed[..])?), &mut self.plain, most),
        }
    }

    /// Adds the events of the decompressed packet to `out`.
    fn add_to(&self, compression: i32, input: &Input<'_>, out: &mut Decoded) -> Result<()> {
        if let Err(e) = &self.unpacked {
            let name = if compression < 3 { "LZ4" } else { "zstd" };
            return Err(input.damaged(self.at, format!("a packet in {name}"), e));
        }
        let table = Table::root(&self.plain, b"EVTS");
        let Some(events) = table.and_then(|table| if table.has(0) { table.list(0, 16) } else { Some(&[]) }) else {
            return Err(input.damaged(self.at, "a packet of events (EVTS)", "other bytes"));
        };
        for events in events.as_chunks::<16>().0.chunks(ROOM) {
            // One loop per column, which the compiler can vectorise.
            let (ts, xs, ys, ps) = out.block.add(events.len());
            let two = |event: &[u8; 16], at: usize| u16::from_le_bytes([event[at], event[at + 1]]);
            events.iter().zip(ts).for_each(|(event, t)| *t = u128::from_le_bytes(*event) as i64);
            events.iter().zip(xs).for_each(|(event, x)| *x = two(event, 8));
            events.iter().zip(ys).for_each(|(event, y)| *y = two(event, 10));
            events.iter().zip(ps).for_each(|(event, p)| *p = event[12]);
            out.settle()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_packet_that_is_larger_than_its_share_is_unpacked_by_itself() {
        let plain: Vec<u8> = (0..SHARE as u32 / 4 + 10).flat_map(|n| (n / 7).to_le_bytes()).collect();
        let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
        lz4.write_all(&plain).unwrap();
        for (compression, packed) in [(1, lz4.finish().unwrap()), (3, zstd::encode_all(&plain[..], 1).unwrap())] {
            let mut packet = Packet { packed, ..Packet::new() };
            assert!(packet.unpack(compression, SHARE).is_err());
            packet.unpack(compression, MAX_BYTES).unwrap();
            assert!(packet.plain == plain);
        }
    }
}
