//! The steps of an augmentation. Most of them have the name and the parameters of a random transform of Tonic.

use serde::{Deserialize, Serialize};
use tonic_shard::FrameShape;

use crate::augment::draws::Draws;
use crate::augment::events::{Entry, Events};

/// A number that is the same for all samples, or a range from which a number is drawn for each sample.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Amount {
    /// The number for all samples.
    Is(f64),
    /// The range `[min, max]`. The drawn number is at least `min` and less than `max`.
    Between([f64; 2]),
}

impl Amount {
    fn draw(self, draws: &mut Draws) -> f64 {
        match self {
            Amount::Is(number) => number,
            Amount::Between([min, max]) => (max - min) * draws.share() + min,
        }
    }

    fn is_within(self, is_valid: impl Fn(f64) -> bool) -> bool {
        match self {
            Amount::Is(number) => is_valid(number),
            Amount::Between([min, max]) => is_valid(min) && is_valid(max) && min <= max,
        }
    }
}

/// A step of an augmentation. Most steps have the name and the parameters of a transform of Tonic. The README of this
/// crate lists the differences from Tonic. Events that leave the frames are dropped. The number of frames does not
/// change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", deny_unknown_fields)]
pub enum Step {
    /// Drops the share `p` of the events, rounded to whole events.
    DropEvent {
        /// Share of the events.
        p: Amount,
    },
    /// Drops all events of the frames whose middle is in a random time interval.
    DropEventByTime {
        /// Length of the interval, as a share of the time from the start of the sample to the end of its last frame
        /// that has events.
        #[serde(default = "fifth")]
        duration_ratio: Amount,
    },
    /// Drops the events in a random box.
    DropEventByArea {
        /// Width of the box divided by the width of the frame. The height is the same share of the frame's height.
        /// Both are rounded down to whole cells. If the frame has only one row, the height is 1.
        #[serde(default = "fifth")]
        area_ratio: Amount,
    },
    /// Adds single events in random cells of random frames, from the first frame that has events to the last one.
    UniformNoise {
        /// Number of added events.
        n: Amount,
    },
    /// Moves each event by a random distance in x and y, in cells.
    SpatialJitter {
        /// Variance of the distance in x.
        #[serde(default = "one")]
        var_x: f64,
        /// Variance of the distance in y.
        #[serde(default = "one")]
        var_y: f64,
        /// Covariance of the distances in x and y.
        #[serde(default)]
        sigma_xy: f64,
    },
    /// Moves each event by a random time.
    TimeJitter {
        /// Standard deviation of the time, in frames.
        std: f64,
    },
    /// Mirrors the sample in x.
    RandomFlipLR {
        /// Probability that a sample is mirrored.
        #[serde(default = "half")]
        p: f64,
    },
    /// Mirrors the sample in y.
    RandomFlipUD {
        /// Probability that a sample is mirrored.
        #[serde(default = "half")]
        p: f64,
    },
    /// Swaps the two polarities of the sample.
    RandomFlipPolarity {
        /// Probability that the polarities of a sample are swapped.
        #[serde(default = "half")]
        p: f64,
    },
    /// Drops the events outside a random window. The other events keep their cells, and the frame keeps its size.
    RandomCrop {
        /// Width and height of the window, in cells.
        target_size: [u32; 2],
    },
    /// Reverses the order of the frames. The last frame with events becomes the first frame.
    #[serde(alias = "TimeReversal")]
    RandomTimeReversal {
        /// Probability that a sample is reversed.
        #[serde(default = "half")]
        p: f64,
        /// Whether the two polarities are swapped too.
        #[serde(default = "yes")]
        flip_polarities: bool,
    },
    /// Moves all events in x by the same random number of cells. Tonic has no such transform.
    ChannelShift {
        /// Largest number of cells. The events can move to the left or to the right.
        max: u32,
    },
    /// Moves all events in time by the same random number of frames. Tonic has no such transform.
    TimeShift {
        /// Largest number of frames. The events can move to earlier or later frames.
        max: u32,
    },
}

fn one() -> f64 {
    1.0
}

fn half() -> f64 {
    0.5
}

fn yes() -> bool {
    true
}

fn fifth() -> Amount {
    Amount::Is(0.2)
}

impl Step {
    /// Checks that the step can change frames of the shape `shape`. The error is a pair of texts: what was expected,
    /// and what was given.
    pub(super) fn check(&self, shape: FrameShape) -> Result<(), (String, String)> {
        let FrameShape { polarities, height, width } = shape;
        let ensure = |is_valid: bool, expected: &str, got: &dyn std::fmt::Debug| match is_valid {
            true => Ok(()),
            false => Err((expected.into(), format!("{got:?}"))),
        };
        let share = |value: f64| (0.0..=1.0).contains(&value);
        let below_1 = |value: f64| (0.0..1.0).contains(&value);
        let probability = |p: f64| ensure(share(p), "p from 0 to 1", &p);
        match *self {
            Step::DropEvent { p } => ensure(p.is_within(share), "p from 0 to 1", &p),
            Step::DropEventByTime { duration_ratio } => {
                ensure(duration_ratio.is_within(below_1), "duration_ratio from 0 to below 1", &duration_ratio)
            }
            Step::DropEventByArea { area_ratio } => {
                ensure(area_ratio.is_within(below_1), "area_ratio from 0 to below 1", &area_ratio)
            }
            Step::UniformNoise { n } => {
                ensure(n.is_within(|n| (0.0..=1e9).contains(&n)), "n, a number of events from 0 to 10^9", &n)
            }
            Step::SpatialJitter { var_x, var_y, sigma_xy } => {
                let is_valid = var_x >= 0.0 && var_y >= 0.0 && sigma_xy * sigma_xy <= var_x * var_y;
                let is_finite = [var_x, var_y, sigma_xy].iter().all(|value| value.is_finite());
                let expected = "var_x and var_y of at least 0, and a sigma_xy of at most sqrt(var_x * var_y)";
                ensure(is_valid && is_finite, expected, &[var_x, var_y, sigma_xy])
            }
            Step::TimeJitter { std } => ensure(std >= 0.0 && std.is_finite(), "std, a number of frames", &std),
            Step::RandomFlipLR { p } => {
                probability(p)?;
                ensure(width > 1, "frames of more than one column", &width)
            }
            Step::RandomFlipUD { p } => {
                probability(p)?;
                ensure(height > 1, "frames of more than one row", &height)
            }
            Step::RandomFlipPolarity { p } => {
                probability(p)?;
                ensure(polarities == 2, "frames of two polarities", &polarities)
            }
            Step::RandomCrop { target_size } => {
                let [w, h] = target_size;
                let expected = format!("target_size [w, h] from [1, 1] to [{width}, {height}]");
                ensure((1..=width).contains(&w) && (1..=height).contains(&h), &expected, &target_size)
            }
            Step::RandomTimeReversal { p, .. } => probability(p),
            Step::ChannelShift { max } => {
                ensure(max > 0 && max < width, &format!("max from 1 to below {width}, the width of a frame"), &max)
            }
            Step::TimeShift { max } => ensure(max > 0, "max of at least 1 frame", &max),
        }
    }

    pub(super) fn apply(&self, events: &mut Events, draws: &mut Draws) {
        let FrameShape { polarities, height, width } = events.shape;
        let Some([first, last]) = events.span() else { return };
        let flipped = |p: i64| if polarities == 2 { 1 - p } else { p };
        match *self {
            Step::DropEvent { p } => {
                let share = p.draw(draws);
                let dropped = (share * events.total() as f64 + 0.5) as u64;
                events.thin(draws, dropped);
            }
            Step::DropEventByTime { duration_ratio } => {
                let end = f64::from(last) + 1.0;
                let length = duration_ratio.draw(draws) * end;
                let start = draws.share() * (end - length);
                let is_kept = |frame: u32| !(start..start + length).contains(&(f64::from(frame) + 0.5));
                events.entries.retain(|entry| is_kept(entry.frame));
            }
            Step::DropEventByArea { area_ratio } => {
                let ratio = area_ratio.draw(draws);
                let [x, y] = [width, height].map(|size| {
                    // A box in a frame of one row has the whole height.
                    let cut = if size == 1 { 1 } else { (f64::from(size) * ratio) as u32 };
                    let start = draws.below(u64::from(size - cut) + 1) as i64;
                    start..start + i64::from(cut)
                });
                events.move_entries(|frame, at| (!(y.contains(&at[1]) && x.contains(&at[2]))).then_some((frame, at)));
            }
            Step::UniformNoise { n } => {
                let (n, cells) = (n.draw(draws) as u64, events.shape.cells());
                events.entries.extend((0..n).map(|_| {
                    let cell = draws.below(cells) as u32;
                    Entry { frame: first + draws.below(u64::from(last - first) + 1) as u32, cell, count: 1 }
                }));
            }
            Step::SpatialJitter { var_x, var_y, sigma_xy } => {
                // Cholesky's factors of the covariance.
                let along = var_x.sqrt();
                let slope = if along > 0.0 { sigma_xy / along } else { 0.0 };
                let across = (var_y - slope * slope).max(0.0).sqrt();
                let moved = |at: i64, by: f64, size: u32| if size > 1 { (at as f64 + by).trunc() as i64 } else { at };
                events.move_events(draws, |draws, frame, [p, y, x]| {
                    let [a, b] = [draws.normal(), draws.normal()];
                    (frame, [p, moved(y, slope * a + across * b, height), moved(x, along * a, width)])
                });
            }
            Step::TimeJitter { std } => events.move_events(draws, |draws, frame, at| {
                // The time of an event within its frame isn't known. Draw it uniformly.
                let time = frame as f64 + draws.share() + std * draws.normal();
                (time.floor() as i64, at)
            }),
            Step::RandomFlipLR { p } if draws.share() < p => {
                events.move_entries(|frame, [p, y, x]| Some((frame, [p, y, i64::from(width) - 1 - x])));
            }
            Step::RandomFlipUD { p } if draws.share() < p => {
                events.move_entries(|frame, [p, y, x]| Some((frame, [p, i64::from(height) - 1 - y, x])));
            }
            Step::RandomFlipPolarity { p } if draws.share() < p => {
                events.move_entries(|frame, [p, y, x]| Some((frame, [flipped(p), y, x])));
            }
            Step::RandomFlipLR { .. } | Step::RandomFlipUD { .. } | Step::RandomFlipPolarity { .. } => {}
            Step::RandomCrop { target_size: [w, h] } => {
                let [x, y] = [(width, w), (height, h)].map(|(size, target)| {
                    let start = draws.below(u64::from(size - target) + 1) as i64;
                    start..start + i64::from(target)
                });
                events.move_entries(|frame, at| (y.contains(&at[1]) && x.contains(&at[2])).then_some((frame, at)));
            }
            Step::RandomTimeReversal { p, flip_polarities } => {
                if draws.share() < p {
                    events.move_entries(|frame, [p, y, x]| {
                        let p = if flip_polarities { flipped(p) } else { p };
                        Some((i64::from(last) - frame, [p, y, x]))
                    });
                }
            }
            Step::ChannelShift { max } => {
                let by = shift(draws, max);
                events.move_entries(|frame, [p, y, x]| Some((frame, [p, y, x + by])));
            }
            Step::TimeShift { max } => {
                let by = shift(draws, max);
                events.move_entries(|frame, at| Some((frame + by, at)));
            }
        }
    }
}

/// Returns a whole number from `-max` to `max`.
fn shift(draws: &mut Draws, max: u32) -> i64 {
    draws.below(2 * u64::from(max) + 1) as i64 - i64::from(max)
}
