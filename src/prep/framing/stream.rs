//! Makes frames of event counts from events that come in blocks, so that a large sample doesn't have to be in memory.
//! The frames are the same as those that [`ToFrame`] makes of the whole sample.

use std::collections::VecDeque;

use crate::events::{Events, SensorSize};
use crate::fault::Checked;
use crate::framing::cells::Cells;
use crate::framing::rule::too_many;
use crate::framing::slicing::{Bound, FrameWindows, MAX_FRAMES};

/// Makes frames of event counts from blocks of events, for one sample after another.
pub(crate) struct FrameStream {
    sensor: SensorSize,
    windows: FrameWindows,
    counters: Cells,
    /// The window whose events are being counted. `None` before the sample's first event.
    current: Option<Window>,
    /// The events that the next window needs too: the time or index of each event, and its cell.
    kept: VecDeque<(i64, u32)>,
    /// Number of events of the sample so far.
    events: u64,
    /// Time or index of the last event so far.
    last: i64,
    binned: u64,
    /// Index after the last event of all closed windows, or 0. Events before this index are not added to `binned`
    /// again.
    reached: u64,
    cells: Vec<u32>,
    counts: Vec<u32>,
}

struct Window {
    /// Time or index of the sample's first event.
    first: i64,
    number: u64,
    from: Bound,
    end: Bound,
    /// Start of the next window.
    next: Bound,
    /// True if the sample already has all its frames, so that this window makes no frame. Always false without an end
    /// time.
    is_beyond: bool,
    /// Events of the window so far: the index of the first event, and the index after the last event.
    events: Option<(u64, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Streamed {
    pub frames: u64,
    pub binned: u64,
    pub cut: u64,
}

impl FrameStream {
    pub(super) fn new(sensor: SensorSize, windows: FrameWindows) -> FrameStream {
        FrameStream {
            sensor,
            windows,
            counters: Cells::new(sensor),
            current: None,
            kept: VecDeque::new(),
            events: 0,
            last: 0,
            binned: 0,
            reached: 0,
            cells: Vec::new(),
            counts: Vec::new(),
        }
    }

    /// Forgets the events of an unfinished sample.
    fn reset(&mut self) {
        self.counters.drain(|_, _| {});
        self.kept.clear();
        (self.current, self.events, self.binned, self.reached) = (None, 0, 0, 0);
    }

    /// Adds the next events of the sample, in order of time. Calls `emit` with each finished frame (cells, counts).
    pub(crate) fn push<E>(
        &mut self,
        events: &Events,
        mut emit: impl FnMut(&[u32], &[u32]) -> Result<(), E>,
    ) -> Result<(), E> {
        let before = self.events;
        let places = self.windows.places(&events.t, before);
        let (Some(&first), Some(&last)) = (places.first(), places.last()) else { return Ok(()) };
        if self.current.is_none() {
            self.current = Some(self.window(first, 0));
        }
        let count = |window: &Window| self.windows.count(window.first, last, before + places.len() as u64);
        let too_many = self.current.as_ref().is_some_and(|window| count(window) > MAX_FRAMES as f64);
        let mut at = 0;
        while let Some(&place) = places.get(at) {
            while !too_many && self.is_closed_by(place) {
                self.close(&mut emit)?;
            }
            let Some(window) = self.current.as_mut() else { break };
            if window.is_beyond || too_many {
                break; // no further frames, or too many whatever follows
            }
            let rest = &places[at..];
            let start = at + rest.partition_point(|&place| !window.from.is_reached_by(place));
            let end = at + rest.partition_point(|&place| !window.end.is_reached_by(place));
            // Because of rounding, this event can be at or after the window's end without closing the window. Continue
            // with the next event, so that the loop ends.
            let next = if end == at { at + 1 } else { end };
            if start < end {
                let (from, to) = (before + start as u64, before + end as u64);
                window.events = Some((window.events.map_or(from, |(from, _)| from), to));
                self.counters.count(events.cells(start..end, self.sensor));
            }
            let kept = at + places[at..next].partition_point(|&place| !window.next.is_reached_by(place));
            self.kept.extend(places[kept..next].iter().copied().zip(events.cells(kept..next, self.sensor)));
            at = next;
            self.events = before + at as u64;
        }
        (self.events, self.last) = (before + places.len() as u64, last);
        Ok(())
    }

    /// Ends the sample. Calls `emit` with each remaining frame (cells, counts).
    pub(crate) fn finish<E>(
        &mut self,
        mut emit: impl FnMut(&[u32], &[u32]) -> Result<(), E>,
    ) -> Result<Checked<Streamed>, E> {
        let frames = self.current.as_ref().map(|window| self.windows.count(window.first, self.last, self.events));
        let framed = match frames {
            None => {
                emit(&[], &[])?;
                Ok(Streamed { frames: 1, binned: 0, cut: 0 })
            }
            Some(frames) if frames > MAX_FRAMES as f64 => Err(too_many(frames)),
            Some(frames) => {
                while self.current.as_ref().is_some_and(|window| (window.number as f64) < frames) {
                    self.close(&mut emit)?;
                }
                Ok(Streamed { frames: frames as u64, binned: self.binned, cut: self.events - self.binned })
            }
        };
        self.reset();
        Ok(framed)
    }

    /// Whether an event with this time or index closes the current window.
    fn is_closed_by(&self, place: i64) -> bool {
        let Some(window) = &self.current else { return false };
        window.end.is_reached_by(place)
            && (window.number as f64) < self.windows.count(window.first, place, self.events + 1)
    }

    /// Emits the frame of the current window and continues with the next window.
    fn close<E>(&mut self, emit: &mut impl FnMut(&[u32], &[u32]) -> Result<(), E>) -> Result<(), E> {
        self.cells.clear();
        self.counts.clear();
        self.counters.drain(|cell, count| {
            self.cells.push(cell);
            self.counts.push(count);
        });
        emit(&self.cells, &self.counts)?;
        let Some(closed) = self.current.take() else { return Ok(()) };
        if let Some((from, to)) = closed.events {
            self.binned += to.saturating_sub(from.max(self.reached));
            self.reached = self.reached.max(to);
        }
        let mut window = self.window(closed.first, closed.number + 1);
        let first_kept = self.events - self.kept.len() as u64;
        let from = self.kept.partition_point(|&(place, _)| !window.from.is_reached_by(place));
        let end = self.kept.partition_point(|&(place, _)| !window.end.is_reached_by(place));
        if from < end {
            window.events = Some((first_kept + from as u64, first_kept + end as u64));
            self.counters.count(self.kept.range(from..end).map(|&(_, cell)| cell));
        }
        let done = self.kept.partition_point(|&(place, _)| !window.next.is_reached_by(place));
        self.kept.drain(..done);
        self.current = Some(window);
        Ok(())
    }

    fn window(&self, first: i64, number: u64) -> Window {
        let ((from, end), (next, _)) = (self.windows.bounds(first, number), self.windows.bounds(first, number + 1));
        let is_beyond = self.windows.fixed_count(first).is_some_and(|count| number as f64 >= count);
        Window { first, number, from, end, next, is_beyond, events: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::{Framer, Framing, ToFrame, ToImage};
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use tonic_shard::ColumnBuf;

    const SENSOR: SensorSize = SensorSize { width: 5, height: 3, polarities: 2 };

    /// The frames of a sample, or the text of a fault. The frames are five items:
    ///
    /// - number of cells of each frame
    /// - cells
    /// - counts
    /// - number of events in frames
    /// - number of events in no frame
    type Frames = Result<(Vec<u32>, Vec<u32>, Vec<u32>, u64, u64), String>;

    fn whole(framing: &Framing, events: &Events) -> Frames {
        let mut framer = Framer::new(SENSOR, framing);
        let framed = framer.frame(events).map_err(|fault| format!("{fault:?}"))?;
        let ColumnBuf::U32(counts) = framed.counts.clone() else { panic!("counts") };
        Ok((framed.frame_sizes.clone(), framed.cells.clone(), counts, framed.binned, framed.cut))
    }

    fn streamed(stream: &mut FrameStream, events: &Events, most: usize) -> Frames {
        let (mut sizes, mut cells, mut counts) = (Vec::new(), Vec::new(), Vec::new());
        let mut emit = |some: &[u32], of: &[u32]| -> Result<(), ()> {
            sizes.push(some.len() as u32);
            cells.extend_from_slice(some);
            counts.extend_from_slice(of);
            Ok(())
        };
        for start in (0..events.len()).step_by(most) {
            let range = start..events.len().min(start + most);
            let block = Events {
                t: events.t[range.clone()].to_vec(),
                x: events.x[range.clone()].to_vec(),
                y: events.y[range.clone()].to_vec(),
                p: events.p[range].to_vec(),
            };
            stream.push(&block, &mut emit).unwrap();
        }
        let framed = stream.finish(&mut emit).unwrap().map_err(|fault| format!("{fault:?}"))?;
        assert_eq!(framed.frames, sizes.len() as u64);
        Ok((sizes, cells, counts, framed.binned, framed.cut))
    }

    fn events(random: &mut ChaCha8Rng, n: usize, span: i64, start: i64) -> Events {
        let mut t: Vec<i64> = (0..n).map(|_| start.saturating_add(random.random_range(0..span.max(1)))).collect();
        t.sort_unstable();
        let mut column = |most: u32| (0..n).map(|_| random.random_range(0..most) as u16).collect::<Vec<_>>();
        let (x, y, p) = (column(5), column(3), column(2));
        Events { t, x, y, p: p.into_iter().map(|p| p as u8).collect() }
    }

    #[test]
    fn blocks_of_any_size_make_the_frames_of_the_whole() {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let rules = |random: &mut ChaCha8Rng, start: i64| {
            let window = random.random_range(1..40);
            let overlap = [0.0, random.random_range(0.0..window as f64), 0.5][random.random_range(0..3)];
            let include_incomplete = random.random_bool(0.5);
            let bound = |random: &mut ChaCha8Rng| {
                let place = start.saturating_add(random.random_range(-50..300));
                random.random_bool(0.2).then_some(place)
            };
            let (start_time, end_time) = (bound(random), bound(random));
            let time_window = Some(window);
            let time = ToFrame { time_window, overlap, include_incomplete, start_time, end_time, ..ToFrame::default() };
            let count = ToFrame { event_count: Some(window as u64), overlap, include_incomplete, ..ToFrame::default() };
            let image = ToFrame { n_event_bins: Some(1), overlap: overlap.min(0.9), ..ToFrame::default() };
            let image_too = Framing::ToImage(ToImage { sensor_size: None });
            [time, count, image].map(Framing::ToFrame).into_iter().chain([image_too])
        };
        let starts = [0, -77, 1 << 40, (1 << 53) - 9, (1 << 60) + 3, i64::MIN, i64::MAX - 90];
        for round in 0..700 {
            let (n, span) = (random.random_range(0..120), random.random_range(1..250));
            let start = starts[round % starts.len()];
            let events = events(&mut random, n, span, start);
            for framing in rules(&mut random, start) {
                let mut stream = framing.stream(SENSOR).expect("it streams");
                let expected = whole(&framing, &events);
                for most in [1, 7, 200] {
                    assert_eq!(streamed(&mut stream, &events, most), expected, "{framing:?} {most} {events:?}");
                }
            }
        }
    }

    #[test]
    fn too_many_frames_are_refused_and_the_next_sample_is_framed() {
        let framing =
            Framing::ToFrame(ToFrame { time_window: Some(1), include_incomplete: true, ..ToFrame::default() });
        let mut stream = framing.stream(SENSOR).unwrap();
        let few = Events { t: vec![0, 9], x: vec![1, 2], y: vec![0, 0], p: vec![0, 1] };
        let far = Events { t: vec![0, 1 << 30], ..few.clone() };
        let refused = whole(&framing, &far);
        assert!(refused.is_err());
        for most in [1, 2] {
            assert_eq!(streamed(&mut stream, &far, most), refused);
            assert_eq!(streamed(&mut stream, &few, most), whole(&framing, &few));
        }
        let whole_needed = ToFrame { n_time_bins: Some(4), ..ToFrame::default() };
        assert!(Framing::ToFrame(whole_needed).stream(SENSOR).is_none());
    }
}
