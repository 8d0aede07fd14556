//! Arrays that begin at the start of a cache line. A cache line is as large as an AVX-512 register. In arrays that
//! begin elsewhere, every load or store of such a register touches two cache lines.

use std::ops::{Deref, DerefMut};

use aligned_vec::{AVec, ConstAlign};

/// Size of a cache line in bytes.
const LINE: usize = 64;

/// An array that begins at a cache line.
#[derive(Clone, Debug)]
pub(crate) struct Aligned<T>(AVec<T, ConstAlign<LINE>>);

impl<T: Clone> Aligned<T> {
    /// Makes an array of `len` equal elements.
    pub(crate) fn filled(element: T, len: usize) -> Aligned<T> {
        let mut array = Aligned::default();
        array.resize(len, element);
        array
    }

    pub(crate) fn resize(&mut self, len: usize, element: T) {
        self.0.resize(len, element);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

impl<T> Default for Aligned<T> {
    fn default() -> Aligned<T> {
        Aligned(AVec::new(LINE))
    }
}

impl<T> FromIterator<T> for Aligned<T> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Aligned<T> {
        Aligned(AVec::from_iter(LINE, elements))
    }
}

impl<T> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::{Aligned, LINE};
    use crate::kernel::TILE_WIDTH;

    #[test]
    fn arrays_begin_at_a_line_also_when_they_grow() {
        let mut arrays = vec![Aligned::default(); 3];
        for len in [1, 7, 100, 5000] {
            for array in &mut arrays {
                array.resize(len, [1.0_f32; TILE_WIDTH]);
                assert!(array.as_ptr().addr().is_multiple_of(LINE) && array.iter().all(|tile| tile[31] == 1.0));
            }
        }
        let collected: Aligned<u8> = (0..9).collect();
        assert!(collected.as_ptr().addr().is_multiple_of(LINE) && collected[..] == [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    }
}
