//! Divides samples at random into parts, such as train, valid and test.
//!
//! The random order depends only on the seed and on the samples' indices or their values in an extra column. So sets
//! of the same recordings are divided into the same parts, even if their recipes differ.

use std::collections::BTreeMap;

use crate::error::{BaseFault, Error, Result};

/// A sample that is to be put into a part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    /// Index of the sample in the set.
    pub(crate) sample: u64,
    pub(crate) label: u32,
    /// Value of the sample in the extra column [`Split::by`]; 0 without such a column.
    pub(crate) by: i64,
}

/// How samples are divided into parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// Share of each part. If the sum is below 1, the remaining samples are in no part.
    shares: Vec<f64>,
    names: Vec<String>,
    /// Seed of the random order of the samples.
    seed: u64,
    /// Name of an extra column: samples with equal values in it stay together.
    pub(crate) by: Option<String>,
    /// Whether each class is divided by the shares separately.
    stratify: bool,
}

impl Split {
    /// Creates a split into parts with these shares and names.
    ///
    /// # Errors
    /// [`tonic_base::Error::Usage`] in these cases:
    ///
    /// - There are no shares, or a share is not above 0.
    /// - The sum of the shares is above 1.
    /// - A name is repeated, or cannot be the name of a folder.
    /// - There are more names than shares, or fewer.
    pub fn new(shares: Vec<f64>, names: Vec<String>, seed: u64) -> Result<Split> {
        let sum: f64 = shares.iter().sum();
        if shares.is_empty() || !shares.iter().all(|share| *share > 0.0) || sum.is_nan() || sum > 1.0 + 1e-9 {
            let expected = "shares above 0 that add up to 1 at most, such as 0.8,0.1,0.1";
            return Err(Error::usage("split", expected, format!("{shares:?}")));
        }
        let folder = |name: &String| !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0']);
        let twice = names.iter().enumerate().any(|(i, name)| names[..i].contains(name));
        if names.len() != shares.len() || twice || !names.iter().all(folder) {
            let expected = format!("{} different names of folders, such as train,valid,test", shares.len());
            return Err(Error::usage("into", expected, names.join(",")));
        }
        Ok(Split { shares, names, seed, by: None, stratify: false })
    }

    /// If `together` is given, it is the name of an extra column: samples with equal values in this column get into the
    /// same part. If `classes` is true, each class is divided by the shares separately. `classes` has no effect if
    /// `together` is given.
    pub fn keeping(self, together: Option<String>, classes: bool) -> Split {
        Split { by: together, stratify: classes, ..self }
    }

    /// Divides the samples. Returns the name and the samples of each part, or an error if a part gets no samples.
    pub(crate) fn divide(&self, taken: &[Candidate]) -> Result<Vec<(&str, Vec<Candidate>)>> {
        let mut parts: Vec<Vec<usize>> = vec![Vec::new(); self.shares.len()];
        if self.by.is_some() {
            self.divide_groups(taken, &mut parts);
        } else {
            let mut strata: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
            for (i, sample) in taken.iter().enumerate() {
                strata.entry(if self.stratify { sample.label } else { 0 }).or_default().push(i);
            }
            for mut stratum in strata.into_values() {
                stratum.sort_by_cached_key(|&i| self.draw(taken[i].sample));
                let borders = self.borders(stratum.len() as f64);
                for (part, border) in parts.iter_mut().zip(borders.windows(2)) {
                    part.extend(&stratum[border[0].round() as usize..border[1].round() as usize]);
                }
            }
        }
        let named = self.names.iter().zip(parts);
        named
            .map(|(name, mut part)| {
                part.sort_unstable();
                if part.is_empty() {
                    let expected = "shares that leave no part without samples";
                    return Err(Error::usage("split", expected, format!("none for {name}")));
                }
                Ok((name.as_str(), part.into_iter().map(|i| taken[i]).collect()))
            })
            .collect()
    }

    /// Divides groups of samples that have equal values in the column [`Split::by`]. If a group lies across the border
    /// of two parts, the whole group goes to the part that contains its middle.
    fn divide_groups(&self, taken: &[Candidate], parts: &mut [Vec<usize>]) {
        let mut groups: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        for (i, sample) in taken.iter().enumerate() {
            groups.entry(sample.by).or_default().push(i);
        }
        let mut groups: Vec<(i64, Vec<usize>)> = groups.into_iter().collect();
        groups.sort_by_cached_key(|(value, _)| self.draw(*value as u64));
        let borders = self.borders(taken.len() as f64);
        let mut before = 0.0;
        for (_, group) in groups {
            let middle = before + group.len() as f64 / 2.0;
            before += group.len() as f64;
            if let Some(part) = borders[1..].iter().position(|&border| middle < border) {
                parts[part].extend(group);
            }
        }
    }

    /// Returns the borders of the parts in a list of `n` samples: the start of each part, and the end of the last part.
    /// Borders can be fractions.
    fn borders(&self, n: f64) -> Vec<f64> {
        let mut sum = 0.0;
        let ends = self.shares.iter().map(|share| {
            sum += share;
            if sum > 1.0 - 1e-9 { n } else { sum * n }
        });
        std::iter::once(0.0).chain(ends).collect()
    }

    /// Returns a random number that depends only on the seed and on `of`. `of` is a sample's index, or a value in the
    /// column [`Split::by`].
    fn draw(&self, of: u64) -> u64 {
        let mut hash = blake3::Hasher::new();
        hash.update(b"tonic-shards split 1\0").update(&self.seed.to_le_bytes()).update(&of.to_le_bytes());
        hash.finalize().as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}
