//! Draws the statistics of a set as a page of plots.

use tonic_report::{Panel, PanelKind, Picture, page};

use crate::error::Result;
use crate::stats::{Distribution, Stats};

const BINS: u64 = 40;
/// Maximum number of bars in the plot of rates by channel. With more channels, neighbouring channels share a bar.
const CHANNEL_BARS: usize = 240;
/// Maximum number of polarities whose rates are plotted.
const POLARITIES: usize = 4;

impl Stats {
    /// Draws plots of the samples per class, the events and frames per sample, and the rates.
    ///
    /// # Errors
    /// [`tonic_report::Error::Plot`].
    pub fn page(&self, title: &str) -> Result<Picture> {
        let histogram = |spread: &Distribution, axis: &str| PanelKind::Histogram(spread.histogram(BINS), axis.into());
        let classes = self.classes.iter().map(|(name, n)| (name.clone(), *n as f64)).collect();
        let mut panels = vec![
            Panel { title: "samples of each class".into(), kind: PanelKind::Bars(classes) },
            Panel { title: "events a sample".into(), kind: histogram(&self.events, "events") },
            Panel { title: "frames a sample".into(), kind: histogram(&self.frames, "frames") },
        ];
        let (width, height) = (self.shape.width as usize, self.shape.height);
        for (p, rates) in self.rates.outer_iter().enumerate().take(POLARITIES) {
            let values = rates.iter().copied().collect::<Vec<_>>();
            let polarity = if self.shape.polarities > 1 { format!(", polarity {p}") } else { String::new() };
            panels.push(if height == 1 {
                let (title, kind) = (format!("rate by channel{polarity} ({})", self.rate_unit), channels(&values));
                Panel { title, kind }
            } else {
                let unit = self.rate_unit.to_string();
                Panel { title: format!("rate by pixel{polarity}"), kind: PanelKind::Heat { width, values, unit } }
            });
        }
        Ok(page(title, &panels)?)
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
