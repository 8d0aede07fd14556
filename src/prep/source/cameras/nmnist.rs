//! The `.bin` files of N-MNIST and N-Caltech101: events of 40 bits, without a header. Source: the description of the
//! data sets (garrickorchard.com/datasets/n-mnist) and Tonic's reader, which reads the same events.
//!
//! | bits, from the first byte on | meaning |
//! |---|---|
//! | 0 to 7 | x |
//! | 8 to 15 | y; 240 is no event but an overflow of the clock: 2^13 us are added to all later times |
//! | 16 | polarity |
//! | 17 to 39 | time in microseconds |

use crate::error::Result;
use crate::source::cameras::block::Decoded;
use crate::source::cameras::input::Input;
use crate::source::marks::{is_overflow, nmnist_time};

/// Decodes a file.
///
/// # Errors
/// Errors of [`Input::words`] and [`Decoded::settle`].
pub(super) fn decode(input: &mut Input<'_>, out: &mut Decoded) -> Result<()> {
    let mut added = 0;
    input.words::<5>("an event", |events, _| {
        if out.only_counts() {
            out.count(events.iter().filter(|event| !is_overflow(event)).count());
            return Ok(());
        }
        let mut room = out.block.room();
        for event in events {
            if let Some(t) = nmnist_time(event, &mut added) {
                room.push(t, event[0].into(), event[1].into(), event[2] >> 7);
            }
        }
        drop(room);
        out.settle()
    })
}
