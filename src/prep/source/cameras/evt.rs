//! What Prophesee's encodings EVT 2, 2.1 and 3 share: the header, and counts of what is not read.

use crate::error::Result;
use crate::source::cameras::block::Decoded;
use crate::source::cameras::input::Input;
use crate::source::marks::PercentHeader;

/// Reads the header of a RAW file, and sets the size of the sensor if the header gives it.
///
/// # Errors
/// Errors of [`Input::line`].
pub(super) fn read_header(input: &mut Input<'_>, out: &mut Decoded) -> Result<PercentHeader> {
    let header = PercentHeader::read(|| input.line("%"))?;
    if let Some((width, height)) = header.sensor() {
        out.set_sensor(width, height);
    }
    Ok(header)
}

/// Numbers of words and events that are not read.
#[derive(Clone, Default)]
pub(super) struct NotRead {
    /// Number of events that come before the first time. In EVT 3, also events that come before the first row.
    pub(super) early: u64,
    pub(super) triggers: u64,
    pub(super) messages: u64,
    pub(super) unknown: u64,
}

impl NotRead {
    /// Adds a note for each number above 0. `begin` names the words that must come before the events, such as
    /// TIME_HIGH.
    pub(super) fn note(&self, begin: &str, out: &mut Decoded) {
        out.not_read(self.early, &format!("events before the first {begin}"));
        out.not_read(self.triggers, "external triggers");
        out.not_read(self.messages, "messages of the camera (OTHERS and CONTINUED)");
        out.not_read(self.unknown, "words of unknown kinds");
    }
}
