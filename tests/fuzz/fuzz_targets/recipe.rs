//! Fuzzes the recipe parser, and applies valid recipes to events.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tonic_toolkit::prep::{Events, Framer, Recipe, SensorSize};
use tonic_toolkit::shard::Ledger;

/// Recipes with more than [`FRAMES`] frames, or with more than [`CELLS`] cells per frame, are not applied to events.
const FRAMES: u64 = 1 << 12;
const CELLS: u64 = 1 << 20;

fuzz_target!(|text: &str| {
    let Ok(recipe) = Recipe::parse(None, text) else { return };
    let toml = recipe.to_toml();
    let again = Recipe::parse(None, &toml).unwrap_or_else(|e| panic!("{toml}: {e}"));
    assert!(again.to_toml() == toml, "{toml}");

    let sensor = SensorSize { width: 16, height: 12, polarities: 2 };
    if recipe.check_sensor(sensor).is_err() {
        return;
    }
    let after = recipe.sensor_after(sensor);
    let shape = recipe.frames.shape(after);
    assert!(shape.is_valid(), "{toml}");
    if recipe.frame_limit(sensor).is_some_and(|n| n > FRAMES) || shape.cells().max(after.frame_shape().cells()) > CELLS
    {
        return;
    }
    let n = 40;
    let times = [0, 1, 1, 999, 4_000, 4_001, i64::from(u32::MAX), -5];
    for events in [
        Events::default(),
        Events { t: vec![0], x: vec![15], y: vec![11], p: vec![1] },
        Events {
            t: (0..n).map(|i| i64::from(i) * 100).collect(),
            x: (0..n).map(|i| i as u16 * 7 % 16).collect(),
            y: (0..n).map(|i| i as u16 * 5 % 12).collect(),
            p: (0..n).map(|i| (i % 2) as u8).collect(),
        },
        {
            let mut t = times.to_vec();
            t.sort_unstable();
            Events { t, x: vec![3; 8], y: vec![0, 1, 2, 3, 3, 3, 11, 11], p: vec![0; 8] }
        },
    ] {
        let mut ledger = Ledger { events_in: events.len() as u64, ..Ledger::default() };
        let mut events = events;
        if recipe.apply(&mut events, sensor, &mut ledger).is_err() {
            continue;
        }
        assert!(events.t.is_sorted(), "{toml}");
        let inside = |i: usize| {
            u32::from(events.x[i]) < after.width
                && u32::from(events.y[i]) < after.height
                && u32::from(events.p[i]) < after.polarities
        };
        assert!((0..events.len()).all(inside), "{toml}");
        let span = events.t.last().unwrap_or(&0).abs_diff(*events.t.first().unwrap_or(&0));
        if recipe.frames.frame_time().is_some_and(|us| span as f64 / us > FRAMES as f64) {
            continue;
        }
        if let Ok(framed) = Framer::new(after, &recipe.frames).frame(&events) {
            (ledger.binned, ledger.cut) = (framed.binned, framed.cut);
            assert!(ledger.balances(), "{ledger:?} {toml}");
            assert!(!framed.frame_sizes.is_empty(), "{toml}");
            assert!(framed.cells.iter().all(|&cell| u64::from(cell) < shape.cells()), "{toml}");
        }
    }
});
