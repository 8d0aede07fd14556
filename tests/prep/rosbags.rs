//! Tests of ROS 1 bags: the events that the Python package rosbags reads, the choice of a topic, and bags whose
//! recording was not ended.

use std::path::PathBuf;

use serde_json::Value;
use tonic_toolkit::prep::{Layout, Recording, SensorSize, SourceOptions};

use super::bag_files::{Bag, packet};
use super::camera::Camera;
use super::camera_formats::events_of;
use super::recording::{change, convert, convert_aloud, data, manifest, refuses, samples, says, scratch, stderr};

const KIND: &str = "dvs_msgs/EventArray";

#[test]
fn what_rosbags_writes_is_read_as_rosbags_reads_it() {
    let dir = data("sources/rosbag");
    let found: serde_json::Map<String, Value> =
        serde_json::from_slice(&std::fs::read(dir.join("rosbags.json")).unwrap()).unwrap();
    assert_eq!(found.len(), 5);
    for (name, topics) in found {
        let topics = topics.as_object().unwrap();
        for (topic, of_rosbags) in topics {
            let mut options = SourceOptions { topic: Some(topic.clone()), ..SourceOptions::default() };
            if topics.len() == 1 {
                options.topic = None;
            }
            let recording = Recording::open(&dir.join(&name), &options).unwrap().remove(0);
            let events: Vec<[i64; 4]> = serde_json::from_value(of_rosbags["events"].clone()).unwrap();
            let [width, height]: [u32; 2] = serde_json::from_value(of_rosbags["sensor"].clone()).unwrap();
            assert_eq!(recording.sensor, Some(SensorSize { width, height, polarities: 2 }), "{name}");
            assert_eq!(recording.layout, Layout::Rosbag);
            let e = recording.read(0..1).unwrap().admit(0, recording.sensor.unwrap()).events;
            let event = |i: usize| [e.t[i], e.x[i].into(), e.y[i].into(), e.p[i].into()];
            assert_eq!((0..e.t.len()).map(event).collect::<Vec<_>>(), events, "{name} {topic}");
        }
    }
}

#[test]
fn one_topic_is_read_and_the_others_are_counted() {
    let dir = scratch();
    // The first message is one of /right/events, but the topics are taken in the order of their names.
    let bag = data("sources/rosbag").join("two_cameras_bz2.bag");
    let said = stderr(&mut convert_aloud(&[&bag], &dir.join("left")));
    says(
        &said,
        &[
            "t = /left/events.t (int64, us)",
            "messages of dvs_msgs/EventArray in the topic /right/events that are not read: 10",
            "messages of sensor_msgs/Imu in the topic /imu that are not read: 3",
        ],
    );
    assert_eq!(samples(&dir.join("left"))[0].ledger.events_in, 300);
    let said = stderr(convert_aloud(&[&bag], &dir.join("right")).args(["--topic", "/right/events"]));
    says(&said, &["t = /right/events.t", "in the topic /left/events that are not read: 6"]);
    assert_eq!(samples(&dir.join("right"))[0].ledger.events_in, 200);
    let words = ["--topic", "/left/events (dvs_msgs/EventArray), /right/events (dvs_msgs/EventArray)", "/imu"];
    refuses(convert(&[&bag], &dir.join("none")).args(["--topic", "/imu"]), 2, &words);
    let other = Camera::at(&[1, 2, 3]).npy(&dir.join("a.npy"));
    let words = ["--topic", "which is no ROS bag (npy)"];
    refuses(convert(&[&other], &dir.join("none")).args(["--topic", "/a", "--sensor", "40,30,2"]), 2, &words);
    // No events.
    let mut bag = Bag::new("none");
    let imu = bag.connect("/imu", "sensor_msgs/Imu");
    bag.message(imu, &[1; 20]);
    let file = dir.file("imu.bag", bag.bytes(true));
    refuses(&mut convert(&[&file], &dir.join("none")), 3, &["/imu (sensor_msgs/Imu)"]);
}

#[test]
fn a_bag_whose_recording_was_not_ended_is_refused_with_what_repairs_it() {
    let dir = scratch();
    let camera = Camera::runs(1_400, 1_500_000_000_000_000, 37);
    for compression in ["none", "bz2", "lz4"] {
        let mut bag = Bag::new(compression);
        let events = bag.connect("/dvs/events", KIND);
        camera.event_arrays().iter().for_each(|message| bag.message(events, message));
        let whole = bag.bytes(false);
        for (cut, most) in [(0, 1_400), (700, 1_350)] {
            let file = dir.file("a.bag", &whole[..whole.len() - cut]);
            let words = ["byte ", "was not ended; rosbag reindex repairs that", "--lenient reads the events before"];
            refuses(&mut convert(&[&file], &dir.join("none")), 3, &words);
            let set = dir.join(format!("{compression}-{cut}"));
            let said = stderr(convert_aloud(&[&file], &set).args(["--lenient"]));
            says(&said, &["warning: damaged: at byte", "events before it are read"]);
            let found = samples(&set)[0].ledger.events_in;
            assert!((900..=most).contains(&found), "{compression} {cut}: {found}");
        }
    }
    // A chunk that was not ended has the size 0, and its records follow.
    let mut bag = Bag::new("none");
    let events = bag.connect("/dvs/events", KIND);
    camera.event_arrays().iter().for_each(|message| bag.message(events, message));
    let whole = bag.crashed();
    let file = dir.file("a.bag", &whole[..whole.len() - 1]);
    refuses(&mut convert(&[&file], &dir.join("none")), 3, &["the 1350 events before it are whole", "rosbag reindex"]);
    says(&stderr(convert_aloud(&[&file], &dir.join("crashed")).args(["--lenient"])), &["warning: damaged"]);
    assert_eq!(samples(&dir.join("crashed"))[0].ledger.events_in, 1_350);
}

#[test]
fn a_damaged_index_is_an_error_after_the_events() {
    let dir = scratch();
    let camera = Camera::runs(700, 900, 37);
    let file = camera.bag(&dir.join("a.bag"));
    change(&file, |bytes| {
        let end = bytes.len();
        let at = bytes[..end].windows(5).rposition(|five| five == b"conn=").unwrap();
        bytes[at] = b'x';
    });
    refuses(
        &mut convert(&[&file], &dir.join("none")),
        3,
        &["the 700 events before it are whole", "connections in the index"],
    );
    says(&stderr(convert_aloud(&[&file], &dir.join("set")).args(["--lenient"])), &["warning: damaged"]);
    assert_eq!(samples(&dir.join("set"))[0].ledger.events_in, 700);
}

/// The header of this bag gives a wrong position of the index. The events after this position must not be lost.
#[test]
fn an_index_at_another_place_is_refused() {
    let dir = scratch();
    let file = Camera::runs(700, 900, 37).bag(&dir.join("a.bag"));
    let number = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    change(&file, |bytes| {
        let header = 13 + 4 + number(bytes, 13);
        let first = header + 4 + number(bytes, header);
        let at = bytes.windows(10).position(|name| name == b"index_pos=").unwrap() + 10;
        bytes[at..at + 8].copy_from_slice(&(first as u64).to_le_bytes());
    });
    for topic in [None, Some("/dvs/events")] {
        let mut command = convert(&[&file], &dir.join("none"));
        let command = topic.into_iter().fold(&mut command, |command, topic| command.args(["--topic", topic]));
        refuses(command, 3, &["the index of the bag at byte"]);
    }
}

#[test]
fn every_cut_or_flipped_byte_is_an_error_or_other_events() {
    let dir = scratch();
    let camera = Camera::at(&[900, 1_900, 2_900]);
    for write in [Camera::bag, Camera::bag_bz2, Camera::bag_mono_lz4] {
        let path = write(&camera, &dir.join("a.bag"));
        let bytes = std::fs::read(&path).unwrap();
        let open = |bytes: &[u8], lenient| {
            std::fs::write(&path, bytes).unwrap();
            let recording = Recording::open(&path, &SourceOptions { lenient, ..SourceOptions::default() });
            recording.and_then(|mut recordings| recordings.remove(0).read(0..1)).map(|raw| raw.count(0))
        };
        for at in 1..bytes.len() {
            assert!(open(&bytes[..at], false).is_err(), "{at}");
            let _ = open(&bytes[..at], true);
            let mut flipped = bytes.clone();
            flipped[at] ^= [0x01, 0x80, 0xff][at % 3];
            for lenient in [false, true] {
                let _ = open(&flipped, lenient);
            }
        }
        assert_eq!(open(&bytes, false).unwrap(), 3);
    }
}

#[test]
fn messages_that_contradict_themselves_are_refused() {
    let dir = scratch();
    let camera = Camera::at(&[1_000_000, 1_000_100]);
    let refuse = |kind: &str, message: &[u8], words: &[&str]| {
        let mut bag = Bag::new("none");
        let events = bag.connect("/events", kind);
        bag.message(events, message);
        let file = dir.file("a.bag", bag.bytes(true));
        refuses(&mut convert(&[file], &dir.join("none")), 3, words);
    };
    let message = camera.event_arrays().remove(0);
    refuse(KIND, &message[..message.len() - 1], &["25 bytes for 2 events of 13 bytes", "message 1 of dvs_msgs"]);
    refuse(KIND, &message[..20], &["a message that ends early"]);
    let mut many = message.clone();
    let count = many.len() - 2 * 13 - 4;
    many[count..count + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    refuse(KIND, &many, &["26 bytes for 4294967295 events"]);
    let kind = "event_camera_msgs/EventPacket";
    refuse(kind, &packet("evt3", 0, &[1, 2, 3]), &["3 bytes of EVT 3"]);
    refuse(kind, &packet("mono", 0, &[1; 9]), &["9 bytes of mono"]);
    refuse(kind, &packet("libcaer", 0, &[1; 8]), &["encoded as \"libcaer\"", "event_camera_py"]);
    refuse(kind, &[packet("mono", 0, &[1; 8]), vec![0]].concat(), &["followed by other bytes"]);
    // A chunk that is not as large as it says, and an unknown compression.
    let mut bag = Bag::new("lz4");
    let events = bag.connect("/events", KIND);
    bag.message(events, &message);
    let file = dir.file("a.bag", bag.bytes(true));
    let (_, found) = events_of(&file, None);
    assert_eq!(found.t, camera.t);
    change(&file, |bytes| {
        let at = bytes.windows(5).position(|five| five == b"size=").unwrap();
        bytes[at + 5] ^= 1;
    });
    refuses(&mut convert(&[&file], &dir.join("none")), 3, &["expected a chunk of"]);
    change(&file, |bytes| {
        let at = bytes.windows(5).position(|five| five == b"n=lz4").unwrap();
        bytes[at + 4] = b'5';
    });
    refuses(&mut convert(&[&file], &dir.join("none")), 3, &["compressed with lz5", "neither none, bz2 nor lz4"]);
}

#[test]
fn bags_in_folders_are_recordings() {
    let dir = scratch();
    let folder = dir.folder("data");
    for class in ["clap", "wave"] {
        std::fs::create_dir_all(folder.join(class)).unwrap();
        Camera::runs(700, 900, 37).bag_bz2(&folder.join(class).join("1.bag"));
    }
    let said = stderr(&mut convert_aloud(&[&folder], &dir.join("set")));
    says(&said, &["clap/1.bag and 1 more: messages of sensor_msgs/Imu in the topic /imu that are not read: 14"]);
    assert_eq!(manifest(&dir.join("set")).description.classes, ["clap", "wave"]);
}

#[test]
fn packets_that_are_missing_are_told() {
    let dir = scratch();
    let packets = Camera::runs(700, 900, 37).mono_packets();
    let bag = |numbers: &dyn Fn(u64) -> u64| {
        let mut bag = Bag::new("none");
        let events = bag.connect("/events", "event_camera_msgs/EventPacket");
        for (i, packet) in packets.iter().enumerate() {
            let mut packet = packet.clone();
            packet[30..38].copy_from_slice(&numbers(i as u64).to_le_bytes());
            bag.message(events, &packet);
        }
        dir.file("a.bag", bag.bytes(true))
    };
    let said = |bag: PathBuf| stderr(convert_aloud(&[&bag], &dir.join("set")).arg("--overwrite"));
    let missing = "packets are missing in the bag, as their numbers tell: their events are lost";
    // No packet is missing: the numbers ascend by 1, or they start again because the driver was started again.
    for numbers in [&|i| i + 5_u64, &|i| i % 4] as [&dyn Fn(u64) -> u64; 2] {
        assert!(!said(bag(numbers)).contains(missing));
    }
    says(&said(bag(&|i| if i < 3 { i } else { i + 4 })), &[&format!("warning: 4 {missing}")]);
}
