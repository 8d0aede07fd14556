//! Reads the samples of a file that holds one recording.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tonic_shard::Id;

use crate::error::{Error, Result};
use crate::source::columns::EventBlock;
use crate::source::detect::{FirstLook, open_stream, reopen_stream};
use crate::source::hdf::LinkedPath;
use crate::source::kept::Kept;
use crate::source::options::SourceOptions;
use crate::source::raw::{MAX_SAMPLE_EVENTS, RawSamples};
use crate::source::recording::ReadSamples;
use crate::source::samples::cut::{Pieces, Span, left_out};
use crate::source::stream::EventStream;
use crate::source::times::{Clock, Findings, Wrap};
use crate::source::vetting::{Vetted, blocks, lasts_without_gaps, vet, vet_in_blocks, vet_unwrapped};
use crate::time_unit::TimeUnit;

/// Several samples are read at once if there are at most this many other events between them.
const MAX_WASTE: u64 = 1 << 16;
/// Several samples are read together only if they have at most this many events in total.
const MAX_TOGETHER: u64 = 1 << 22;

/// Reads the samples of a recording. Each sample is a range of the recording's events.
#[derive(Debug)]
pub(crate) struct Long {
    path: PathBuf,
    access: Access,
    /// The hash of the file's bytes and their number, if the file was read whole when it was opened.
    content: Option<(Id, u64)>,
    /// The range of events of each sample. Empty if the whole recording is one sample.
    spans: Vec<Span>,
    reordered: Vec<bool>,
    /// How many microseconds the recording lasts, without its gaps. `None` if the recording is one sample.
    lasts: Option<i64>,
    /// The wraps of the clock to undo each time the file is opened. `None` if the clock has no wraps, if the file stays
    /// open, or if the recording is one sample.
    wrap: Option<Wrap>,
    /// The temporary file of a packed recording. Kept until the recording is opened to read its events.
    unpacked: Mutex<Option<Kept>>,
    /// The open recording, if its events are in a temporary file. Kept until the last sample is read.
    kept: Mutex<Option<Arc<EventStream>>>,
    seen: OnceLock<Seen>,
}

/// What is known about a recording after its events were read or checked for the first time.
#[derive(Debug)]
struct Seen {
    notes: Vec<String>,
    /// The unit of the recording's times, if it was assumed and may be wrong.
    assumed: Option<TimeUnit>,
    /// Duration of the recording in microseconds, without its gaps. `None` if the recording is cut into samples, or if
    /// it is not known.
    lasts: Option<i64>,
    /// Result of the check in blocks, if there was one: the wraps to undo, and whether the events are in order of time.
    checked: Option<(Option<Wrap>, bool)>,
}

/// How a reader gets the events of a recording.
#[derive(Debug)]
enum Access {
    /// The file stays open.
    Open(Box<EventStream>),
    /// The file is opened for each read and closed again. `events` is its number of events; `linked` are the other
    /// files that hold its data.
    Closed { options: Arc<SourceOptions>, events: u64, linked: Vec<LinkedPath> },
}

impl Long {
    /// Makes a reader for a recording whose file stays open.
    pub(crate) fn open(stream: EventStream, pieces: Pieces) -> Long {
        Long {
            path: stream.path.clone(),
            access: Access::Open(Box::new(stream)),
            content: None,
            spans: pieces.spans,
            reordered: pieces.reordered,
            lasts: pieces.lasts,
            wrap: None,
            unpacked: Mutex::default(),
            kept: Mutex::default(),
            seen: OnceLock::new(),
        }
    }

    /// Makes a reader that opens the file for each read. `options` must name the recording's layout. If `pieces` has no
    /// spans, the recording is one sample.
    pub(crate) fn closed(path: &Path, options: Arc<SourceOptions>, found: FirstLook, pieces: Pieces) -> Long {
        let Pieces { spans, reordered, lasts, wrap, .. } = pieces;
        let FirstLook { events, linked, unpacked, content } = found;
        Long {
            path: path.into(),
            access: Access::Closed { options, events, linked },
            content,
            spans,
            reordered,
            lasts,
            wrap,
            unpacked: Mutex::new(unpacked),
            kept: Mutex::default(),
            seen: OnceLock::new(),
        }
    }

    fn read_from(&self, stream: &EventStream, samples: Range<u64>) -> Result<RawSamples> {
        let whole = [Span { start: 0, end: stream.len, zero: None }];
        let cut = !self.spans.is_empty();
        let spans = if cut { &self.spans[samples.start as usize..samples.end as usize] } else { &whole[..] };
        for (i, span) in spans.iter().enumerate() {
            if span.end - span.start > MAX_SAMPLE_EVENTS {
                return Err(Error::SampleTooLarge {
                    path: self.path.clone(),
                    sample: samples.start + i as u64,
                    most: MAX_SAMPLE_EVENTS,
                    got: span.end - span.start,
                    step: "this command",
                });
            }
        }
        let first = spans.iter().map(|span| span.start).min().unwrap_or(0);
        let last = spans.iter().map(|span| span.end).max().unwrap_or(0).max(first);
        let lengths: Vec<usize> = spans.iter().map(|span| (span.end - span.start) as usize).collect();
        let events = lengths.iter().sum::<usize>() as u64;
        let mut block = if last - first <= events + MAX_WASTE {
            let block = stream.read(first..last)?;
            let tiled = spans.windows(2).all(|pair| pair[0].end == pair[1].start);
            if tiled {
                block
            } else {
                block.pick(spans.iter().flat_map(|span| (span.start - first) as usize..(span.end - first) as usize))
            }
        } else {
            let blocks = spans.iter().map(|span| stream.read(span.start..span.end)).collect::<Result<Vec<_>>>()?;
            EventBlock::concatenate(blocks)
        };
        let (notes, lasts) = if cut { (Vec::new(), None) } else { self.vet_whole(stream, &mut block)? };
        self.seen.get_or_init(|| Seen { notes, assumed: stream.time.assumed(), lasts, checked: None });
        let mut start = 0;
        let zeros: Vec<Option<i64>> = spans
            .iter()
            .zip(&lengths)
            .map(|(span, length)| {
                let first = block.t.first(start..start + length);
                start += length;
                if cut { span.zero.or(first) } else { None }
            })
            .collect();
        Ok(block.into_samples(&lengths, &zeros))
    }
}

impl Long {
    /// Checks the times of a recording that is one sample, and undoes wraps if the options ask for that. Returns notes
    /// for the user and the duration in microseconds without gaps.
    fn vet_whole(&self, stream: &EventStream, block: &mut EventBlock) -> Result<(Vec<String>, Option<i64>)> {
        let mut clock = Clock::new(stream.time.unit);
        clock.miss(&block.t.missing);
        clock.see(&block.t.places(None));
        let found = clock.finish();
        let mut notes = vet(stream, &found)?;
        if let Some(wrap) = stream.time.wrap_to_undo(&found) {
            wrap.unwrap(0, &mut block.t.us);
            notes.extend(vet_unwrapped(stream, &Findings::of(stream.time.unit, &block.t.places(None)))?);
        }
        notes.extend(self.late_notes(stream));
        Ok((notes, lasts_without_gaps(&found)))
    }

    /// Returns notes about how the file was opened. Empty if the file stays open: the user has these notes already.
    fn late_notes(&self, stream: &EventStream) -> Vec<String> {
        let mut notes = Vec::new();
        if matches!(self.access, Access::Closed { .. }) {
            notes.extend(stream.time.notes.iter().cloned());
            notes.extend(left_out(stream.time.left_out));
        }
        notes
    }

    /// Calls `work` with the recording. Opens and sorts it first if necessary. `end` is the end of the range of samples
    /// that are read.
    fn with_stream<T>(&self, end: u64, work: impl FnOnce(&EventStream) -> Result<T>) -> Result<T> {
        let options = match &self.access {
            Access::Open(stream) => return work(stream),
            Access::Closed { options, .. } => options,
        };
        // While one thread decodes or sorts the file, others wait for the result.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let stream = match &*kept {
            Some(stream) => Arc::clone(stream),
            None => {
                let unpacked = self.unpacked.lock().unwrap_or_else(PoisonError::into_inner).take();
                let mut stream = reopen_stream(&self.path, options)?;
                drop(unpacked);
                stream.time.set_wrap(self.wrap.clone());
                if !self.reordered.is_empty() {
                    stream.sort()?;
                }
                let stream = Arc::new(stream);
                if stream.is_on_disk() {
                    *kept = Some(Arc::clone(&stream));
                }
                stream
            }
        };
        if end >= self.spans.len().max(1) as u64 {
            *kept = None;
        }
        drop(kept);
        work(&stream)
    }
}

impl ReadSamples for Long {
    fn events(&self) -> Result<u64> {
        match &self.access {
            _ if !self.spans.is_empty() => Ok(self.spans.iter().map(|span| span.end - span.start).sum()),
            Access::Open(stream) => Ok(stream.len),
            Access::Closed { events, .. } => Ok(*events),
        }
    }

    fn notes(&self) -> Vec<String> {
        self.seen.get().map_or(Vec::new(), |seen| seen.notes.clone())
    }

    fn assumed_unit(&self) -> Option<TimeUnit> {
        self.seen.get()?.assumed
    }

    fn lasts(&self) -> Option<i64> {
        self.lasts.or_else(|| self.seen.get()?.lasts)
    }

    fn content(&self) -> Option<(Id, u64)> {
        self.content
    }

    fn reopens(&self) -> bool {
        matches!(self.access, Access::Closed { .. })
    }

    fn reordered(&self, sample: u64) -> bool {
        self.reordered.get(sample as usize).copied().unwrap_or(false)
    }

    fn together(&self, first: u64, most: u64) -> u64 {
        let spans = self.spans.iter().skip(first as usize).take(most as usize);
        let mut events = 0;
        let fitting = spans.take_while(|span| {
            events += span.end - span.start;
            events <= MAX_TOGETHER
        });
        (fitting.count() as u64).max(1)
    }

    fn linked(&self) -> Vec<LinkedPath> {
        match &self.access {
            Access::Open(stream) => stream.linked.clone(),
            Access::Closed { linked, .. } => linked.clone(),
        }
    }

    fn extent(&self) -> Result<Option<(i64, i64)>> {
        Ok(Some(match &self.access {
            Access::Open(stream) => stream.extent()?,
            Access::Closed { options, .. } => open_stream(&self.path, options)?.extent()?,
        }))
    }

    fn read(&self, samples: Range<u64>) -> Result<RawSamples> {
        self.with_stream(samples.end, |stream| self.read_from(stream, samples))
    }

    fn sample_events(&self, sample: u64) -> Option<u64> {
        match self.spans.get(sample as usize) {
            Some(span) => Some(span.end - span.start),
            None => self.events().ok(),
        }
    }

    fn check_in_blocks(&self, _sample: u64, most: u64) -> Result<bool> {
        let checked = |seen: &Seen| seen.checked.as_ref().map(|(_, in_order)| *in_order);
        if !self.spans.is_empty() {
            return Ok(true); // checked, and sorted, before it was cut
        }
        if let Some(in_order) = self.seen.get().and_then(checked) {
            return Ok(in_order);
        }
        self.with_stream(0, |stream| {
            let mut found = vet_in_blocks(stream, most)?;
            found.notes.extend(self.late_notes(stream));
            let (assumed, in_order) = (stream.time.assumed(), found.in_order);
            let Vetted { notes, lasts, wrap, .. } = found;
            let seen = Seen { notes, assumed, lasts, checked: Some((wrap, in_order)) };
            let _ = self.seen.set(seen); // another thread may have done the same
            Ok(in_order)
        })
    }

    fn read_in_blocks(&self, sample: u64, most: u64, take: &mut dyn FnMut(RawSamples) -> Result<()>) -> Result<()> {
        self.with_stream(sample + 1, |stream| {
            let span = self.spans.get(sample as usize);
            self.seen.get_or_init(|| Seen {
                notes: Vec::new(),
                assumed: stream.time.assumed(),
                lasts: None,
                checked: None,
            });
            let wrap = self.seen.get().and_then(|seen| seen.checked.as_ref()).and_then(|(wrap, _)| wrap.as_ref());
            let range = span.map_or(0..stream.len, |span| span.start..span.end);
            let mut zero = span.and_then(|span| span.zero);
            for block in blocks(range, most, stream) {
                let first = block.start;
                let mut block = stream.read(block)?;
                if let Some(wrap) = wrap {
                    wrap.unwrap(first, &mut block.t.us);
                }
                let events = block.t.us.len();
                if span.is_some() {
                    zero = zero.or_else(|| block.t.first(0..events));
                }
                take(block.into_samples(&[events], &[zero]))?;
            }
            Ok(())
        })
    }
}
