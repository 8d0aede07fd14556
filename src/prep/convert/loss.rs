//! Counts which step of a conversion lost which events: bad times, the sensor's bounds, each transform, the slicing
//! into frames.
//!
//! The ledger of a sample has a column for each kind of loss, and several steps may share one: CropTime and CenterCrop
//! both count in `cropped`. While samples are converted, the steps are counted exactly. Of the samples that a resumed
//! conversion finds complete, only the ledgers are known; where these leave it open, the sample has to be read again.

use tonic_shard::Ledger;

use crate::recipe::Recipe;
use crate::transform::Transform;

/// Where a sample can lose events, in the order in which it passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Events without a valid time.
    Times,
    /// Events outside the sensor.
    Sensor,
    /// The recipe's transform of this index.
    Transform(usize),
    /// The slicing into frames.
    Slicing,
}

/// The columns of a ledger that count lost events.
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

    /// The column in which a transform counts, if it can lose events.
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

/// What one step lost.
#[derive(Clone, Debug)]
pub(super) struct StepLoss {
    /// The step.
    pub step: Step,
    column: Option<Column>,
    /// Whether the recipe asks for this loss, as Denoise and CenterCrop do.
    pub intended: bool,
    /// Number of events.
    pub lost: u64,
    /// Number of samples whose last events this step lost.
    pub emptied: u64,
    /// The first of these samples.
    pub first_emptied: Option<u64>,
    /// The most events that a sample lost here, and the first such sample.
    worst: (u64, u64),
}

impl StepLoss {
    /// The first of the samples that lost most events here.
    pub(super) fn worst_sample(&self) -> u64 {
        self.worst.1
    }
}

/// What each step lost of the samples counted so far.
#[derive(Clone, Debug)]
pub(super) struct Losses {
    /// Number of events that came in, as in the ledger.
    pub events: u64,
    steps: Vec<StepLoss>,
    /// Samples of which the ledger alone does not tell which step lost what.
    unclear: Vec<(u64, Ledger)>,
}

impl Losses {
    /// Counts nothing yet, for a recipe.
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

    /// All steps, in order.
    pub(super) fn steps(&self) -> &[StepLoss] {
        &self.steps
    }

    /// Adds a sample: its number in the set, its ledger, and how many events each step lost.
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

    /// Adds a sample of which only the ledger is known.
    pub(super) fn add_ledger(&mut self, sample: u64, ledger: &Ledger) {
        match self.lost_of(ledger) {
            Some(lost) => self.add(sample, ledger, &lost),
            None => self.unclear.push((sample, *ledger)),
        }
    }

    /// Number of events that each step lost; `None` if the ledger doesn't show it.
    fn lost_of(&self, ledger: &Ledger) -> Option<Vec<u64>> {
        let mut lost = vec![0; self.steps.len()];
        for column in Column::ALL.into_iter().filter(|column| column.count(ledger) > 0) {
            let mut candidates = (0..lost.len()).filter(|&i| self.steps[i].column == Some(column));
            lost[candidates.next().filter(|_| candidates.next().is_none())?] = column.count(ledger);
        }
        Some(lost)
    }

    /// Takes the samples that have to be read again, with their ledgers.
    pub(super) fn take_unclear(&mut self) -> Vec<(u64, Ledger)> {
        std::mem::take(&mut self.unclear)
    }

    /// Adds the counts of other samples of the same recipe, which may have any numbers.
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

    /// Number of events that steps lost without the recipe's asking for it.
    pub(super) fn lost(&self) -> u64 {
        self.steps.iter().filter(|step| !step.intended).map(|step| step.lost).sum()
    }

    /// The share of all events, 0 to 1, that [`Losses::lost`] is.
    pub(super) fn share(&self) -> f64 {
        self.share_of(self.lost())
    }

    /// The share of all events, 0 to 1, that `events` are.
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
