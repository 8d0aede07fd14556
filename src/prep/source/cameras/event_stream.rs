//! Event Stream files (`.es`), version 2. Source: the description of the format
//! (github.com/neuromorphicsystems/event_stream). All numbers are little-endian.
//!
//! A file begins with the words "Event Stream", the version (3 bytes) and the kind of the stream (1 byte). For the
//! kinds DVS (1) and ATIS (2), the width and height of the sensor follow (2 bytes each), and then the events. Other
//! kinds are refused: generic (0), asynchronous modular display (3) and colour (4).
//!
//! | first byte of an event | DVS | ATIS |
//! |---|---|---|
//! | time since the previous event, in us | the 7 highest bits | the 6 highest bits |
//! | the lowest bits | bit 0: polarity | bit 0: 1 for an event of exposure; bit 1: polarity |
//! | overflow, no event: adds time | 255: 127 us | 253, 254, 255: 63, 126, 189 us |
//! | reset, no event | 254 | 252 |
//!
//! The first byte is followed by x and y of the event (2 bytes each). y counts from the bottom of the sensor. The
//! decoder turns it, so that it counts from the top, as in faery. Events of exposure are not read: a note says how many
//! there are.

use crate::error::{Error, Result};
use crate::source::cameras::block::{Block, Decoded, ROOM};
use crate::source::cameras::input::Input;
use crate::source::marks::EVENT_STREAM;

/// Decodes a file.
///
/// # Errors
/// Errors of [`Input::peek`] and [`Decoded::settle`]; [`Error::Foreign`] for another version or kind of stream;
/// [`Error::DamagedBytes`] for a header or an event that is cut short.
pub(super) fn decode(input: &mut Input<'_>, out: &mut Decoded) -> Result<()> {
    input.skip(EVENT_STREAM.len());
    let [major, minor, patch, kind] = input.needed::<4>("the version and kind of the stream")?;
    let foreign = |format: String| Error::Foreign {
        path: input.path().into(),
        place: String::new(),
        expected: "an Event Stream of version 2, of kind 1 (DVS) or 2 (ATIS)".into(),
        format,
        reader: "its data is not events of change; loris reads it".into(),
        command: None,
    };
    let is_atis = match (major, kind) {
        (2, 1) => false,
        (2, 2) => true,
        (2, 0) => return Err(foreign("a generic stream (kind 0)".into())),
        (2, 3) => return Err(foreign("a stream of a modular display (kind 3)".into())),
        (2, 4) => return Err(foreign("a stream of colours (kind 4)".into())),
        (2, kind) => return Err(foreign(format!("a stream of the unknown kind {kind}"))),
        _ => return Err(foreign(format!("version {major}.{minor}.{patch}"))),
    };
    let [a, b, c, d] = input.needed::<4>("the size of the sensor")?;
    out.set_sensor(u16::from_le_bytes([a, b]).into(), u16::from_le_bytes([c, d]).into());
    let last_row = u16::from_le_bytes([c, d]).saturating_sub(1);
    let mut state = State { last_row, ..State::default() };
    let result = match is_atis {
        true => each_piece(input, out, &mut state, State::atis),
        false => each_piece(input, out, &mut state, State::dvs),
    };
    out.not_read(state.exposures, "events of exposure (threshold crossings)");
    result
}

/// Calls `decode` with one piece of the file after another. `decode` returns the number of bytes that it has used. If a
/// piece ends inside an event, `decode` leaves the bytes of this event for the next piece.
fn each_piece(
    input: &mut Input<'_>,
    out: &mut Decoded,
    state: &mut State,
    decode: fn(&mut State, &[u8], &mut Block) -> usize,
) -> Result<()> {
    loop {
        let there = input.peek(5)?;
        if there.is_empty() {
            return Ok(());
        }
        // An event has 5 bytes, so `ROOM` bytes contain fewer than `ROOM` events.
        let used = decode(state, &there[..there.len().min(ROOM)], &mut out.block);
        if used == 0 {
            input.needed::<5>("an event")?;
        }
        input.skip(used);
        out.settle()?;
    }
}

#[derive(Default)]
struct State {
    t: i64,
    last_row: u16,
    exposures: u64,
}

impl State {
    /// Returns y, counted from the top of the sensor. A row outside the sensor stays outside.
    #[inline(always)]
    fn row(&self, y: [u8; 2]) -> u16 {
        self.last_row.wrapping_sub(u16::from_le_bytes(y))
    }

    fn dvs(&mut self, bytes: &[u8], block: &mut Block) -> usize {
        let (mut at, mut t, mut room) = (0, self.t, block.room());
        while let Some(&first) = bytes.get(at) {
            match first {
                254 => at += 1,
                255 => {
                    t += 127;
                    at += 1;
                }
                _ => {
                    let Some(&[first, a, b, c, d]) = bytes[at..].first_chunk::<5>() else { break };
                    t += i64::from(first >> 1);
                    room.push(t, u16::from_le_bytes([a, b]), self.row([c, d]), first & 1);
                    at += 5;
                }
            }
        }
        self.t = t;
        at
    }

    fn atis(&mut self, bytes: &[u8], block: &mut Block) -> usize {
        let (mut at, mut t, mut room) = (0, self.t, block.room());
        while let Some(&first) = bytes.get(at) {
            if first >= 252 {
                t += 63 * i64::from(first - 252);
                at += 1;
                continue;
            }
            let Some(&[first, a, b, c, d]) = bytes[at..].first_chunk::<5>() else { break };
            t += i64::from(first >> 2);
            match first & 1 {
                0 => room.push(t, u16::from_le_bytes([a, b]), self.row([c, d]), first >> 1 & 1),
                _ => self.exposures += 1,
            }
            at += 5;
        }
        self.t = t;
        at
    }
}
