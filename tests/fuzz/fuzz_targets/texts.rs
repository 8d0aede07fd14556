//! Fuzzes the reader of texts with one event per line, also in gzip.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tonic_toolkit::prep::{SensorSize, SourceOptions, TimeUnit};
use tonic_toolkit_fuzz::{DIR, assert_accounted};

const SENSOR: SensorSize = SensorSize { width: 640, height: 480, polarities: 2 };
const ORDERS: [Option<&str>; 4] = [None, Some("t,x,y,p"), Some("x,y,p,t"), Some("_,t,x,y,p")];
const UNITS: [Option<TimeUnit>; 3] = [None, Some(TimeUnit::Seconds), Some(TimeUnit::Nanoseconds)];

fuzz_target!(|data: &[u8]| {
    let [kind, lenient, bytes @ ..] = data else { return };
    let path = DIR.join("text.csv");
    std::fs::write(&path, bytes).unwrap();
    let options = SourceOptions {
        columns: ORDERS[usize::from(kind % 4)].map(|order| order.parse().unwrap()),
        time_unit: UNITS[usize::from(kind / 4 % 3)],
        sensor: Some(SENSOR),
        lenient: lenient % 2 == 1,
        allow_clock_trouble: true,
        ..SourceOptions::default()
    };
    assert_accounted(&path, &options, SENSOR);
});
