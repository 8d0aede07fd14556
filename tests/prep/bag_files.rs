//! Writes ROS 1 bags for the tests, with chunks of every compression, and with topics of every type that the program
//! reads.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::camera::Camera;

/// A bag in memory: its chunks of connections and messages.
pub(crate) struct Bag {
    compression: &'static str,
    chunks: Vec<Vec<u8>>,
    /// Records of the connections. The index repeats them.
    connections: Vec<Vec<u8>>,
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_le_bytes(), bytes].concat()
}

fn record(fields: &[(&str, &[u8])], data: &[u8]) -> Vec<u8> {
    let fields: Vec<u8> =
        fields.iter().flat_map(|(name, value)| sized(&[format!("{name}=").as_bytes(), value].concat())).collect();
    [sized(&fields), sized(data)].concat()
}

impl Bag {
    pub(crate) fn new(compression: &'static str) -> Bag {
        Bag { compression, chunks: vec![Vec::new()], connections: Vec::new() }
    }

    /// Adds a connection and returns its number.
    pub(crate) fn connect(&mut self, topic: &str, kind: &str) -> u32 {
        let number = self.connections.len() as u32;
        let data = [sized(format!("topic={topic}").as_bytes()), sized(format!("type={kind}").as_bytes())].concat();
        let fields: [(&str, &[u8]); 3] = [("op", &[7]), ("conn", &number.to_le_bytes()), ("topic", topic.as_bytes())];
        let record = record(&fields, &data);
        self.chunks.last_mut().unwrap().extend(&record);
        self.connections.push(record);
        number
    }

    /// Adds a message. After about 2,000 bytes, a new chunk begins.
    pub(crate) fn message(&mut self, connection: u32, message: &[u8]) {
        let fields: [(&str, &[u8]); 3] = [("op", &[2]), ("conn", &connection.to_le_bytes()), ("time", &[0; 8])];
        let chunk = self.chunks.last_mut().unwrap();
        chunk.extend(record(&fields, message));
        if chunk.len() > 2_000 {
            self.chunks.push(Vec::new());
        }
    }

    /// Returns the bytes of the bag. A bag has no index if its recording was not ended.
    pub(crate) fn bytes(&self, has_index: bool) -> Vec<u8> {
        let mut chunks = Vec::new();
        for chunk in self.chunks.iter().filter(|chunk| !chunk.is_empty()) {
            let packed = match self.compression {
                "bz2" => {
                    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
                    encoder.write_all(chunk).unwrap();
                    encoder.finish().unwrap()
                }
                "lz4" => {
                    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
                    encoder.write_all(chunk).unwrap();
                    encoder.finish().unwrap()
                }
                _ => chunk.clone(),
            };
            let size = (chunk.len() as u32).to_le_bytes();
            let fields: [(&str, &[u8]); 3] =
                [("op", &[5]), ("compression", self.compression.as_bytes()), ("size", &size)];
            chunks.extend(record(&fields, &packed));
            chunks.extend(record(&[("op", &[4]), ("ver", &[1, 0, 0, 0]), ("conn", &[0; 4]), ("count", &[0; 4])], &[]));
        }
        let index = if has_index { self.head(0).len() + chunks.len() } else { 0 };
        let connections = if has_index { self.connections.concat() } else { Vec::new() };
        [self.head(index as u64), chunks, connections].concat()
    }

    /// Returns the bag of a recorder that crashed in the first chunk. The chunk's header says size 0, and the records
    /// follow it.
    pub(crate) fn crashed(&self) -> Vec<u8> {
        let fields: [(&str, &[u8]); 3] = [("op", &[5]), ("compression", b"none"), ("size", &[0; 4])];
        [self.head(0), record(&fields, &[]), self.chunks.concat()].concat()
    }

    fn head(&self, index: u64) -> Vec<u8> {
        let (connections, index) = ((self.connections.len() as u32).to_le_bytes(), index.to_le_bytes());
        let count = (self.chunks.len() as u32).to_le_bytes();
        let fields: [(&str, &[u8]); 4] =
            [("op", &[3]), ("index_pos", &index), ("conn_count", &connections), ("chunk_count", &count)];
        [b"#ROSBAG V2.0\n".to_vec(), record(&fields, &[b' '; 200])].concat()
    }
}

/// Returns the start of a message: its header, and the height and width of a sensor of 40 by 30 pixels.
fn head() -> Vec<u8> {
    [&[0; 12][..], &sized(b"camera"), &30_u32.to_le_bytes(), &40_u32.to_le_bytes()].concat()
}

/// A packet of event_camera_msgs.
pub(crate) fn packet(encoding: &str, base: u64, bytes: &[u8]) -> Vec<u8> {
    let numbers = [[7; 8], base.to_le_bytes()].concat();
    [head(), numbers, sized(encoding.as_bytes()), vec![0], sized(bytes)].concat()
}

impl Camera {
    /// Returns the events as messages of type `dvs_msgs/EventArray`, 50 events per message.
    pub(crate) fn event_arrays(&self) -> Vec<Vec<u8>> {
        let event = |i: usize| {
            let (seconds, ns) = ((self.t[i] / 1_000_000) as u32, (self.t[i] % 1_000_000 * 1_000 + 999) as u32);
            let place = [self.x[i].to_le_bytes(), self.y[i].to_le_bytes()].concat();
            [&place[..], &seconds.to_le_bytes(), &ns.to_le_bytes(), &[self.p[i]]].concat()
        };
        let array = |first: usize| {
            let events: Vec<usize> = (first..self.t.len().min(first + 50)).collect();
            let count = (events.len() as u32).to_le_bytes().to_vec();
            [head(), count, events.into_iter().flat_map(event).collect()].concat()
        };
        (0..self.t.len()).step_by(50).map(array).collect()
    }

    /// Returns the events as packets of type `event_camera_msgs/EventPacket` with the encoding `mono`, 50 events per
    /// packet.
    pub(crate) fn mono_packets(&self) -> Vec<Vec<u8>> {
        let packet = |first: usize| {
            let word = |i: usize| {
                let dt = (self.t[i] - self.t[first]) as u64 * 1_000;
                let (x, y, p) = (u64::from(self.x[i]), u64::from(self.y[i]), u64::from(self.p[i]));
                (dt | x << 32 | y << 48 | p << 63).to_le_bytes()
            };
            let words: Vec<u8> = (first..self.t.len().min(first + 50)).flat_map(word).collect();
            packet("mono", self.t[first] as u64 * 1_000, &words)
        };
        (0..self.t.len()).step_by(50).map(packet).collect()
    }

    /// Returns the events as packets of type `event_camera_msgs/EventPacket` with the encoding `evt3`. Some words
    /// that belong together are in different packets.
    pub(crate) fn evt3_packets(&self, scratch: &Path) -> Vec<Vec<u8>> {
        let raw = std::fs::read(self.evt3(scratch)).unwrap();
        let end = raw.windows(6).position(|six| six == b"% end\n").unwrap() + 6;
        raw[end..].chunks(58).map(|words| packet("evt3", 0, words)).collect()
    }

    fn bag_of(&self, path: &Path, compression: &'static str, kind: &str, messages: &[Vec<u8>]) -> PathBuf {
        let mut bag = Bag::new(compression);
        let imu = bag.connect("/imu", "sensor_msgs/Imu");
        let events = bag.connect("/dvs/events", kind);
        let other = bag.connect("/right/events", "dvs_msgs/EventArray");
        for (i, message) in messages.iter().enumerate() {
            bag.message(imu, &[1; 30]);
            bag.message(events, message);
            if i < 2 {
                bag.message(other, &Camera::at(&[900, 901]).event_arrays()[0]);
            }
        }
        std::fs::write(path, bag.bytes(true)).unwrap();
        path.into()
    }

    pub(crate) fn bag(&self, path: &Path) -> PathBuf {
        self.bag_of(path, "none", "dvs_msgs/EventArray", &self.event_arrays())
    }

    pub(crate) fn bag_bz2(&self, path: &Path) -> PathBuf {
        self.bag_of(path, "bz2", "prophesee_event_msgs/EventArray", &self.event_arrays())
    }

    pub(crate) fn bag_mono_lz4(&self, path: &Path) -> PathBuf {
        self.bag_of(path, "lz4", "event_camera_msgs/EventPacket", &self.mono_packets())
    }

    pub(crate) fn bag_evt3(&self, path: &Path) -> PathBuf {
        let packets = self.evt3_packets(&path.with_extension("raw"));
        std::fs::remove_file(path.with_extension("raw")).unwrap();
        self.bag_of(path, "none", "event_array_msgs/EventArray", &packets)
    }
}
