//! The group of processes that train together, and what they tell each other.

use std::ops::Range;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tonic_base::{BaseFault, Error, Result};

use crate::launcher::Launch;
use crate::place::{Number, Place, Silence, Traffic};
#[cfg(feature = "mpi")]
use crate::world;

/// Divides `parts` parts among `size` ranks, as [`Ranks::own`]. Returns the parts of a rank.
pub fn own(parts: usize, rank: usize, size: usize) -> Range<usize> {
    let before = |rank: usize| parts / size * rank + rank.min(parts % size);
    before(rank)..before(rank + 1)
}

/// Number of values in a segment: 64 KiB of float32. A multiple of the width of every SIMD vector, so that a segment
/// contains whole vectors.
const SEGMENT: usize = 1 << 14;

/// The processes that train together, and the place of this process among them.
#[derive(Clone, Copy, Debug)]
pub struct Ranks(Place);

impl Ranks {
    /// A process that trains alone.
    pub fn solo() -> Ranks {
        Ranks(Place { rank: 0, size: 1, local_rank: 0, local_size: 1, patience: Duration::MAX, report: |_| 1 })
    }

    /// Joins the processes that a launcher started together with this one. Without a launcher, returns
    /// [`Ranks::solo`] and doesn't touch MPI.
    ///
    /// Afterwards, a panic ends all processes, and requests to stop are held back
    /// ([`interrupt::hold`](tonic_base::interrupt::hold)). If a rank doesn't answer for `patience`, one of the other
    /// ranks calls `report`, and all processes end with the exit code that `report` returns.
    ///
    /// # Errors
    /// [`Unavailable`](Error::Unavailable) if a launcher started several processes, but this build has no MPI, or an
    /// MPI that the launcher doesn't serve.
    pub fn join(patience: Duration, report: fn(&Silence) -> u8) -> Result<Ranks> {
        let Some(launch) = Launch::of_process() else { return Ok(Ranks::solo()) };
        let Launch { size, variable } = launch;
        #[cfg(feature = "mpi")]
        {
            let (rank, joined) = world::join();
            if joined != size {
                let why = format!(
                    "a launcher started {size} processes ({variable}), but MPI joins {joined}: use the mpirun of the \
                     MPI that this program was built with, or srun --mpi=pmix"
                );
                return Err(Error::unavailable("training on several ranks", why));
            }
            let mut ranks = Ranks(Place { rank, size, local_rank: 0, local_size: 1, patience, report });
            let machines = ranks.gather(&world::machine());
            let here = |some: &[String]| some.iter().filter(|&machine| *machine == machines[rank]).count();
            (ranks.0.local_rank, ranks.0.local_size) = (here(&machines[..rank]), here(&machines));
            Ok(ranks)
        }
        #[cfg(not(feature = "mpi"))]
        {
            let _ = (patience, report);
            let why = format!(
                "a launcher started {size} processes ({variable}), but this program is built without MPI: \
                 scripts/setup --cluster, then cargo build --release --features train,mpi"
            );
            Err(Error::unavailable("training on several ranks", why))
        }
    }

    /// Number of this process, from 0.
    pub fn rank(&self) -> usize {
        self.0.rank
    }

    /// Number of processes.
    pub fn size(&self) -> usize {
        self.0.size
    }

    /// Whether this is rank 0, which writes the files and talks to the user.
    pub fn is_root(&self) -> bool {
        self.0.rank == 0
    }

    /// Whether this process trains alone.
    pub fn is_solo(&self) -> bool {
        self.0.size == 1
    }

    /// Hands `values` from rank to rank. Each rank calls `own` with the result of the rank before, and `own` changes
    /// it, for example by adding the rank's own values. On rank 0, `own` gets the `values` of rank 0. Afterwards,
    /// `values` has, on every rank, the result of the last rank. All ranks must make their calls of this function in
    /// the same order, with the same number of values.
    ///
    /// `own` is called for segments of the values, in order. Its first argument is the range of the segment. Segments
    /// begin at multiples of 16,384.
    ///
    /// If a rank is lost, this function doesn't return: the process ends.
    pub fn fold<T: Number>(&self, values: &mut [T], own: impl FnMut(Range<usize>, &mut [T])) {
        self.hand_on(values, SEGMENT, own);
    }

    /// Like [`Ranks::fold`], for few values: calls `own` once, with all of them.
    pub fn fold_all<T: Number>(&self, values: &mut [T], own: impl FnOnce(&mut [T])) {
        let len = values.len();
        self.hand_on(values, len, {
            let mut own = Some(own);
            move |_, values| own.take().into_iter().for_each(|own| own(values))
        });
    }

    /// Like [`Ranks::fold_all`], for an array. Returns the result.
    pub fn fold_array<T: Number, const N: usize>(&self, mut values: [T; N], own: impl FnOnce(&mut [T; N])) -> [T; N] {
        self.fold_all(&mut values, |values| {
            if let Ok(values) = values.try_into() {
                own(values);
            }
        });
        values
    }

    /// Does the work of [`Ranks::fold`], in segments of `segment` values.
    fn hand_on<T: Number>(&self, values: &mut [T], segment: usize, mut own: impl FnMut(Range<usize>, &mut [T])) {
        #[cfg(feature = "mpi")]
        if !self.is_solo() && !values.is_empty() {
            return world::fold(&self.0, values, segment, own);
        }
        let _ = segment;
        own(0..values.len(), values);
    }

    /// Copies the values of rank 0 to all ranks.
    pub fn copy_from_root<T: Number>(&self, values: &mut [T]) {
        if !self.is_solo() {
            self.fold(values, |_, _| ());
        }
    }

    /// Returns the value of rank 0 on all ranks. `value` is `Some` on rank 0.
    ///
    /// # Panics
    /// If rank 0 has no value, or if the value cannot be written as JSON and read again.
    pub fn from_root<V: Serialize + DeserializeOwned>(&self, value: Option<V>) -> V {
        if self.is_solo() {
            return value.expect("the value of rank 0");
        }
        let own = value.map(|value| serde_json::to_vec(&value).expect("a value that is JSON"));
        let mut len = [own.as_ref().map_or(0, |bytes| bytes.len() as u64)];
        self.copy_from_root(&mut len);
        let mut bytes = own.unwrap_or_else(|| vec![0; len[0] as usize]);
        self.copy_from_root(&mut bytes);
        serde_json::from_slice(&bytes).expect("the value of rank 0")
    }

    /// Returns the values of all ranks, in the order of the ranks.
    ///
    /// # Panics
    /// If a value cannot be written as JSON and read again.
    pub fn gather<V: Serialize + DeserializeOwned>(&self, value: &V) -> Vec<V> {
        let own = serde_json::to_vec(value).expect("a value that is JSON");
        let mut lens = vec![0_u64; self.0.size];
        self.fold_all(&mut lens, |lens| lens[self.0.rank] = own.len() as u64);
        let starts: Vec<usize> = [0]
            .into_iter()
            .chain(lens.iter().scan(0, |sum, len| {
                *sum += *len as usize;
                Some(*sum)
            }))
            .collect();
        let mut bytes = vec![0_u8; starts[self.0.size]];
        self.place(&mut bytes, starts[self.0.rank], &own);
        let value = |range: &[usize]| serde_json::from_slice(&bytes[range[0]..range[1]]).expect("a value of a rank");
        starts.windows(2).map(value).collect()
    }

    /// Copies `own` into `all`, beginning at the index `start`. Afterwards, `all` has, on every rank, the copies of all
    /// ranks. All ranks must call this function with lists `all` of the same length.
    pub fn place<T: Number>(&self, all: &mut [T], start: usize, own: &[T]) {
        self.fold(all, |range, part| {
            let (from, to) = (start.max(range.start), (start + own.len()).min(range.end));
            if from < to {
                part[from - range.start..to - range.start].copy_from_slice(&own[from - start..to - start]);
            }
        });
    }

    /// Returns whether `flag` is true on any rank.
    pub fn any(&self, flag: bool) -> bool {
        self.max(u64::from(flag)) > 0
    }

    /// Returns the largest of the numbers of all ranks.
    pub fn max(&self, number: u64) -> u64 {
        let [largest] = self.fold_array([0], |[largest]| *largest = number.max(*largest));
        largest
    }

    /// Divides `parts` parts among the ranks. Returns the parts of this rank, which follow each other. Rank 0 has as
    /// many as any other rank.
    pub fn own(&self, parts: usize) -> Range<usize> {
        own(parts, self.0.rank, self.0.size)
    }

    /// Checks that all ranks have the same settings. `settings` are pairs of a name and a text, with the same names on
    /// all ranks.
    ///
    /// # Errors
    /// [`Usage`](Error::Usage) with the name of the first setting that differs.
    pub fn check_same(&self, settings: &[(&str, String)]) -> Result<()> {
        let texts: Vec<String> = settings.iter().map(|(_, text)| text.clone()).collect();
        let all = if self.is_solo() { Vec::new() } else { self.gather(&texts) };
        for (i, (name, _)) in settings.iter().enumerate() {
            if let Some(rank) = all.iter().position(|of| of[i] != all[0][i]) {
                let (expected, got) = (&all[0][i], &all[rank][i]);
                return Err(Error::usage(
                    *name,
                    format!("{expected} on all ranks, as on rank 0"),
                    format!("{got} on rank {rank}"),
                ));
            }
        }
        Ok(())
    }

    /// Number of this process among the ranks on its machine, from 0.
    pub fn local_rank(&self) -> usize {
        self.0.local_rank
    }

    /// Number of ranks on the machine of this process.
    pub fn local_size(&self) -> usize {
        self.0.local_size
    }

    /// What this rank has sent, and how long it has waited.
    pub fn traffic(&self) -> Traffic {
        #[cfg(feature = "mpi")]
        return world::traffic();
        #[cfg(not(feature = "mpi"))]
        Traffic::default()
    }

    /// Waits until all ranks have called this function, then leaves the group. Every rank must call it, at the end of
    /// the program.
    pub fn leave(&self) {
        #[cfg(feature = "mpi")]
        if !self.is_solo() {
            self.any(false); // waits for all ranks with a time limit, which MPI's shutdown doesn't have
            world::leave();
        }
    }

    /// Ends the processes of all ranks, if there are several, with the exit code that `report` returns. If several
    /// ranks have an error at about the same time, only the smallest rank calls `report`. With a single rank, returns
    /// the exit code.
    pub fn end_all(&self, report: impl FnOnce() -> u8) -> u8 {
        #[cfg(feature = "mpi")]
        if !self.is_solo() {
            world::end_all(&self.0, report);
        }
        report()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_rank_has_everything() {
        let ranks = Ranks::solo();
        assert_eq!((ranks.own(7), ranks.max(3), ranks.any(false), ranks.gather(&1.5)), (0..7, 3, false, vec![1.5]));
        assert_eq!(ranks.from_root(Some(1.5)), 1.5);
    }

    #[test]
    fn parts_follow_each_other_and_rank_0_has_the_most() {
        for (size, parts) in [(1, 5), (3, 7), (4, 2), (8, 32), (5, 0)] {
            let all: Vec<_> = (0..size).map(|rank| Ranks(Place { rank, size, ..Ranks::solo().0 }).own(parts)).collect();
            assert_eq!(all.iter().cloned().flatten().collect::<Vec<_>>(), (0..parts).collect::<Vec<_>>());
            assert!(all.iter().all(|own| own.len() <= all[0].len()), "{all:?}");
        }
    }
}
