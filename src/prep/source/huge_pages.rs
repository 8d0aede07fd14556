//! Keeps long columns in huge pages, if the system has enough of them free. With pages of 4 KiB, page faults take most
//! of the time of decoding a file. This module has the `unsafe` call that asks for huge pages.

#![allow(unsafe_code)]

/// Minimum size in bytes of a column for which huge pages are requested.
const LEAST: usize = 1 << 22;
/// Minimum capacity in bytes of a column for which huge pages are requested. glibc keeps freed blocks of up to 32 MiB
/// in small pages, and reuses them for smaller columns. A column in such a block can only grow by copies. Unused
/// capacity takes no memory.
const ROOM: usize = 1 << 26;
/// Size of a huge page in bytes.
#[cfg(target_os = "linux")]
const HUGE: u64 = 1 << 21;
/// A column gets huge pages if this many times its size is free in huge pages: a recording has four columns, and other
/// processes take pages too.
#[cfg(target_os = "linux")]
const SPARE: u64 = 4;

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

/// Returns a column of `len` zeros. Its pages take memory once they are written.
pub(crate) fn zeros<T: Copy + Default>(len: usize) -> Vec<T> {
    if len * size_of::<T>() < LEAST {
        return vec![T::default(); len];
    }
    let mut column = vec![T::default(); len.max(ROOM / size_of::<T>())];
    ask_for_huge_pages(&mut column);
    column.truncate(len);
    column
}

#[cfg(target_os = "linux")]
fn ask_for_huge_pages<T>(column: &mut Vec<T>) {
    const PAGE: usize = 1 << 12;
    let bytes = column.capacity() * size_of::<T>();
    // If no huge pages are free, the system makes some by moving other pages. Decoding would wait for that, up to half
    // a second.
    let free = std::fs::read_to_string("/proc/buddyinfo").map_or(0, |text| free_huge_bytes(&text));
    let advice = if free / SPARE < bytes as u64 { libc::MADV_NOHUGEPAGE } else { libc::MADV_HUGEPAGE };
    // All pages of the column get the same advice: otherwise the system cannot move it when it grows.
    let begin = column.as_mut_ptr().map_addr(|at| at & !(PAGE - 1)).cast();
    let bytes = (column.as_ptr().addr() + bytes).next_multiple_of(PAGE) - column.as_ptr().addr() / PAGE * PAGE;
    // SAFETY: the advice doesn't change what is in the pages. An error means that the system has no huge pages. Then
    // the column stays in small pages.
    let _ = unsafe { libc::madvise(begin, bytes, advice) };
}

/// Returns how many bytes are free in blocks of at least [`HUGE`] bytes. `text` is `/proc/buddyinfo`: each line ends with
/// the numbers of free blocks of 4 KiB, 8 KiB, 16 KiB and so on.
#[cfg(target_os = "linux")]
fn free_huge_bytes(text: &str) -> u64 {
    let counts = |line: &str| {
        let words = line.split_whitespace().skip_while(|word| *word != "zone").skip(2);
        let sizes = (12..).map(|order| 1_u64 << order.min(63));
        let blocks = words.zip(sizes).filter(|(_, size)| *size >= HUGE);
        blocks.filter_map(|(count, size)| count.parse::<u64>().ok()?.checked_mul(size)).sum::<u64>()
    };
    text.lines().map(counts).sum()
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
    #[test]
    fn zeros_are_as_many_as_asked_for() {
        for len in [0, 3, LEAST / 2, LEAST, ROOM / 8 + 1] {
            let column: Vec<i64> = zeros(len);
            assert!(column.len() == len && column.iter().all(|&entry| entry == 0));
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn free_huge_pages_are_counted() {
        let text = "Node 0, zone      DMA      0      0      0      0      0      0      0      0      1      1      3 \n\
                    Node 0, zone   Normal  16633   4402   1589    946     97     28   4603   2198   1068    815    994 \n";
        assert_eq!(free_huge_bytes(text), ((1 + 815) << 21) + ((3 + 994) << 22));
        assert_eq!(free_huge_bytes("no numbers\n\nNode 0, zone\nNode 0, zone x y z\n"), 0);
    }
}
