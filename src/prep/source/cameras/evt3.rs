//! Prophesee RAW files in EVT 3: words of 16 bits, little-endian, after a text header. The highest 4 bits of a word are
//! its kind, and the other 12 bits are its value. Source: "EVT 3.0 Format" in the documentation of the Metavision SDK.
//!
//! | kind | word | value |
//! |---|---|---|
//! | 0x0 | ADDR_Y | bits 0 to 10: the row of all events that follow |
//! | 0x2 | ADDR_X | an event; bits 0 to 10: x, bit 11: polarity |
//! | 0x3 | VECT_BASE_X | as ADDR_X, but for the vectors that follow |
//! | 0x4 | VECT_12 | if bit i is 1: an event at base + i; then 12 is added to the base |
//! | 0x5 | VECT_8 | as VECT_12, but with 8 bits |
//! | 0x6 | TIME_LOW | bits 0 to 11 of the time in microseconds |
//! | 0x8 | TIME_HIGH | bits 12 to 23 of the time |
//! | 0xA | EXT_TRIGGER | an edge at an input |
//! | 0xE, 0x7, 0xF | OTHERS, CONTINUED_4, CONTINUED_12 | messages of the camera |
//!
//! The last TIME_HIGH and the last TIME_LOW give the time of an event. After a TIME_HIGH with a new value, the lower
//! bits of the time are 0 until the next TIME_LOW. Times can step back: events are sorted later. If TIME_HIGH steps
//! back by half of its range or more, the clock of 24 bits has wrapped.
//!
//! Events before the first TIME_HIGH have no time, and events before the first ADDR_Y have no row. Both are left out,
//! and a note says how many. The Metavision SDK also leaves out events before the first TIME_HIGH.

use crate::error::Result;
use crate::source::cameras::block::{Block, Decoded, ROOM};
use crate::source::cameras::evt::{NotRead, read_header};
use crate::source::cameras::input::Input;

/// Number of values of TIME_HIGH.
const HIGHS: i64 = 1 << 12;
/// Set of the kinds ADDR_Y, ADDR_X and TIME_LOW. Bit k stands for kind k.
const USUAL: u16 = 1 << 0x0 | 1 << 0x2 | 1 << 0x6;

/// Decodes a file.
///
/// # Errors
/// Errors of [`Input::words`] and [`Decoded::settle`].
pub(super) fn decode(input: &mut Input<'_>, out: &mut Decoded) -> Result<()> {
    read_header(input, out)?;
    let mut state = State::default();
    let result = input.words::<2>("a word of EVT 3", |words, _| state.decode(words, out));
    state.note(out);
    result
}

/// State of the decoder after the words that it has read so far.
#[derive(Clone, Default)]
pub(super) struct State {
    /// Time in microseconds that the wraps and TIME_HIGH give. The lower bits of the time are added to it.
    base: i64,
    /// The last value of TIME_HIGH. `None` before the first.
    high: Option<i64>,
    wraps: i64,
    low: i64,
    y: Option<u16>,
    x: u16,
    p: u8,
    not_read: NotRead,
}

impl State {
    /// Decodes words, and adds their events to `out`.
    ///
    /// # Errors
    /// Errors of [`Decoded::settle`].
    pub(super) fn decode(&mut self, words: &[[u8; 2]], out: &mut Decoded) -> Result<()> {
        // A word has at most 12 events.
        for mut words in words.chunks(ROOM / 12) {
            if !self.has_begun() {
                words = self.begin(words);
            }
            self.decode_some(words, &mut out.block);
            out.settle()?;
        }
        Ok(())
    }

    /// Adds notes about the words that were not read.
    pub(super) fn note(&self, out: &mut Decoded) {
        self.not_read.note("TIME_HIGH and ADDR_Y", out);
    }

    fn has_begun(&self) -> bool {
        self.high.is_some() && self.y.is_some()
    }

    /// Reads words until the time and the row are known. Returns the remaining words.
    fn begin<'w>(&mut self, words: &'w [[u8; 2]]) -> &'w [[u8; 2]] {
        for (i, word) in words.iter().enumerate() {
            let word = u16::from_le_bytes(*word);
            match word >> 12 {
                0x0 => self.y = Some(word & 0x7ff),
                0x2 => self.not_read.early += 1,
                0x4 => self.not_read.early += u64::from((word & 0xfff).count_ones()),
                0x5 => self.not_read.early += u64::from((word & 0xff).count_ones()),
                _ => self.other(word),
            }
            if self.has_begun() {
                return &words[i + 1..];
            }
        }
        &[]
    }

    /// Decodes words, and adds their events to the block. The block must have space for them.
    fn decode_some(&mut self, words: &[[u8; 2]], block: &mut Block) {
        // A copy in registers: the compiler cannot know that `block` is not part of `self`.
        let mut now = self.clone();
        let (mut t, mut y, mut room) = (now.base + now.low, now.y.unwrap_or(0), block.room());
        for word in words {
            let word = u16::from_le_bytes(*word);
            let kind = word >> 12;
            if USUAL >> kind & 1 == 1 {
                // The order of these kinds is unpredictable, so there is no branch between them.
                y = if kind == 0x0 { word & 0x7ff } else { y };
                t = if kind == 0x6 { now.base + i64::from(word & 0xfff) } else { t };
                room.push_if(kind == 0x2, t, word & 0x7ff, y, (word >> 11 & 1) as u8);
                continue;
            }
            match kind {
                0x4 => {
                    room.push_vector(t, (now.x, y, now.p), (word & 0xfff).into());
                    now.x = now.x.saturating_add(12);
                }
                0x5 => {
                    room.push_vector(t, (now.x, y, now.p), (word & 0xff).into());
                    now.x = now.x.saturating_add(8);
                }
                _ => {
                    now.low = t - now.base;
                    now.other(word);
                    t = now.base + now.low;
                }
            }
        }
        now.y = now.y.map(|_| y);
        now.low = t - now.base;
        *self = now;
    }

    /// Reads a word that has no row and no events.
    #[inline(always)]
    fn other(&mut self, word: u16) {
        let value = i64::from(word & 0xfff);
        match word >> 12 {
            0x3 => (self.x, self.p) = (word & 0x7ff, (word >> 11 & 1) as u8),
            0x6 => self.low = value,
            0x8 => {
                self.wraps += i64::from(self.high.is_some_and(|before| before - value >= HIGHS / 2));
                if self.high.replace(value) != Some(value) {
                    self.low = 0;
                }
                self.base = (self.wraps * HIGHS + value) << 12;
            }
            0xa => self.not_read.triggers += 1,
            0x7 | 0xe | 0xf => self.not_read.messages += 1,
            _ => self.not_read.unknown += 1,
        }
    }
}
