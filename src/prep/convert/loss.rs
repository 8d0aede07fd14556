//! Counts how many events each step of a conversion lost.
//!
//! Several steps can count in the same column of a sample's ledger: CropTime and CenterCrop both count in `cropped`. A
//! resumed conversion knows only the ledgers of finished samples. If a ledger doesn't show which step lost the events,
//! the conversion reads the sample again.

use tonic_shard::Ledger;

use crate::recipe::Recipe;
use crate::transform::Transform;

/// A step in which a sample can lose events. The variants are in the order in which a sample passes the steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Reading the times. Loses events without a valid time.
    Times,
    /// Checking the sensor's bounds. Loses events outside the sensor.
    Sensor,
    /// The transform with this index in the recipe.
    Transform(usize),
    /// Slicing into frames. Loses events outside every frame.
    Slicing,
}

/// A column of a ledger that counts lost events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Cropped,
    Filtered,
    Outside,
    NonFinite,
    Cut,
}

impl Column {
    const ALL: [Column; 5] = [Column::Cropped, Column::Filtered, Column::Outside, Column::NonFinite, Column::Cut];

    /// Column in which a transform counts lost events. `None` if the transform never loses events.
    fn of(transform: &Transform) -> Option<Column> {
        match transform {
            Transform::CenterCrop(_) | Transform::CropTime(_) => Some(Column::Cropped),
            Transform::Decimation(_)
            | Transform::Denoise(_)
            | Transform::DropPixel(_)
            | Transform::EventDownsampling(_)
            | Transform::RefractoryPeriod(_) => Some(Column::Filtered),
            Transform::Downsample(_) | Transform::TimeAlignment(_) | Transform::TimeSkew(_) => Some(Column::NonFinite),
            Transform::MergePolarities(_) => None,
        }
    }

    fn count(self, ledger: &Ledger) -> u64 {
        match self {
            Column::Cropped => ledger.cropped,
            Column::Filtered => ledger.filtered,
            Column::Outside => ledger.outside,
            Column::NonFinite => ledger.non_finite,
            Column::Cut => ledger.cut,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct StepLoss {
    pub step: Step,
    column: Option<Column>,
    /// Whether the recipe asks for this loss. For example, Denoise and CenterCrop drop events on purpose.
    pub intended: bool,
    pub lost: u64,
    /// Number of samples that had events before this step and none after it.
    pub emptied: u64,
    /// Index in the set of the first sample that had events before this step and none after it.
    pub first_emptied: Option<u64>,
    /// Largest number of events that a sample lost in this step, and the index of this sample in the set.
    worst: (u64, u64),
}

impl StepLoss {
    /// Index in the set of the sample that lost the most events in this step. If there are several such samples, the
    /// first one.
    pub(super) fn worst_sample(&self) -> u64 {
        self.worst.1
    }
}

/// The events that each step of a conversion lost, summed over the samples that were added.
#[derive(Clone, Debug)]
pub(super) struct Losses {
    /// Sum of `events_in` in the ledgers of the added samples.
    pub events: u64,
    steps: Vec<StepLoss>,
    /// Samples whose ledgers don't show which step lost the events: index in the set, and ledger.
    unclear: Vec<(u64, Ledger)>,
}

impl Losses {
    pub(super) fn new(recipe: &Recipe) -> Losses {
        let step = |step, column, intended| StepLoss {
            step,
            column,
            intended,
            lost: 0,
            emptied: 0,
            first_emptied: None,
            worst: (0, 0),
        };
        let mut steps =
            vec![step(Step::Times, Some(Column::NonFinite), false), step(Step::Sensor, Some(Column::Outside), false)];
        steps.extend(recipe.transforms.iter().enumerate().map(|(i, transform)| {
            let column = Column::of(transform);
            let intended = column == Some(Column::Filtered) || matches!(transform, Transform::CenterCrop(_));
            step(Step::Transform(i), column, intended)
        }));
        steps.push(step(Step::Slicing, Some(Column::Cut), false));
        Losses { events: 0, steps, unclear: Vec::new() }
    }

    pub(super) fn steps(&self) -> &[StepLoss] {
        &self.steps
    }

    /// Adds the losses of a sample. `sample` is its index in the set. `lost` has the number of lost events per step.
    pub(super) fn add(&mut self, sample: u64, ledger: &Ledger, lost: &[u64]) {
        self.events += ledger.events_in;
        for (step, &lost) in self.steps.iter_mut().zip(lost) {
            step.lost += lost;
            if lost > step.worst.0 {
                step.worst = (lost, sample);
            }
        }
        let last = lost.iter().rposition(|&lost| lost > 0).filter(|_| ledger.binned == 0);
        if let Some(step) = last.map(|last| &mut self.steps[last]) {
            step.emptied += 1;
            step.first_emptied.get_or_insert(sample);
        }
    }

    /// Adds the losses that a sample's ledger shows. If the ledger doesn't show which step lost the events, keeps the
    /// sample for [`Losses::take_unclear`].
    pub(super) fn add_ledger(&mut self, sample: u64, ledger: &Ledger) {
        match self.lost_of(ledger) {
            Some(lost) => self.add(sample, ledger, &lost),
            None => self.unclear.push((sample, *ledger)),
        }
    }

    /// Returns the number of events that each step lost. `None` if the ledger doesn't show it, because several steps
    /// count in the same column.
    fn lost_of(&self, ledger: &Ledger) -> Option<Vec<u64>> {
        let mut lost = vec![0; self.steps.len()];
        for column in Column::ALL.into_iter().filter(|column| column.count(ledger) > 0) {
            let mut candidates = (0..lost.len()).filter(|&i| self.steps[i].column == Some(column));
            lost[candidates.next().filter(|_| candidates.next().is_none())?] = column.count(ledger);
        }
        Some(lost)
    }

    /// Removes and returns the samples that must be read again: index in the set, and ledger.
    pub(super) fn take_unclear(&mut self) -> Vec<(u64, Ledger)> {
        std::mem::take(&mut self.unclear)
    }

    /// Adds the losses of other samples with the same recipe.
    pub(super) fn merge(&mut self, other: Losses) {
        self.events += other.events;
        self.unclear.extend(other.unclear);
        for (mine, theirs) in self.steps.iter_mut().zip(other.steps) {
            mine.lost += theirs.lost;
            mine.emptied += theirs.emptied;
            mine.first_emptied = mine.first_emptied.into_iter().chain(theirs.first_emptied).min();
            let earlier = theirs.worst.0 == mine.worst.0 && theirs.worst.1 < mine.worst.1;
            if theirs.worst.0 > mine.worst.0 || earlier {
                mine.worst = theirs.worst;
            }
        }
    }

    /// Number of events lost by steps whose loss is not [`intended`](StepLoss::intended).
    pub(super) fn lost(&self) -> u64 {
        self.steps.iter().filter(|step| !step.intended).map(|step| step.lost).sum()
    }

    /// [`Losses::lost`] as a share of [`Losses::events`], 0 to 1.
    pub(super) fn share(&self) -> f64 {
        self.share_of(self.lost())
    }

    /// The number `events` as a share of [`Losses::events`], 0 to 1.
    pub(super) fn share_of(&self, events: u64) -> f64 {
        events as f64 / self.events.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(steps: &str) -> Recipe {
        Recipe::parse(None, &format!("{steps}\n[frames]\ntime_window = 10")).unwrap()
    }

    fn ledger(lost: [u64; 5], binned: u64) -> Ledger {
        let [cropped, filtered, outside, non_finite, cut] = lost;
        let events_in = lost.iter().sum::<u64>() + binned;
        Ledger { events_in, binned, cropped, filtered, outside, non_finite, cut }
    }

    #[test]
    fn a_ledger_is_divided_where_it_leaves_no_choice() {
        let crop = "[[transform]]\nname = \"CropTime\"\nmax = 5";
        let centre = "[[transform]]\nname = \"CenterCrop\"\nsize = 4";
        let denoise = "[[transform]]\nname = \"Denoise\"\nfilter_time = 4";
        let skew = "[[transform]]\nname = \"TimeSkew\"\ncoefficient = 2";
        let of = |steps: &[&str], lost| Losses::new(&recipe(&steps.join("\n"))).lost_of(&ledger(lost, 1));
        assert_eq!(of(&[crop, denoise], [3, 4, 5, 6, 7]), Some(vec![6, 5, 3, 4, 7]));
        assert_eq!(of(&[crop, centre], [3, 0, 0, 0, 7]), None, "both crop");
        assert_eq!(of(&[crop, centre], [0, 0, 2, 1, 7]), Some(vec![1, 2, 0, 0, 7]));
        assert_eq!(of(&[skew], [0, 0, 2, 1, 0]), None, "read or skewed");
        assert_eq!(of(&[skew], [0, 0, 2, 0, 0]), Some(vec![0, 2, 0, 0]));
        assert_eq!(of(&[], [3, 0, 0, 0, 0]), None, "nothing here crops");
    }

    #[test]
    fn the_same_counts_in_any_order() {
        let recipe = recipe("[[transform]]\nname = \"CropTime\"\nmax = 5");
        let samples = [
            (ledger([3, 0, 0, 0, 0], 5), [0, 0, 3, 0]),
            (ledger([3, 0, 0, 1, 0], 0), [1, 0, 3, 0]),
            (ledger([9, 0, 0, 0, 2], 0), [0, 0, 9, 2]),
            (ledger([9, 0, 0, 0, 1], 1), [0, 0, 9, 1]),
            (Ledger::default(), [0; 4]),
        ];
        let count = |order: [usize; 5]| {
            let mut all = Losses::new(&recipe);
            for i in order {
                let mut one = Losses::new(&recipe);
                one.add(i as u64, &samples[i].0, &samples[i].1);
                all.merge(one);
            }
            all
        };
        for losses in [count([0, 1, 2, 3, 4]), count([4, 3, 2, 1, 0])] {
            assert_eq!((losses.events, losses.lost(), losses.share()), (34, 28, 28.0 / 34.0));
            let steps = losses.steps().iter();
            let facts: Vec<_> = steps.map(|s| (s.lost, s.emptied, s.first_emptied, s.worst_sample())).collect();
            assert_eq!(facts, [(1, 0, None, 1), (0, 0, None, 0), (24, 1, Some(1), 2), (3, 1, Some(2), 2)]);
        }
    }
}
