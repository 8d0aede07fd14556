//! Fuzzes the readers of MATLAB files of version 5, of ST-MNIST and of EBSSA. In MATLAB files, the columns are found
//! by their names, or in a given order.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tonic_toolkit::prep::{Cut, Layout, SensorSize, SourceOptions};
use tonic_toolkit_fuzz::{DIR, assert_accounted};

const SENSOR: SensorSize = SensorSize { width: 40, height: 30, polarities: 2 };

fuzz_target!(|data: &[u8]| {
    let [kind, bytes @ ..] = data else { return };
    let path = DIR.join("a.mat");
    std::fs::write(&path, bytes).unwrap();
    let options = SourceOptions {
        // Without a layout, the file is recognised by its bytes.
        layout: match kind / 16 {
            1 => Some(Layout::Stmnist),
            2 => Some(Layout::Ebssa),
            _ => (kind % 2 == 1).then_some(Layout::Mat),
        },
        columns: (kind / 2 % 2 == 1).then(|| "t,x,y,p".parse().unwrap()),
        map: (kind / 4 % 4 == 3).then(|| "t=TD/ts,x=TD/x,label=class".parse().unwrap()),
        sensor: Some(SENSOR),
        allow_clock_trouble: true,
        cut: Cut::Whole,
        ..SourceOptions::default()
    };
    assert_accounted(&path, &options, SENSOR);
});
