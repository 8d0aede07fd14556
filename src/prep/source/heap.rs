//! Reads variable-length HDF5 rows directly from the file: in parallel, and safely if the file is damaged.
//!
//! libhdf5 reads such rows under one process-wide lock, with one allocation per row, and loops forever over a heap
//! that is full of zeros. The rows are objects in collections of the file's global heap, and a dataset has references
//! to them. The format is simple (HDF5 File Format Specification, "Global Heap"):
//!
//! ```text
//! the dataset: one reference per row         the collection at that address
//! +------------+---------+------------+      +------+---+-------+------+----------+----------+-----+------------+
//! | length u32 | address | object u32 | ---> | GCOL | 1 | 0 0 0 | size | object 7 | object 2 | ... | free space |
//! +------------+---------+------------+      +------+---+-------+------+----------+----------+-----+------------+
//!
//! an object: | number u16 | references u16 | 0 u32 | size | its bytes, padded to a multiple of 8 |
//!            an object with number 0 is free space
//! ```
//!
//! libhdf5 still opens the file and locates the references. If they are stored in an unusual way,
//! [`VlenRows::open`] returns `None` and libhdf5 reads the rows.

mod references;
mod window;

use std::ops::Range;
use std::path::{Path, PathBuf};

use half::f16;
use hdf5::types::VarLenArray;
use hdf5::{Dataset, Datatype, H5Type};

use crate::error::{Error, Result};
use crate::source::packed::local;
use crate::source::raw::{Coordinates, Times};
use references::{Reference, References, Superblock};
use window::{FileWindow, SharedFile};

/// Size of a collection's header in bytes. An object's header has the same size.
const HEADER: u64 = 16;
/// Minimum size of a collection, in bytes.
const SMALLEST: u64 = 4096;

/// A dataset of variable-length rows.
#[derive(Debug)]
pub struct VlenRows {
    path: PathBuf,
    dataset: String,
    file: SharedFile,
    superblock: Superblock,
    references: References,
    read: ReadRows,
    rows: u64,
}

/// A column with the elements of consecutive rows, and offsets of shape (rows + 1,). Row `i` has the elements
/// `offsets[i]..offsets[i + 1]`.
type Rows<C> = (C, Vec<usize>);

/// The function that reads the rows of a dataset. Floats are read as times, and integers as coordinates.
#[derive(Clone, Copy, Debug)]
enum ReadRows {
    Floats(fn(&VlenRows, Range<u64>) -> Result<Rows<Times>>),
    Integers(fn(&VlenRows, Range<u64>) -> Result<Rows<Coordinates>>),
}

/// A row to read: the heap object that holds it, and the position of its elements in the output column.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    address: u64,
    object: u32,
    row: u64,
    /// Size that the object must have, in bytes.
    size: u64,
    /// Index of the object's first element in the output column.
    to: usize,
}

impl VlenRows {
    /// Opens the dataset `name` of the file at `path`, or of the file that a link leads to. Returns `None` if only
    /// libhdf5 can read the dataset, for example because its numbers are big-endian.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`], [`Error::DamagedRecording`] if references lie outside the file,
    /// [`Error::MissingData`] if some references were never written.
    pub fn open(path: &Path, name: &str, dataset: &Dataset) -> Result<Option<VlenRows>> {
        let holder = PathBuf::from(dataset.filename());
        // The temporary file of a packed file has no name any more.
        let file = if holder.is_file() { SharedFile::open(&holder)? } else { SharedFile::open(&local(path)?)? };
        let Some(read) = dataset.dtype().ok().as_ref().and_then(ReadRows::of) else { return Ok(None) };
        let Some(superblock) = Superblock::find(&file)? else { return Ok(None) };
        let Some(references) = References::find(path, name, dataset, &file, superblock)? else { return Ok(None) };
        let rows = dataset.size() as u64;
        Ok(Some(VlenRows { path: path.into(), dataset: name.into(), file, superblock, references, read, rows }))
    }

    /// Returns the number of elements of all rows together. Reads only the references, not the rows.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`].
    pub fn elements(&self) -> Result<u64> {
        /// Number of rows whose references are in memory at a time.
        const ROWS: u64 = 1 << 16;
        let mut elements = 0_u64;
        for start in (0..self.rows).step_by(ROWS as usize) {
            let block = start..self.rows.min(start + ROWS);
            let rows = self.references.read(&self.file, self.superblock, block)?;
            let lengths = rows.filter(|row| row.address != 0).map(|row| u64::from(row.length));
            elements += lengths.sum::<u64>();
        }
        Ok(elements)
    }

    /// Reads consecutive rows as times. Returns the times of all rows in one column, and offsets of shape (rows + 1,).
    /// Row `i` has the times `offsets[i]..offsets[i + 1]`. Returns `None` if the elements are integers.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`], [`Error::DamagedRecording`].
    pub fn times(&self, rows: Range<u64>) -> Result<Option<(Times, Vec<usize>)>> {
        let ReadRows::Floats(read) = self.read else { return Ok(None) };
        read(self, rows).map(Some)
    }

    /// Reads consecutive rows as coordinates. Returns the coordinates of all rows in one column, and offsets of shape
    /// (rows + 1,). Row `i` has the coordinates `offsets[i]..offsets[i + 1]`. Returns `None` if the elements are
    /// floats.
    ///
    /// Numbers above `i64::MAX` become `i64::MAX`, as in libhdf5.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`], [`Error::DamagedRecording`].
    pub fn coordinates(&self, rows: Range<u64>) -> Result<Option<(Coordinates, Vec<usize>)>> {
        let ReadRows::Integers(read) = self.read else { return Ok(None) };
        read(self, rows).map(Some)
    }

    /// Reads consecutive rows. `element` decodes one element of `N` bytes, and `column_of` makes a column from all
    /// elements.
    fn read_as<const N: usize, T: Copy + Default, C>(
        &self,
        rows: Range<u64>,
        element: impl Fn([u8; N]) -> T,
        column_of: impl Fn(Vec<T>) -> C,
    ) -> Result<Rows<C>> {
        let mut wanted = Vec::new();
        let mut offsets = Vec::from([0]);
        let (mut elements, mut bytes) = (0usize, 0u64);
        for (row, reference) in rows.clone().zip(self.references.read(&self.file, self.superblock, rows)?) {
            if reference.address != 0 {
                let size = u64::from(reference.length) * N as u64;
                bytes += size;
                // Rows share no bytes, so their total size is at most that of the file.
                if bytes > self.file.len() {
                    let expected = format!("rows within the file's {} bytes", self.file.len());
                    return Err(self.damaged(row, &expected, format!("a row of {size}")));
                }
                let Reference { address, object, .. } = reference;
                wanted.push(Wanted { address, object, row, size, to: elements });
                elements += reference.length as usize;
            }
            offsets.push(elements);
        }
        wanted.sort_unstable_by_key(|w| (w.address, w.object, w.row));

        let mut column = vec![T::default(); elements];
        let mut copy = |at: usize, bytes: &[u8]| {
            column[at..].iter_mut().zip(bytes.as_chunks().0).for_each(|(to, from)| *to = element(*from));
        };
        let mut window = FileWindow::new(&self.file);
        let mut free_from = 0; // each collection must start after the previous one, so the loop ends
        let mut rest = &wanted[..];
        while let Some(first) = rest.first() {
            let (here, after) = rest.split_at(rest.partition_point(|w| w.address == first.address));
            window.plan(self.extents(rest));
            free_from = self.read_collection(&mut window, here, free_from, N, &mut copy)?;
            rest = after;
        }
        Ok((column_of(column), offsets))
    }

    /// For each heap collection, estimates the byte range of the file that will be read. The ranges are in order of
    /// address.
    fn extents<'a>(&'a self, wanted: &'a [Wanted]) -> impl Iterator<Item = Range<u64>> + 'a {
        wanted.chunk_by(|a, b| a.address == b.address).map(|objects| {
            let start = self.superblock.base.saturating_add(objects[0].address);
            // Objects usually lie in the order of their numbers. If the first wanted object is not number 1, other
            // objects probably precede it. Then the range has only the headers of the collection and its first object.
            let wanted = if objects[0].object > 1 { &[] } else { objects };
            let bytes = wanted.iter().fold(HEADER, |sum, w| sum.saturating_add(HEADER + padded(w.size)));
            start..start.saturating_add(bytes + HEADER)
        })
    }

    /// Copies the bytes of the wanted objects in one heap collection. The collection must not begin before the offset
    /// `free_from`. Returns the offset of the collection's end in the file.
    fn read_collection(
        &self,
        window: &mut FileWindow<'_>,
        wanted: &[Wanted],
        free_from: u64,
        element: usize,
        copy: &mut impl FnMut(usize, &[u8]),
    ) -> Result<u64> {
        let row = wanted[0].row;
        let start = self.superblock.base.saturating_add(wanted[0].address);
        if start < free_from {
            let got = format!("one at {start}, inside another");
            return Err(self.damaged(row, "heap collections that do not overlap", got));
        }
        if start > self.file.len().saturating_sub(SMALLEST) {
            let expected = format!("a heap collection within the file's {} bytes", self.file.len());
            return Err(self.damaged(row, &expected, format!("one at {start}")));
        }
        let header = window.get(start, HEADER as usize)?;
        if header[..5] != *b"GCOL\x01" {
            let got = header[..5].escape_ascii();
            return Err(self.damaged(row, &format!("a heap collection (GCOL, version 1) at {start}"), got));
        }
        let size = self.superblock.length(&header[8..]);
        if !(SMALLEST..=self.file.len() - start).contains(&size) {
            let expected = format!("a heap collection at {start} of {SMALLEST} to {} bytes", self.file.len() - start);
            return Err(self.damaged(row, &expected, size));
        }
        let end = start + size;
        let mut found = vec![false; wanted.len()];
        let mut at = start + HEADER;
        // If fewer bytes than a header remain, they are free space.
        while at + HEADER <= end {
            let header = window.get(at, HEADER as usize)?;
            let (object, size) = (u16::from_le_bytes([header[0], header[1]]), self.superblock.length(&header[8..]));
            let taken = if object == 0 { size } else { padded(size).saturating_add(HEADER) };
            if taken < HEADER || taken > end - at || !taken.is_multiple_of(8) {
                let expected = format!("object {object} of the heap at {at} to take {HEADER} to {} bytes", end - at);
                return Err(self.damaged(row, &expected, format!("{taken}")));
            }
            let first = wanted.partition_point(|w| w.object < u32::from(object));
            let rows = wanted[first..].iter().zip(&mut found[first..]);
            for (w, found) in rows.take_while(|(w, _)| w.object == u32::from(object) && object != 0) {
                if size != w.size || *found {
                    let expected = format!("one object {object} of {} bytes in the heap at {start}", w.size);
                    let got = if *found { "two".into() } else { format!("{size} bytes") };
                    return Err(self.damaged(w.row, &expected, got));
                }
                window.copy(at + HEADER, size, element, |i, bytes| copy(w.to + i, bytes))?;
                *found = true;
            }
            at += taken;
        }
        match found.iter().position(|found| !found) {
            Some(i) => {
                let expected = format!("an object {} in the heap at {start}", wanted[i].object);
                Err(self.damaged(wanted[i].row, &expected, "none"))
            }
            None => Ok(end),
        }
    }

    fn damaged(&self, row: u64, expected: &str, got: impl std::fmt::Display) -> Error {
        let place = format!("{}, sample {row}", self.dataset);
        Error::damaged(&self.path, place, format!("expected {expected}, got {got}"))
    }
}

/// Converts a number to `i64`. Numbers above `i64::MAX` become `i64::MAX`.
fn clamped(number: u64) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// Rounds a size up to a multiple of 8.
fn padded(size: u64) -> u64 {
    size.checked_next_multiple_of(8).unwrap_or(u64::MAX)
}

impl ReadRows {
    /// Returns the function that reads variable-length rows of the type `rows`. `None` if libhdf5 has to convert the
    /// elements.
    fn of(rows: &Datatype) -> Option<ReadRows> {
        fn are<T: H5Type + Copy>(rows: &Datatype) -> bool {
            rows.is::<VarLenArray<T>>()
        }
        // `is` compares with types in this machine's byte order, and the reader expects little-endian numbers.
        if cfg!(target_endian = "big") {
            return None;
        }
        use ReadRows::{Floats, Integers};
        const WIDE: fn(Vec<i64>) -> Coordinates = Coordinates::I64;
        let types = [
            (
                are::<f16> as fn(&Datatype) -> bool,
                Floats(|from, rows| from.read_as(rows, f16::from_le_bytes, Times::F16)),
            ),
            (are::<f32>, Floats(|from, rows| from.read_as(rows, f32::from_le_bytes, Times::F32))),
            (are::<f64>, Floats(|from, rows| from.read_as(rows, f64::from_le_bytes, Times::F64))),
            (are::<u16>, Integers(|from, rows| from.read_as(rows, u16::from_le_bytes, Coordinates::U16))),
            (are::<u8>, Integers(|from, rows| from.read_as(rows, |b| u8::from_le_bytes(b).into(), WIDE))),
            (are::<u32>, Integers(|from, rows| from.read_as(rows, |b| u32::from_le_bytes(b).into(), WIDE))),
            (are::<i8>, Integers(|from, rows| from.read_as(rows, |b| i8::from_le_bytes(b).into(), WIDE))),
            (are::<i16>, Integers(|from, rows| from.read_as(rows, |b| i16::from_le_bytes(b).into(), WIDE))),
            (are::<i32>, Integers(|from, rows| from.read_as(rows, |b| i32::from_le_bytes(b).into(), WIDE))),
            (are::<i64>, Integers(|from, rows| from.read_as(rows, i64::from_le_bytes, WIDE))),
            (are::<u64>, Integers(|from, rows| from.read_as(rows, |b| clamped(u64::from_le_bytes(b)), WIDE))),
        ];
        types.into_iter().find(|(are, _)| are(rows)).map(|(_, read)| read)
    }
}
