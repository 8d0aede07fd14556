//! Reads results of Tonic 1.7.0 (tests/data/goldens) and computes our results for the same events.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tonic_toolkit::prep::{Admitted, Events, Framer, RawEvent, Recipe, SensorSize, admit};
use tonic_toolkit::shard::{ColumnBuf, Ledger, SparseFrames, Width, Widths};

/// Reads a file of Tonic's results.
pub(crate) fn goldens<T: DeserializeOwned>(name: &str) -> T {
    serde_json::from_slice(&std::fs::read(super::recording::data("goldens").join(name)).unwrap()).unwrap()
}

/// Events, as columns. A missing column y or p stands for zeros.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Given {
    /// Number of times that each event occurs; 1 by default.
    repeat: Option<usize>,
    pub t: Vec<i64>,
    pub x: Vec<i64>,
    y: Option<Vec<i64>>,
    p: Option<Vec<i64>>,
}

impl Given {
    fn raw(&self) -> Vec<RawEvent> {
        let of = |column: &Option<Vec<i64>>, i: usize| column.as_ref().map_or(0, |c| c[i]);
        let event = |i| (Some(self.t[i]), self.x[i], of(&self.y, i), of(&self.p, i));
        (0..self.t.len()).flat_map(|i| std::iter::repeat_n(event(i), self.repeat.unwrap_or(1))).collect()
    }
}

/// The frames of a sample: their shape, (T, P, H, W), and the occupied cells as (frame, cell, value).
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Frames {
    pub shape: [usize; 4],
    pub entries: Vec<(usize, u32, f64)>,
}

/// Our result for the events of one case of the golden files.
pub(crate) struct Ours {
    pub admitted: Admitted,
    /// Events after the transforms.
    pub events: Events,
    pub ledger: Ledger,
    pub frames: Frames,
}

pub(crate) fn sensor_size([width, height, polarities]: [u32; 3]) -> SensorSize {
    SensorSize { width, height, polarities }
}

/// Applies a recipe to the events of the case `name`. Asserts that the ledger accounts for every event.
pub(crate) fn apply(name: &str, recipe: &Recipe, sensor: [u32; 3], given: &Given) -> Ours {
    let sensor = sensor_size(sensor);
    let raw = given.raw();
    let mut ledger = Ledger { events_in: raw.len() as u64, ..Ledger::default() };
    let admitted = admit(sensor, raw.into_iter());
    (ledger.outside, ledger.non_finite) = (admitted.outside, admitted.non_finite);
    let mut events = admitted.events.clone();
    recipe.apply(&mut events, sensor, &mut ledger).unwrap();

    let mut framer = Framer::new(recipe.sensor_after(sensor), &recipe.frames);
    // The framer must not carry anything over from one sample to the next. So frame the sample twice and use the
    // second result.
    framer.frame(&events).unwrap();
    let framed = framer.frame(&events).unwrap();
    (ledger.binned, ledger.cut) = (framed.binned, framed.cut);
    assert!(ledger.balances(), "{name}: {ledger:?}");

    let shape = recipe.frames.shape(recipe.sensor_after(sensor));
    let counts = if matches!(framed.counts, ColumnBuf::F32(_)) { Width::F32 } else { Width::U32 };
    let mut frames = SparseFrames::new(Widths::of(shape, counts));
    frames.push(&framed.frame_sizes, &framed.cells, framed.counts.view()).unwrap();
    let sample = frames.sample(0);
    let [p, h, w] = [shape.polarities, shape.height, shape.width].map(|n| n as usize);
    let frames = Frames { shape: [sample.frames(), p, h, w], entries: sample.iter().collect() };
    Ours { admitted, events, ledger, frames }
}
