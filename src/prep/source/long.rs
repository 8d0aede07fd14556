//! A file that holds one recording, read as one sample or as many.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::cut::{Pieces, Span};
use super::numbers::Block;
use super::raw::RawSamples;
use super::stream::Stream;
use super::{MAX_SAMPLE_EVENTS, SourceOptions};
use crate::error::{Error, Result};

/// Samples that are read together may have so many events between them that none needs.
const MAX_WASTE: u64 = 1 << 16;
/// Samples that are read together have at most so many events, unless one alone has more.
const MAX_TOGETHER: u64 = 1 << 22;

/// A recording and its samples.
#[derive(Debug)]
pub struct Long {
    path: PathBuf,
    stream: Source,
    /// None for a recording that is one sample and not open.
    spans: Vec<Span>,
    reordered: Vec<bool>,
}

/// Where a recording's events come from.
#[derive(Debug)]
enum Source {
    /// It stays open.
    Open(Box<Stream>),
    /// One of many: it is opened when it is read.
    Closed(std::sync::Arc<SourceOptions>),
}

impl Long {
    /// A recording that stays open.
    pub fn open(stream: Stream, pieces: Pieces) -> Long {
        Long {
            path: stream.path.clone(),
            stream: Source::Open(Box::new(stream)),
            spans: pieces.spans,
            reordered: pieces.reordered,
        }
    }

    /// A recording that is opened when it is read: the samples that it was cut into, or one sample. The layout of
    /// `options` is the recording's.
    pub fn closed(path: &Path, options: std::sync::Arc<SourceOptions>, pieces: Pieces) -> Long {
        Long { path: path.into(), stream: Source::Closed(options), spans: pieces.spans, reordered: pieces.reordered }
    }

    /// Whether a sample's events had another order in the file.
    pub fn reordered(&self, sample: u64) -> bool {
        self.reordered.get(sample as usize).copied().unwrap_or(false)
    }

    /// How many of the samples from `first` on are read together, at least one and at most `most`.
    pub fn together(&self, first: u64, most: u64) -> u64 {
        let spans = self.spans.iter().skip(first as usize).take(most as usize);
        let mut events = 0;
        let fitting = spans.take_while(|span| {
            events += span.end - span.start;
            events <= MAX_TOGETHER
        });
        (fitting.count() as u64).max(1)
    }

    /// The largest x and y.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn extent(&self) -> Result<(i64, i64)> {
        match &self.stream {
            Source::Open(stream) => stream.extent(),
            Source::Closed(options) => super::open_stream(&self.path, options)?.extent(),
        }
    }

    /// Reads samples.
    ///
    /// # Errors
    /// Those of the stream; [`Error::BadSample`] for one of too many events.
    pub fn read(&self, samples: Range<u64>) -> Result<RawSamples> {
        match &self.stream {
            Source::Open(stream) => self.read_from(stream, samples),
            Source::Closed(options) => {
                let mut stream = super::open_stream(&self.path, options)?;
                if !self.reordered.is_empty() {
                    stream.sort()?;
                }
                self.read_from(&stream, samples)
            }
        }
    }

    fn read_from(&self, stream: &Stream, samples: Range<u64>) -> Result<RawSamples> {
        let whole = [Span { start: 0, end: stream.len, origin: None }];
        let cut = !self.spans.is_empty();
        let spans = if cut { &self.spans[samples.start as usize..samples.end as usize] } else { &whole[..] };
        for (i, span) in spans.iter().enumerate() {
            if span.end - span.start > MAX_SAMPLE_EVENTS {
                return Err(Error::BadSample {
                    path: self.path.clone(),
                    sample: samples.start + i as u64,
                    what: "events".into(),
                    expected: format!(
                        "at most {MAX_SAMPLE_EVENTS} (cut the recording, with --sample-duration or --sample-events)"
                    ),
                    got: (span.end - span.start).to_string(),
                });
            }
        }
        let first = spans.iter().map(|span| span.start).min().unwrap_or(0);
        let last = spans.iter().map(|span| span.end).max().unwrap_or(0).max(first);
        let lengths: Vec<usize> = spans.iter().map(|span| (span.end - span.start) as usize).collect();
        let events = lengths.iter().sum::<usize>() as u64;
        let block = if last - first <= events + MAX_WASTE {
            let block = stream.read(first..last)?;
            let tiled = spans.windows(2).all(|pair| pair[0].end == pair[1].start);
            if tiled {
                block
            } else {
                block.pick(spans.iter().flat_map(|span| (span.start - first) as usize..(span.end - first) as usize))
            }
        } else {
            let blocks = spans.iter().map(|span| stream.read(span.start..span.end)).collect::<Result<Vec<_>>>()?;
            Block::concatenate(blocks)
        };
        let mut start = 0;
        let origins: Vec<Option<i64>> = spans
            .iter()
            .zip(&lengths)
            .map(|(span, length)| {
                let first = block.t.first(start..start + length);
                start += length;
                if cut { span.origin.or(first) } else { None }
            })
            .collect();
        Ok(block.into_samples(&lengths, &origins))
    }
}
