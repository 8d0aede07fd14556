//! Reads bags of ROS 1. The line `#ROSBAG V2.0` is followed by records. A record has the size of its header (4 bytes),
//! the header, the size of its data (4 bytes), and the data. Source: "Bags Version 2.0" in the wiki of ROS.
//!
//! | kind (`op`) | fields of the header | data |
//! |---|---|---|
//! | bag header (3) | `index_pos`: where the index begins, 0 in a bag whose recording was not ended | padding |
//! | chunk (5) | `compression`: none, bz2, lz4; `size` of the records in it | connections and messages |
//! | connection (7) | `conn`: its number; `topic` | `type` of its messages |
//! | message (2) | `conn` | the message |
//! | index, summary of a chunk (4, 6) | | not read |
//!
//! The messages of one topic are read:
//!
//! - the topic that the options name
//! - otherwise, in a bag with an index, the topic with events whose name comes first in alphabetical order
//! - otherwise, the first topic with events in the file
//!
//! Messages of other topics are only counted.

use std::collections::HashMap;
use std::io::BufReader;
use std::path::Path;

use bzip2::read::BzDecoder;
use lz4_flex::frame::FrameDecoder;

use crate::error::{BaseFault, Error, Result};
use crate::source::cameras::block::Decoded;
use crate::source::cameras::input::Input;
use crate::source::cameras::ros_messages::Messages;
use crate::source::cameras::unpacked::{MAX_BYTES, collect};

/// Maximum number of bytes of a record's header.
const MAX_HEADER: u64 = 1 << 16;
/// Maximum number of connections.
const MAX_CONNECTIONS: usize = 1 << 12;
const MESSAGE: u8 = 2;
const BAG: u8 = 3;
const INDEX: u8 = 4;
const CHUNK: u8 = 5;
const SUMMARY: u8 = 6;
const CONNECTION: u8 = 7;

/// Decodes a file. `topic` is the topic to read.
///
/// # Errors
/// - errors of [`Input::bytes`] and [`Decoded::settle`]
/// - [`Error::NoEvents`] for a bag without a topic of events
/// - [`tonic_base::Error::Usage`] if the bag has events, but not in `topic`
/// - [`Error::DamagedBytes`] for records that are cut short or contradict themselves, and for a bag whose recording was
///   not ended
pub(super) fn decode(input: &mut Input<'_>, out: &mut Decoded, topic: Option<&str>) -> Result<()> {
    input.line("#ROSBAG V2.0")?;
    let mut bag = Bag {
        asked: topic.map(String::from),
        topics: Vec::new(),
        connections: HashMap::new(),
        taken: None,
        messages: Messages::default(),
    };
    let result = bag.read(input, out);
    bag.messages.note(out);
    for (i, Topic { name, kind, messages }) in bag.topics.iter().enumerate() {
        if bag.taken != Some(i) {
            out.not_read(*messages, &format!("messages of {kind} in the topic {name}"));
        }
    }
    if result.is_ok() && bag.taken.is_none() {
        return Err(bag.without_events(input.path(), topic));
    }
    out.place = bag.taken.map(|taken| bag.topics[taken].name.clone());
    result
}

/// A topic, and the type and number of its messages.
struct Topic {
    name: String,
    kind: String,
    messages: u64,
}

impl Topic {
    /// Returns the topic of a connection.
    fn of(header: &[u8], data: &[u8]) -> Topic {
        let text = |bytes: &[u8], name| String::from_utf8_lossy(field(bytes, name).unwrap_or_default()).into_owned();
        Topic { name: text(header, "topic"), kind: text(data, "type"), messages: 0 }
    }

    fn has_events(&self) -> bool {
        Messages::are_read(&self.kind)
    }
}

/// What is known of a bag so far.
struct Bag {
    /// Name of the topic to read, if the options or the index give it.
    asked: Option<String>,
    topics: Vec<Topic>,
    /// Index of the topic of each connection.
    connections: HashMap<u32, usize>,
    /// Index of the topic that is read.
    taken: Option<usize>,
    messages: Messages,
}

impl Bag {
    /// Makes the error for a bag without a topic of events, or without events in `topic`.
    fn without_events(&self, path: &Path, topic: Option<&str>) -> Error {
        let names = |topics: &[&Topic]| {
            let mut names: Vec<String> =
                topics.iter().map(|Topic { name, kind, .. }| format!("{name} ({kind})")).collect();
            names.sort_unstable();
            if names.is_empty() { "no topic".into() } else { names.join(", ") }
        };
        let with_events: Vec<&Topic> = self.topics.iter().filter(|topic| topic.has_events()).collect();
        match topic {
            Some(topic) if !with_events.is_empty() => {
                let expected = format!("a topic of events of {}: {}", path.display(), names(&with_events));
                Error::usage("topic", expected, topic)
            }
            _ => Error::NoEvents { path: path.into(), got: names(&self.topics.iter().collect::<Vec<_>>()) },
        }
    }

    /// Reads the records until the index. If the recording was not ended, an error about damage says so.
    fn read(&mut self, input: &mut Input<'_>, out: &mut Decoded) -> Result<()> {
        let mut end = None;
        let result = self.records(input, out, &mut end);
        match result {
            Err(Error::DamagedBytes { path, at, expected, got, events }) if end == Some(0) => {
                let expected =
                    format!("{expected} (the recording of the bag was not ended; rosbag reindex repairs that)");
                Err(Error::DamagedBytes { path, at, expected, got, events })
            }
            result => result,
        }
    }

    /// Reads the records until the index. Sets `end` to the offset of the index, which the bag's header gives.
    fn records(&mut self, input: &mut Input<'_>, out: &mut Decoded, end: &mut Option<u64>) -> Result<()> {
        let (mut header, mut packed, mut data) = (Vec::new(), Vec::new(), Vec::new());
        let mut index = Ok(());
        while end.is_none_or(|end| end == 0 || input.at() < end) {
            let at = input.at();
            let Some(size) = input.array::<4>("the size of a record's header")? else {
                return Err(input.damaged(at, "the index of the bag", "the end of the file"));
            };
            read_sized(input, size, MAX_HEADER, "a record's header", &mut header)?;
            let size = input.needed::<4>("the size of a record")?;
            let kind = kind(&header);
            match kind {
                Some(BAG | INDEX | SUMMARY) => {
                    input.pass(u32::from_le_bytes(size).into(), "a record")?;
                    if kind == Some(BAG) {
                        let (place, of_index) = self.begin(input, at, &header)?;
                        (*end, index) = (Some(place), of_index);
                    }
                }
                Some(CHUNK) => {
                    read_sized(input, size, MAX_BYTES, "a chunk", &mut packed)?;
                    let size = number(&header, "size");
                    let compression = String::from_utf8_lossy(field(&header, "compression").unwrap_or_default());
                    let bytes = match &*compression {
                        "none" => &packed,
                        compression => {
                            unpack(compression, &packed, &mut data)
                                .map_err(|e| input.damaged(at, format!("a chunk compressed with {compression}"), e))?;
                            &data
                        }
                    };
                    if size.is_some_and(|size| size as usize != bytes.len()) {
                        return Err(input.damaged(at, format!("a chunk of {} bytes", size.unwrap_or(0)), bytes.len()));
                    }
                    self.chunk(input, out, at, bytes)?;
                }
                Some(CONNECTION | MESSAGE) => {
                    read_sized(input, size, MAX_BYTES, "a record", &mut data)?;
                    self.record(input, out, at, (&header, &data))?;
                }
                _ => return Err(input.damaged(at, "a record of kind 2 to 7", format!("kind {kind:?}"))),
            }
        }
        self.check_index(input, end.unwrap_or(0), &mut header)?;
        // An error in the index is returned only now, because all events can be read in spite of it.
        index
    }

    /// Checks that the index begins at the offset `end`, which the bag's header gives. If it does not, the bag may have
    /// more events.
    fn check_index(&self, input: &mut Input<'_>, end: u64, header: &mut Vec<u8>) -> Result<()> {
        let at = input.at();
        let expected = format!("the index of the bag at byte {end}");
        if at != end {
            return Err(input.damaged(at, expected, "the end of a record"));
        }
        let Some(size) = input.array::<4>("the size of a record's header")? else {
            return Err(input.damaged(at, expected, "the end of the file"));
        };
        read_sized(input, size, MAX_HEADER, "a record's header", header)?;
        match kind(header) {
            Some(CONNECTION | SUMMARY) => Ok(()),
            kind => Err(input.damaged(at, expected, format!("a record of kind {kind:?}"))),
        }
    }

    /// Reads the header of the bag, and chooses a topic from the index if there is an index and no topic is given.
    /// Returns the offset of the index. The inner result is an error if the index cannot be read.
    fn begin(&mut self, input: &Input<'_>, at: u64, header: &[u8]) -> Result<(u64, Result<()>)> {
        let place = field(header, "index_pos").and_then(|place| place.try_into().ok()).map(u64::from_le_bytes);
        let (Some(place), Some(count)) = (place, number(header, "conn_count")) else {
            return Err(input.damaged(at, "a header of the bag with index_pos and conn_count", "another"));
        };
        if field(header, "encryptor").is_some_and(|name| !name.is_empty()) {
            return Err(input.damaged(at, "a bag that is not encrypted", "an encryptor"));
        }
        let is_chosen = place == 0 || self.asked.is_some();
        Ok((place, if is_chosen { Ok(()) } else { self.choose(input.path(), place, count) }))
    }

    /// Chooses the first topic with events, in alphabetical order. The index is at the offset `at`, and begins with
    /// `count` connections.
    fn choose(&mut self, path: &Path, at: u64, count: u32) -> Result<()> {
        let (mut input, mut header, mut data) = (Input::open_at(path, at)?, Vec::new(), Vec::new());
        for _ in 0..count {
            let at = input.at();
            let size = input.needed::<4>("the size of a connection's header")?;
            read_sized(&mut input, size, MAX_HEADER, "a connection's header", &mut header)?;
            let size = input.needed::<4>("the size of a connection")?;
            read_sized(&mut input, size, MAX_BYTES, "a connection", &mut data)?;
            if kind(&header) != Some(CONNECTION) || number(&header, "conn").is_none() {
                return Err(input.damaged(at, format!("{count} connections in the index"), "another record"));
            }
            let Topic { name, kind, .. } = Topic::of(&header, &data);
            if Messages::are_read(&kind) && self.asked.as_ref().is_none_or(|first| name < *first) {
                self.asked = Some(name);
            }
        }
        Ok(())
    }

    /// Reads the records in a chunk, which begins at the offset `at` of the file.
    fn chunk(&mut self, input: &Input<'_>, out: &mut Decoded, at: u64, bytes: &[u8]) -> Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let place = bytes.len() - rest.len();
            let record = sized(rest).and_then(|(header, after)| Some((header, sized(after)?)));
            let Some((header, (data, after))) = record else {
                let expected = format!("whole records in the chunk, at its byte {place}");
                return Err(input.damaged(at, expected, "the end of the chunk"));
            };
            self.record(input, out, at, (header, data))?;
            rest = after;
        }
        Ok(())
    }

    /// Reads a connection or a message: its header and its data.
    fn record(&mut self, input: &Input<'_>, out: &mut Decoded, at: u64, (header, data): (&[u8], &[u8])) -> Result<()> {
        let Some(number) = number(header, "conn") else { return Err(input.damaged(at, "a record with conn", "none")) };
        match kind(header) {
            Some(CONNECTION) => {
                if self.connections.len() == MAX_CONNECTIONS {
                    return Err(input.damaged(at, format!("at most {MAX_CONNECTIONS} connections"), "more"));
                }
                self.connect(number, header, data);
                Ok(())
            }
            Some(MESSAGE) => {
                let Some(topic) = self.connections.get(&number) else {
                    return Err(input.damaged(at, "a message of a known connection", format!("connection {number}")));
                };
                let Topic { name, kind, messages } = &mut self.topics[*topic];
                *messages += 1;
                if self.taken != Some(*topic) {
                    return Ok(());
                }
                let what = || format!("message {} of {kind} in the topic {name}", *messages);
                self.messages.decode(kind, data, out)?.map_err(|got| input.damaged(at, what(), got))
            }
            kind => Err(input.damaged(at, "a connection or a message", format!("a record of kind {kind:?}"))),
        }
    }

    /// Adds a connection. Chooses the connection's topic if all of these are true:
    ///
    /// - No topic is chosen yet.
    /// - The topic has events.
    /// - `asked` is the name of the topic, or `None`.
    fn connect(&mut self, number: u32, header: &[u8], data: &[u8]) {
        if self.connections.contains_key(&number) {
            return;
        }
        let Topic { name, kind, .. } = Topic::of(header, data);
        let found = self.topics.iter().position(|topic| topic.name == name && topic.kind == kind);
        let topic = found.unwrap_or(self.topics.len());
        if found.is_none() {
            self.topics.push(Topic { name, kind, messages: 0 });
        }
        self.connections.insert(number, topic);
        let Topic { name, .. } = &self.topics[topic];
        let is_asked = self.asked.as_ref().is_none_or(|asked| asked == name) && self.topics[topic].has_events();
        self.taken = self.taken.or(is_asked.then_some(topic));
    }
}

/// Reads `size` bytes into `out`, in place of its content. `size` is little-endian. A size above `most` is an error.
fn read_sized(input: &mut Input<'_>, size: [u8; 4], most: u64, what: &str, out: &mut Vec<u8>) -> Result<()> {
    let (at, size) = (input.at() - 4, u64::from(u32::from_le_bytes(size)));
    if size > most {
        return Err(input.damaged(at, format!("{what} of at most {most} bytes"), size));
    }
    input.bytes(size, what, out)
}

/// Reads a little-endian number of 4 bytes. Returns that many bytes, and the rest.
fn sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (size, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_le_bytes(*size) as usize)
}

/// Returns the value of the field `name` of a header.
fn field<'h>(mut header: &'h [u8], name: &str) -> Option<&'h [u8]> {
    while let Some((field, rest)) = sized(header) {
        if let Some(value) = field.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"=")) {
            return Some(value);
        }
        header = rest;
    }
    None
}

/// Returns the value of the field `name` of a header, if it is a number of 4 bytes.
fn number(header: &[u8], name: &str) -> Option<u32> {
    field(header, name).and_then(|number| number.try_into().ok()).map(u32::from_le_bytes)
}

/// Returns the kind of a record.
fn kind(header: &[u8]) -> Option<u8> {
    field(header, "op").and_then(|kind| kind.first().copied())
}

/// Decompresses a chunk.
fn unpack(compression: &str, packed: &[u8], bytes: &mut Vec<u8>) -> std::io::Result<()> {
    bytes.clear();
    match compression {
        "bz2" => collect(&mut BufReader::new(BzDecoder::new(packed)), bytes, MAX_BYTES),
        "lz4" => collect(&mut FrameDecoder::new(packed), bytes, MAX_BYTES),
        _ => Err(std::io::Error::other("neither none, bz2 nor lz4")),
    }
}
