//! Compares the events of real camera files with those of copies in other formats, event by event.
//!
//! The environment variable TONIC_REAL_DATA has the path of the folder with the files.

use std::path::PathBuf;

use tonic_toolkit::prep::{Recording, SensorSize, SourceOptions, TimeUnit};

use super::bag_files::{Bag, packet};
use super::camera::Camera;
use super::camera_formats::events_of;
use super::recording::scratch;

const EVK4: SensorSize = SensorSize { width: 1280, height: 720, polarities: 2 };
const DAVIS346: SensorSize = SensorSize { width: 346, height: 260, polarities: 2 };

/// Returns the folder at TONIC_REAL_DATA. `None` if the variable is not set, or if the folder has no `raw/`.
fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("TONIC_REAL_DATA").map(PathBuf::from).filter(|folder| folder.join("raw").is_dir());
    if folder.is_none() {
        println!("skipped: TONIC_REAL_DATA is not set to a folder with raw/");
    }
    folder
}

/// Asserts that two recordings have the same events, except that all times of `a` can be later by the same duration.
/// Returns this duration.
fn equal_but_for_a_constant(a: &Camera, b: &Camera) -> i64 {
    assert_eq!(a.t.len(), b.t.len());
    assert!(a.x == b.x && a.y == b.y && a.p == b.p, "the same pixels");
    let constant = a.t[0] - b.t[0];
    assert!(a.t.iter().zip(&b.t).all(|(a, b)| a - b == constant), "the same times, but for a constant");
    constant
}

#[test]
fn files_of_a_prophesee_camera_have_the_events_of_their_twin() {
    let Some(folder) = folder() else { return };
    let (_, expected) = events_of(&folder.join("gen4_evk4_1280x720_dseclayout.h5"), Some(EVK4));
    assert_eq!(expected.t.len(), 1_218_618);
    let (dat, found) = events_of(&folder.join("raw/evk4_td.dat"), None);
    assert_eq!((dat.sensor, equal_but_for_a_constant(&found, &expected)), (Some(EVK4), 0));
    let (raw, found) = events_of(&folder.join("raw/evk4_evt3.raw"), None);
    assert_eq!(raw.sensor, Some(EVK4));
    assert!(equal_but_for_a_constant(&found, &expected) > 0);
}

#[test]
fn a_bag_of_raw_packets_has_the_events_of_the_raw_file() {
    let Some(folder) = folder() else { return };
    let dir = scratch();
    let (raw, expected) = events_of(&folder.join("raw/evk4_evt3.raw"), None);
    let bytes = std::fs::read(folder.join("raw/evk4_evt3.raw")).unwrap();
    let mut begin = 0;
    while bytes[begin] == b'%' {
        begin += bytes[begin..].iter().position(|&byte| byte == b'\n').unwrap() + 1;
    }
    let mut bag = Bag::new("lz4");
    let events = bag.connect("/event_camera/events", "event_camera_msgs/EventPacket");
    bytes[begin..].chunks(20_000).for_each(|words| bag.message(events, &packet("evt3", 0, words)));
    let file = dir.file("a.bag", bag.bytes(true));
    let (_, found) = events_of(&file, raw.sensor);
    assert_eq!(equal_but_for_a_constant(&found, &expected), 0);
}

#[test]
fn aedat_4_files_have_the_events_of_their_twins() {
    let Some(folder) = folder() else { return };
    let (_, expected) = events_of(&folder.join("davis346_dseclayout.h5"), Some(DAVIS346));
    let (davis, found) = events_of(&folder.join("raw/davis346.aedat4"), None);
    let offset = hdf5::File::open(folder.join("davis346_dseclayout.h5")).unwrap().dataset("t_offset").unwrap();
    let offset = offset.read_raw::<i64>().unwrap()[0];
    assert_eq!((davis.sensor, equal_but_for_a_constant(&found, &expected)), (Some(DAVIS346), offset));
    let (clip, found) = events_of(&folder.join("raw/clip.aedat4"), None);
    let (_, expected) = events_of(&folder.join("raw/clip_aedat4.npy"), clip.sensor);
    assert_eq!((found.t.len(), equal_but_for_a_constant(&found, &expected)), (6_676, 0));
}

#[test]
fn an_event_stream_and_a_sample_of_n_mnist_have_the_events_of_their_twins() {
    let Some(folder) = folder() else { return };
    let (stream, found) = events_of(&folder.join("raw/dvs_304x240.es"), None);
    let (_, expected) = events_of(&folder.join("raw/dvs_304x240_es.npz"), stream.sensor);
    assert_eq!((found.t.len(), equal_but_for_a_constant(&found, &expected)), (473_225, 0));
    // A text has the first events of the same recording. They last less than a millisecond, which is accepted if the
    // unit is given.
    let options = SourceOptions { time_unit: Some(TimeUnit::Microseconds), ..SourceOptions::default() };
    let csv = Recording::open(&folder.join("raw/dvs_head.csv"), &options).unwrap().remove(0);
    assert_eq!(csv.sensor, Some(SensorSize { width: 320, height: 240, polarities: 2 }));
    let head = csv.read(0..1).unwrap().admit(0, csv.sensor.unwrap()).events;
    let n = head.t.len();
    let twin = (&expected.t[..n], &expected.x[..n], &expected.y[..n], &expected.p[..n]);
    assert_eq!(n, 28_452);
    assert!((&head.t[..], &head.x[..], &head.y[..], &head.p[..]) == twin, "the head of the text's twin");
    let sensor = Some(SensorSize { width: 34, height: 34, polarities: 2 });
    let (_, found) = events_of(&folder.join("raw/nmnist_sample.bin"), sensor);
    let (_, expected) = events_of(&folder.join("raw/nmnist_sample_bin.npy"), sensor);
    assert_eq!(equal_but_for_a_constant(&found, &expected), 0);
}
