//! Fuzzes the reader of images in the format of MNIST (IDX), and of the labels next to them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tonic_toolkit::prep::{SensorSize, SourceOptions};
use tonic_toolkit_fuzz::{DIR, assert_accounted};

const SENSOR: SensorSize = SensorSize { width: 99, height: 1, polarities: 1 };

fuzz_target!(|data: &[u8]| {
    let [labels, bytes @ ..] = data else { return };
    let (labels, images) = bytes.split_at(usize::from(*labels).min(bytes.len()));
    let path = DIR.join("images-idx3-ubyte");
    std::fs::write(&path, images).unwrap();
    std::fs::write(DIR.join("labels-idx1-ubyte"), labels).unwrap();
    assert_accounted(&path, &SourceOptions::default(), SENSOR);
});
