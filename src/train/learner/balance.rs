//! Class sizes of a set, and what follows from them: the score of guessing, balanced class weights, and warnings.

use serde::{Deserialize, Serialize};
use tonic_shard::ShardSet;

use crate::learner::warning::Warning;

/// The user gets a warning if the largest class is more than this many times as large as the smallest class.
const IMBALANCED: u64 = 10;

/// Weights of the classes in the training loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClassWeights {
    /// Every sample has the same weight.
    #[default]
    None,
    /// Every class has the same total weight, as with scikit-learn's `class_weight="balanced"`. A sample of a class
    /// with n samples has the weight N / (classes * n), where N is the number of all samples, and `classes` the number
    /// of classes that have samples. The weight of a class without samples is 0.
    Balanced,
}

impl ClassWeights {
    pub(crate) fn is_none(&self) -> bool {
        *self == ClassWeights::None
    }

    /// Returns the weight of each class, or `None` if every sample has the same weight.
    pub(crate) fn of(self, class_samples: &[u64]) -> Option<Vec<f32>> {
        let classes = class_samples.iter().filter(|&&n| n > 0).count();
        let total: u64 = class_samples.iter().sum();
        // With the weight 0, a class without samples is no target of label smoothing, which uses the weights.
        let weight = |&n: &u64| if n == 0 { 0.0 } else { (total as f64 / (classes as f64 * n as f64)) as f32 };
        match self {
            ClassWeights::None => None,
            ClassWeights::Balanced => Some(class_samples.iter().map(weight).collect()),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct ClassBalance<'a> {
    set: &'a ShardSet,
    samples: &'a [u64],
}

impl ClassBalance<'_> {
    /// Reads the class sizes from the manifest of a set. All samples must have labels.
    pub(crate) fn of(set: &ShardSet) -> ClassBalance<'_> {
        ClassBalance { set, samples: &set.manifest().totals.class_samples }
    }

    /// Returns accuracy and mean cross entropy of a guess that is the same for all samples. The guessed probability
    /// of a class is its share of the samples.
    pub(crate) fn guessing(&self) -> (f64, f64) {
        let total: u64 = self.samples.iter().sum();
        let shares = self.samples.iter().filter(|&&n| n > 0).map(|&n| n as f64 / total as f64);
        (shares.clone().fold(0.0, f64::max), shares.map(|share| -share * share.ln()).sum())
    }

    /// Returns the number of classes that have samples.
    pub(crate) fn present(&self) -> usize {
        self.samples.iter().filter(|&&n| n > 0).count()
    }

    /// Returns a warning if the set has only one class, or if the class sizes are very different.
    pub(crate) fn warnings(&self, weights: ClassWeights) -> Vec<Warning> {
        let weighted = !weights.is_none();
        let name = |class: usize| self.set.manifest().description.classes[class].clone();
        let set = self.set.dir().to_path_buf();
        let present: Vec<(usize, u64)> = self.samples.iter().copied().enumerate().filter(|&(_, n)| n > 0).collect();
        // If several classes have the largest size, this is the first of them: `predicted` also returns the first class
        // of those with the largest logit.
        let largest = present.iter().copied().reduce(|a, b| if b.1 > a.1 { b } else { a });
        let smallest = present.iter().copied().min_by_key(|&(_, n)| n);
        let (Some((largest, most)), Some((smallest, fewest))) = (largest, smallest) else { return Vec::new() };
        if present.len() == 1 {
            return vec![Warning::OneClass { set, class: name(largest) }];
        }
        let (share, even) = (self.guessing().0, 1.0 / present.len() as f64);
        if most <= fewest.saturating_mul(IMBALANCED) && share <= (1.0 + even) / 2.0 {
            return Vec::new();
        }
        vec![Warning::Imbalanced {
            set,
            largest: name(largest),
            most,
            smallest: name(smallest),
            fewest,
            share,
            weighted,
        }]
    }

    /// Returns the [`warnings`](Self::warnings), and warnings about classes without samples and sets without events.
    pub(crate) fn training_warnings(&self, weights: ClassWeights) -> Vec<Warning> {
        let names = self.set.manifest().description.classes.iter();
        let missing: Vec<String> =
            names.zip(self.samples).filter(|&(_, &n)| n == 0).map(|(name, _)| name.clone()).collect();
        let mut warnings = self.warnings(weights);
        if self.set.manifest().totals.entries == 0 {
            warnings.push(Warning::NoEvents { set: self.set.dir().to_path_buf() });
        }
        if !missing.is_empty() {
            warnings.push(Warning::MissingClasses { set: self.set.dir().to_path_buf(), classes: missing });
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::ClassWeights;

    /// Compares with the weights of scikit-learn's `compute_class_weight("balanced", classes=np.unique(y), y=y)`.
    #[test]
    fn balanced_weights_are_scikit_learns() {
        assert_eq!(ClassWeights::None.of(&[3, 1]), None);
        assert_eq!(ClassWeights::Balanced.of(&[6, 3, 3]), Some(vec![12.0 / 18.0, 12.0 / 9.0, 12.0 / 9.0]));
        assert_eq!(ClassWeights::Balanced.of(&[95, 5]), Some(vec![100.0 / 190.0, 10.0]));
        assert_eq!(ClassWeights::Balanced.of(&[6, 0, 2]), Some(vec![8.0 / 12.0, 0.0, 2.0]));
    }
}
