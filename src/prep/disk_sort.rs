//! Sorts more items than fit in memory: sorts parts in memory, and merges them from a temporary file.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use tonic_base::{Spill, check_space, interrupt};
use tonic_shard::KEPT;

use crate::error::Result;

/// While the sorted parts are merged, at most this many bytes of each part are in memory.
const WINDOW: usize = 1 << 15;

/// An item: the key that it is sorted by, and `N` bytes.
pub(crate) type Item<const N: usize> = (i64, [u8; N]);

/// Sorts items by key. Items with equal keys keep their order.
pub(crate) struct DiskSort<const N: usize> {
    /// Items in memory: the part that is being filled.
    part: Vec<Item<N>>,
    /// Maximum number of items of a part.
    most: usize,
    /// Temporary file with the sorted parts. Each part is one stream of the file.
    spill: Spill,
}

impl<const N: usize> DiskSort<N> {
    /// Size of an item in the temporary file, in bytes.
    const BYTES: usize = 8 + N;

    /// Starts to sort, with at most `most` items in memory. Fails if the disk has no room for `expected` items.
    pub(crate) fn new(most: usize, expected: u64) -> Result<Self> {
        let (path, needed) = (std::env::temp_dir(), expected.saturating_mul(Self::BYTES as u64));
        check_space(&path, needed, 0)?;
        Ok(DiskSort { part: Vec::new(), most: most.max(1), spill: Spill::new(0)? })
    }

    pub(crate) fn push(&mut self, item: Item<N>) -> Result<()> {
        self.part.push(item);
        if self.part.len() >= self.most { self.end_part() } else { Ok(()) }
    }

    fn end_part(&mut self) -> Result<()> {
        interrupt::check(KEPT)?;
        self.part.sort_by_key(|(key, _)| *key);
        let stream = self.spill.add_stream();
        let mut bytes = Vec::with_capacity(self.part.len().min(WINDOW) * Self::BYTES);
        for items in self.part.chunks(WINDOW) {
            bytes.clear();
            for (key, rest) in items {
                bytes.extend_from_slice(&key.to_le_bytes());
                bytes.extend_from_slice(rest);
            }
            self.spill.append(stream, &bytes)?;
        }
        self.part.clear();
        Ok(())
    }

    /// Calls `take` with all items, in ascending order of their keys.
    pub(crate) fn finish(mut self, mut take: impl FnMut(Item<N>) -> Result<()>) -> Result<()> {
        self.end_part()?;
        self.part = Vec::new();
        let mut parts: Vec<Part> = (0..self.spill.streams()).map(Part::new).collect();
        let mut first = BinaryHeap::with_capacity(parts.len());
        for (number, part) in parts.iter_mut().enumerate() {
            first.extend(part.next::<N>(&self.spill)?.map(|item| Reverse((item.0, number, item.1))));
        }
        while let Some(mut top) = first.peek_mut() {
            let Reverse((key, number, rest)) = *top;
            match parts[number].next::<N>(&self.spill)? {
                Some((key, rest)) => *top = Reverse((key, number, rest)),
                None => drop(std::collections::binary_heap::PeekMut::pop(top)),
            }
            take((key, rest))?;
        }
        Ok(())
    }
}

struct Part {
    stream: usize,
    /// Number of bytes of the part that have been read.
    read: u64,
    window: Vec<u8>,
    at: usize,
}

impl Part {
    fn new(stream: usize) -> Part {
        Part { stream, read: 0, window: Vec::new(), at: 0 }
    }

    fn next<const N: usize>(&mut self, spill: &Spill) -> Result<Option<Item<N>>> {
        let bytes = DiskSort::<N>::BYTES;
        if self.at == self.window.len() {
            interrupt::check(KEPT)?;
            let whole = WINDOW / bytes * bytes;
            let left = spill.len(self.stream) - self.read;
            self.window.resize((whole as u64).min(left) as usize, 0);
            spill.read(self.stream, self.read, &mut self.window)?;
            (self.read, self.at) = (self.read + self.window.len() as u64, 0);
        }
        let Some((key, rest)) = self.window[self.at..].split_first_chunk() else { return Ok(None) };
        self.at += bytes;
        Ok(rest.first_chunk().map(|rest| (i64::from_le_bytes(*key), *rest)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn the_order_is_that_of_a_stable_sort_in_memory() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for (n, most) in [(0, 4), (1, 1), (9, 4), (20_000, 5000), (20_000, 6001), (500, 1)] {
            for span in [1, 5, i64::MAX] {
                let key = |_| random.random_range(-span / 2..=span / 2);
                let keys: Vec<i64> = (0..n).map(key).collect();
                let mut expected: Vec<Item<4>> =
                    keys.iter().enumerate().map(|(i, key)| (*key, (i as u32).to_le_bytes())).collect();
                let mut sort = DiskSort::new(most, n).unwrap();
                expected.iter().for_each(|item| sort.push(*item).unwrap());
                expected.sort_by_key(|item| item.0);
                let mut sorted = Vec::new();
                let taken = sort.finish(|item| {
                    sorted.push(item);
                    Ok(())
                });
                taken.unwrap();
                assert_eq!(sorted, expected, "{n} {most} {span}");
            }
        }
    }
}
