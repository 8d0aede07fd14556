//! Fuzzes the decoders of camera files.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tonic_toolkit::prep::{Cut, Layout, SensorSize, SourceOptions};
use tonic_toolkit_fuzz::{DIR, assert_accounted};

const SENSOR: SensorSize = SensorSize { width: 640, height: 480, polarities: 2 };
const LAYOUTS: [Layout; 10] = [
    Layout::Evt2,
    Layout::Evt21,
    Layout::Evt3,
    Layout::Dat,
    Layout::Aedat2,
    Layout::Aedat3,
    Layout::Aedat4,
    Layout::Es,
    Layout::Nmnist,
    Layout::Rosbag,
];

fuzz_target!(|data: &[u8]| {
    let [kind, lenient, bytes @ ..] = data else { return };
    let path = DIR.join("camera.bin");
    std::fs::write(&path, bytes).unwrap();
    let options = SourceOptions {
        // Without a layout, the file is recognised by its bytes.
        layout: LAYOUTS.get(usize::from(kind % 11)).copied(),
        sensor: Some(SENSOR),
        lenient: lenient % 2 == 1,
        allow_clock_trouble: true,
        cut: Cut::Whole,
        ..SourceOptions::default()
    };
    assert_accounted(&path, &options, SENSOR);
});
