//! AEDAT 2 files of jAER. After a text header, each event has 8 big-endian bytes: an address (4 bytes), and a time in
//! microseconds (4 bytes), which wraps after 2^32. Sources: "AEDAT file formats" and AedatTools, both of iniVation.
//!
//! | bits of an address | DVS128 | DAVIS |
//! |---|---|---|
//! | polarity | 0, where 0 is on | 11 |
//! | x | 1 to 7 | 12 to 21 |
//! | y | 8 to 14 | 22 to 30 |
//! | 1 for other data | 15 (trigger or synchronisation) | 31 (sample of an image or of the IMU), 10 (trigger) |
//!
//! Both cameras count x and y from the lower right corner. The decoder turns x and y, so that they count from the upper
//! left corner, as in DV and in Tonic's `read_davis_346`.
//!
//! The header names the camera (`# AEChip: ...`). If it does not, the first addresses decide: if they all fit in 16
//! bits, the camera is a DVS128, else a DAVIS. Other chips are refused, because the bits of their addresses may have
//! other meanings. For a DAVIS, the options must give the size of the sensor, unless the header names one of the
//! cameras in [`chip_size`].

use crate::error::{Error, Result};
use crate::events::SensorSize;
use crate::source::cameras::block::Decoded;
use crate::source::cameras::dat::Clock32;
use crate::source::cameras::input::Input;

/// Number of bytes after the header that are looked at to guess the camera, if the header names none.
const LOOKED: usize = 1 << 16;

/// Decodes a file. `given` is the size of the sensor in the options.
///
/// # Errors
/// Errors of [`Input::words`] and [`Decoded::settle`]; [`Error::Foreign`] for another chip; [`Error::NotARecording`] if
/// the size of the sensor is not known.
pub(super) fn decode(input: &mut Input<'_>, out: &mut Decoded, given: Option<SensorSize>) -> Result<()> {
    let mut size = None;
    let mut is_dvs = None;
    while let Some(line) = input.line("#")? {
        if line.contains("End Of ASCII Header") {
            break;
        }
        if let Some((_, chip)) = line.split_once("AEChip:") {
            size = chip_size(chip);
            let name = chip.to_ascii_uppercase();
            is_dvs = Some(name.contains("DVS128") || name.contains("TMPDIFF128"));
            if is_dvs == Some(false) && !name.contains("DAVIS") {
                return Err(Error::Foreign {
                    path: input.path().into(),
                    place: String::new(),
                    expected: "events of a DVS128 or a DAVIS (# AEChip)".into(),
                    format: format!("those of the chip {}, whose addresses may have other bits", chip.trim()),
                    reader: "jAER reads it; save t, x, y and p with np.savez".into(),
                    command: None,
                });
            }
        }
    }
    let is_guessed = is_dvs.is_none();
    let is_dvs = match is_dvs {
        Some(is_dvs) => is_dvs,
        None => input.peek(LOOKED)?.as_chunks::<8>().0.iter().all(|event| event[..2] == [0, 0]),
    };
    let given = given.map(|size| (size.width, size.height));
    let size = if is_dvs { Some((128, 128)) } else { size.or(given) };
    let Some((width, height)) = size else {
        let expected = "a line \"# AEChip\" that names a DVS128, DAVIS240, DAVIS346 or DAVIS640, or the size of the \
                        sensor (`sensor`), by which x and y are turned";
        return Err(Error::not_a_recording(input.path(), expected, "none"));
    };
    if is_guessed && !is_dvs {
        out.notes.push("the header names no chip: the addresses are read as those of a DAVIS".into());
    }
    out.set_sensor(width.into(), height.into());
    let (mut clock, mut triggers, mut samples) = (Clock32::default(), 0, 0);
    let last = [(width - 1) as u16, (height - 1) as u16];
    let result = input.words::<8>("an event", |events, _| {
        let mut room = out.block.room();
        for event in events {
            let event = u64::from_be_bytes(*event);
            let (address, t) = ((event >> 32) as u32, clock.time(event as u32));
            let (x, y, p) = if is_dvs {
                if address >> 15 != 0 {
                    triggers += 1;
                    continue;
                }
                (address >> 1 & 0x7f, address >> 8 & 0x7f, !address & 1)
            } else if address >> 31 != 0 {
                samples += 1;
                continue;
            } else if address >> 10 & 1 != 0 {
                triggers += 1;
                continue;
            } else {
                (address >> 12 & 0x3ff, address >> 22 & 0x1ff, address >> 11 & 1)
            };
            // If x or y is outside the sensor, the subtraction wraps to a large number. A later check reports it.
            room.push(t, last[0].wrapping_sub(x as u16), last[1].wrapping_sub(y as u16), p as u8);
        }
        drop(room);
        out.settle()
    });
    out.not_read(triggers, "triggers and other special events");
    out.not_read(samples, "samples of images and of the IMU");
    result
}

/// Returns the sensor's width and height for a camera of iniVation. `name` contains the camera's name.
pub(super) fn chip_size(name: &str) -> Option<(u32, u32)> {
    let name = name.to_ascii_uppercase();
    let sizes = [
        ("DVS128", (128, 128)),
        ("DAVIS240", (240, 180)),
        ("DAVIS346", (346, 260)),
        ("DAVIS640", (640, 480)),
        ("DVXPLORER_LITE", (320, 240)),
        ("DVXPLORER", (640, 480)),
    ];
    sizes.iter().find(|(chip, _)| name.contains(chip)).map(|(_, size)| *size)
}
