//! AEDAT 3.1 files of cAER. A text header, which ends with `#!END-HEADER`, is followed by packets. A packet has a
//! header of 28 bytes and then events. All numbers are little-endian. Source: "AEDAT file formats" of iniVation.
//!
//! | bytes of a packet's header | meaning |
//! |---|---|
//! | 0 to 1 | kind of the events: 0 special, 1 polarity, 2 frames, 3 or 4 IMU; there are others |
//! | 2 to 3 | number of the source, which is a camera |
//! | 4 to 7 | size of an event in bytes |
//! | 8 to 11 | offset of the time in an event |
//! | 12 to 15 | how many times the clock of 31 bits has wrapped |
//! | 16 to 19 | number of events that the packet has space for |
//! | 20 to 23 | number of events |
//!
//! A polarity event has 32 bits, and then its time in microseconds. Bit 0 is 1 if the event is valid, bit 1 is the
//! polarity, bits 2 to 16 are y, and bits 17 to 31 are x.
//!
//! Only polarity events of one source are read: the source of the first polarity packet. Invalid events, events of
//! other sources and events of other kinds are counted, and notes say how many there are.

use crate::error::{Error, Result};
use crate::source::cameras::aedat2::chip_size;
use crate::source::cameras::block::Decoded;
use crate::source::cameras::input::Input;

/// Decodes a file.
///
/// # Errors
/// Errors of [`Input::words`] and [`Decoded::settle`]; [`Error::Foreign`] for compressed packets;
/// [`Error::DamagedBytes`] for packets that are cut short or contradict themselves.
pub(super) fn decode(input: &mut Input<'_>, out: &mut Decoded) -> Result<()> {
    let mut sizes = Vec::new();
    while let Some(line) = input.line("#")? {
        if line.contains("!END-HEADER") {
            break;
        }
        if let Some(format) = line.strip_prefix("#Format:").map(str::trim).filter(|&format| format != "RAW") {
            return Err(Error::Foreign {
                path: input.path().into(),
                place: String::new(),
                expected: "packets as they are (#Format: RAW)".into(),
                format: format!("{format} packets of AEDAT 3"),
                reader: "DV reads them; save t, x, y and p with np.savez".into(),
                command: None,
            });
        }
        if let Some((number, chip)) = line.strip_prefix("#Source").and_then(|rest| rest.split_once(':'))
            && let Some(size) = chip_size(chip)
        {
            sizes.push((number.trim().parse().ok(), size));
        }
    }
    let (mut counts, mut source) = ([0; 6], None);
    let result = packets(input, out, &mut source, &mut counts);
    let own = sizes.iter().find(|(number, _)| source.is_some() && *number == source);
    if let Some((_, (width, height))) = own.or(sizes.first().filter(|_| sizes.len() == 1)) {
        out.set_sensor((*width).into(), (*height).into());
    }
    let [special, invalid, frames, imu, other, elsewhere] = counts;
    out.not_read(elsewhere, &format!("events of other sources than {}, such as a second camera,", source.unwrap_or(0)));
    out.not_read(special, "special events, such as triggers,");
    out.not_read(invalid, "events that the camera marked as not valid");
    out.not_read(frames, "frames");
    out.not_read(imu, "samples of the IMU");
    out.not_read(other, "events of other kinds");
    result
}

fn packets(
    input: &mut Input<'_>,
    out: &mut Decoded,
    source: &mut Option<u16>,
    [special, invalid, frames, imu, other, elsewhere]: &mut [u64; 6],
) -> Result<()> {
    loop {
        let at = input.at();
        let Some(header) = input.array::<28>("a packet's header")? else { return Ok(()) };
        let number = |i: usize| u32::from_le_bytes([header[i], header[i + 1], header[i + 2], header[i + 3]]);
        let [size, time, wraps, room, events] = [4, 8, 12, 16, 20].map(number);
        let (kind, from) = (u16::from_le_bytes([header[0], header[1]]), u16::from_le_bytes([header[2], header[3]]));
        if events > room {
            return Err(input.damaged(at, format!("at most {room} events, as the packet has room for"), events));
        }
        if kind != 1 {
            *match kind {
                0 => &mut *special,
                2 => &mut *frames,
                3 | 4 => &mut *imu,
                _ => &mut *other,
            } += u64::from(events);
            input.pass(u64::from(size) * u64::from(room), "a packet")?;
            continue;
        }
        if *source.get_or_insert(from) != from {
            *elsewhere += u64::from(events);
            input.pass(u64::from(size) * u64::from(room), "a packet")?;
            continue;
        }
        if (size, time) != (8, 4) {
            let got = format!("{size} bytes, with the time at {time}");
            return Err(input.damaged(at, "events of 8 bytes, with the time at 4", got));
        }
        let base = i64::from(wraps) << 31;
        input.some_words::<8>(events.into(), "a packet's events", |events, _| {
            let mut block = out.block.room();
            for event in events {
                let event = u64::from_le_bytes(*event);
                if event & 1 == 0 {
                    *invalid += 1;
                    continue;
                }
                let t = base + i64::from((event >> 32) as u32 & 0x7fff_ffff);
                let (x, y) = ((event >> 17 & 0x7fff) as u16, (event >> 2 & 0x7fff) as u16);
                block.push(t, x, y, (event >> 1 & 1) as u8);
            }
            drop(block);
            out.settle()
        })?;
        input.pass(8 * u64::from(room - events), "a packet")?;
    }
}
