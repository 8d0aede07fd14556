//! A set's statistics as a page of plots.

use super::stats::{Spread, Stats};
use crate::error::Result;
use crate::plot::{Panel, PanelKind, Picture, page};

/// Bins of the histograms.
const BINS: u64 = 40;
/// The most bars of a plot by channel; neighbours share one beyond that.
const CHANNEL_BARS: usize = 240;
/// The most polarities that have a plot of their own.
const POLARITIES: usize = 4;

impl Stats {
    /// Class balance, events and frames a sample, and rates by channel: of a camera, a map a polarity.
    ///
    /// # Errors
    /// [`crate::error::Error::Plot`].
    pub fn page(&self, title: &str) -> Result<Picture> {
        let histogram = |spread: &Spread, axis: &str| PanelKind::Histogram(spread.histogram(BINS), axis.into());
        let classes = self.classes.iter().map(|(name, n)| (name.clone(), *n as f64)).collect();
        let mut panels = vec![
            Panel { title: "samples of each class".into(), kind: PanelKind::Bars(classes) },
            Panel { title: "events a sample".into(), kind: histogram(&self.events, "events") },
            Panel { title: "frames a sample".into(), kind: histogram(&self.frames, "frames") },
        ];
        let (width, height) = (self.shape.width as usize, self.shape.height as usize);
        let plane = (width * height).max(1);
        for (p, values) in self.rates.chunks(plane).enumerate().take(POLARITIES) {
            let polarity = if self.shape.polarities > 1 { format!(", polarity {p}") } else { String::new() };
            panels.push(if height == 1 {
                let (title, kind) = (format!("rate by channel{polarity} ({})", self.rate_unit), channels(values));
                Panel { title, kind }
            } else {
                let (values, unit) = (values.to_vec(), self.rate_unit.to_string());
                Panel { title: format!("rate by pixel{polarity}"), kind: PanelKind::Heat { width, values, unit } }
            });
        }
        page(title, &panels)
    }
}

fn channels(values: &[f64]) -> PanelKind {
    let share = values.len().div_ceil(CHANNEL_BARS).max(1);
    let bins = values.chunks(share).enumerate().map(|(i, part)| {
        let from = (i * share) as f64;
        (from, from + part.len() as f64, part.iter().sum::<f64>() / part.len() as f64)
    });
    PanelKind::Histogram(bins.collect(), "channel".into())
}
