//! Fuzzes the reader of label tables.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tonic_toolkit::prep::{TimeUnit, number_classes, read_labels};
use tonic_toolkit_fuzz::DIR;

fuzz_target!(|data: &[u8]| {
    let path = DIR.join("labels.csv");
    std::fs::write(&path, data).unwrap();
    let Ok(rows) = read_labels(&path, TimeUnit::Microseconds) else { return };
    assert!(!rows.is_empty());
    for row in &rows {
        assert!(!row.label.is_empty() && (row.file.is_some() || row.interval.is_some()));
        assert!(row.interval.is_none_or(|(start, end)| start < end));
    }
    for by_size in [false, true] {
        let (names, numbers) = number_classes(rows.iter().map(|row| row.label.as_str()), by_size);
        assert!(rows.iter().zip(&numbers).all(|(row, &class)| names[class as usize] == row.label));
    }
});
