//! Keeps long columns in huge pages. With pages of 4 KiB, page faults would take most of the time of decoding a file.
//! This module has the `unsafe` call that asks for huge pages.

#![allow(unsafe_code)]

/// Minimum size in bytes of a column for which huge pages are requested.
const LEAST: usize = 1 << 22;
/// Minimum capacity in bytes of a column for which huge pages are requested. glibc keeps freed blocks of up to 32 MiB
/// in small pages, and reuses them for smaller columns. A column in such a block can only grow by copies. Unused
/// capacity takes no memory.
const ROOM: usize = 1 << 26;

/// Appends `more` to a column. Asks the system for huge pages when a long column grows, as NumPy does for its arrays.
pub(crate) fn append<T: Copy>(column: &mut Vec<T>, more: &[T]) {
    if column.capacity() - column.len() < more.len() {
        if (column.len() + more.len()) * size_of::<T>() < LEAST {
            column.reserve(more.len());
        } else {
            let room = (ROOM / size_of::<T>()).saturating_sub(column.len());
            column.reserve_exact(more.len().max(column.len()).max(room));
            ask_for_huge_pages(column);
        }
    }
    column.extend_from_slice(more);
}

#[cfg(target_os = "linux")]
fn ask_for_huge_pages<T>(column: &mut Vec<T>) {
    const PAGE: usize = 1 << 12;
    let bytes = column.capacity() * size_of::<T>();
    // All pages of the column get the same advice: otherwise the system cannot move it when it grows.
    let begin = column.as_mut_ptr().map_addr(|at| at & !(PAGE - 1)).cast();
    let bytes = (column.as_ptr().addr() + bytes).next_multiple_of(PAGE) - column.as_ptr().addr() / PAGE * PAGE;
    // SAFETY: the advice doesn't change what is in the pages. An error means that the system has no huge pages. Then
    // the column stays in small pages.
    let _ = unsafe { libc::madvise(begin, bytes, libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn ask_for_huge_pages<T>(_: &mut Vec<T>) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_that_grows_keeps_its_entries() {
        let mut column: Vec<u16> = Vec::new();
        let piece: Vec<u16> = (0..30_000).collect();
        (0..300).for_each(|_| append(&mut column, &piece));
        assert_eq!(column.len(), 9_000_000);
        assert!(column.chunks(piece.len()).all(|part| part == piece));
    }
}
