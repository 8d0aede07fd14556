//! Reads variable-length HDF5 rows directly from the file: in parallel, and safely if the file is damaged.
//!
//! libhdf5 reads such rows under one process-wide lock, with one allocation per row, and loops forever over a heap
//! that is full of zeros. The format is simple (HDF5 File Format Specification, "Global Heap"):
//!
//! ```text
//! the dataset, a reference a row             the collection at that address
//! +------------+---------+------------+      +------+---+-------+------+----------+----------+-----+------------+
//! | length u32 | address | object u32 | ---> | GCOL | 1 | 0 0 0 | size | object 7 | object 2 | ... | free space |
//! +------------+---------+------------+      +------+---+-------+------+----------+----------+-----+------------+
//!
//! an object: | number u16 | references u16 | 0 u32 | size | its bytes, to a multiple of 8 |     number 0: free space
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
use crate::source::raw::{Coordinates, Times};
use references::{Reference, References, Superblock};
use window::{SharedFile, Window};

/// Bytes of a collection's header, and of an object's header.
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
    element: Element,
}

/// The number type of a row's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    F16,
    F32,
    F64,
    U8,
    U16,
    U32,
    U64,
    I8,
    I16,
    I32,
    I64,
}

/// A heap object to find, and where its elements go in the output.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    address: u64,
    object: u32,
    row: u64,
    /// Expected size in bytes.
    size: u64,
    /// Index of its first element in the output column.
    to: usize,
}

impl VlenRows {
    /// Opens dataset `name` of the file at `path`. Returns `None` if only libhdf5 can read it: if its numbers are
    /// big-endian or of an unusual type, if it is compact, virtual or stored in external files, or if it has a filter
    /// other than gzip and shuffle.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`], [`Error::DamagedRecording`] if the references would lie outside the file.
    pub fn open(path: &Path, name: &str, dataset: &Dataset) -> Result<Option<VlenRows>> {
        let file = SharedFile::open(path)?;
        let Some(element) = dataset.dtype().ok().as_ref().and_then(Element::of) else { return Ok(None) };
        let Some(superblock) = Superblock::find(&file)? else { return Ok(None) };
        let Some(references) = References::find(path, name, dataset, &file, superblock)? else { return Ok(None) };
        Ok(Some(VlenRows { path: path.into(), dataset: name.into(), file, superblock, references, element }))
    }

    /// Reads consecutive rows as times. Returns the times of all rows, and `rows + 1` offsets: the start of each row,
    /// then the end. Returns `None` if the elements are integers.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`], [`Error::DamagedRecording`].
    pub fn times(&self, rows: Range<u64>) -> Result<Option<(Times, Vec<usize>)>> {
        let (times, offsets) = match self.element {
            Element::F16 => self.read(rows, f16::from_le_bytes).map(|(c, o)| (Times::F16(c), o))?,
            Element::F32 => self.read(rows, f32::from_le_bytes).map(|(c, o)| (Times::F32(c), o))?,
            Element::F64 => self.read(rows, f64::from_le_bytes).map(|(c, o)| (Times::F64(c), o))?,
            _ => return Ok(None),
        };
        Ok(Some((times, offsets)))
    }

    /// Reads consecutive rows as coordinates. Returns the coordinates of all rows, and `rows + 1` offsets: the start of
    /// each row, then the end. Returns `None` if the elements are floats. Numbers above `i64::MAX` become `i64::MAX`,
    /// as in libhdf5.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`], [`Error::DamagedRecording`].
    pub fn coordinates(&self, rows: Range<u64>) -> Result<Option<(Coordinates, Vec<usize>)>> {
        let (coordinates, offsets) = match self.element {
            Element::U16 => {
                let (column, offsets) = self.read(rows, u16::from_le_bytes)?;
                return Ok(Some((Coordinates::U16(column), offsets)));
            }
            Element::U8 => self.read(rows, |b| i64::from(u8::from_le_bytes(b)))?,
            Element::U32 => self.read(rows, |b| i64::from(u32::from_le_bytes(b)))?,
            Element::U64 => self.read(rows, |b| i64::try_from(u64::from_le_bytes(b)).unwrap_or(i64::MAX))?,
            Element::I8 => self.read(rows, |b| i64::from(i8::from_le_bytes(b)))?,
            Element::I16 => self.read(rows, |b| i64::from(i16::from_le_bytes(b)))?,
            Element::I32 => self.read(rows, |b| i64::from(i32::from_le_bytes(b)))?,
            Element::I64 => self.read(rows, i64::from_le_bytes)?,
            Element::F16 | Element::F32 | Element::F64 => return Ok(None),
        };
        Ok(Some((Coordinates::I64(coordinates), offsets)))
    }

    /// Reads rows whose elements have `N` bytes. Returns the elements and the `rows + 1` offsets.
    fn read<const N: usize, T: Copy + Default>(
        &self,
        rows: Range<u64>,
        element: impl Fn([u8; N]) -> T,
    ) -> Result<(Vec<T>, Vec<usize>)> {
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
        let mut window = Window::new(&self.file);
        let mut free_from = 0; // each collection must start after the previous one, so the loop ends
        let mut rest = &wanted[..];
        while let Some(first) = rest.first() {
            let (here, after) = rest.split_at(rest.partition_point(|w| w.address == first.address));
            window.plan(self.extents(rest));
            free_from = self.read_collection(&mut window, here, free_from, N, &mut copy)?;
            rest = after;
        }
        Ok((column, offsets))
    }

    /// Estimated byte range of each collection in the file, in order. The sizes of the wanted objects give its length.
    fn extents<'a>(&'a self, wanted: &'a [Wanted]) -> impl Iterator<Item = Range<u64>> + 'a {
        wanted.chunk_by(|a, b| a.address == b.address).map(|objects| {
            let start = self.superblock.base.saturating_add(objects[0].address);
            let bytes = objects.iter().fold(HEADER, |sum, w| sum.saturating_add(HEADER + padded(w.size)));
            start..start.saturating_add(bytes + HEADER)
        })
    }

    /// Finds the wanted objects of one collection, copies their bytes and returns the offset of the collection's end.
    /// The collection must begin at `free_from` or later.
    fn read_collection(
        &self,
        window: &mut Window<'_>,
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

/// Rounds a size up to a multiple of 8.
fn padded(size: u64) -> u64 {
    size.checked_next_multiple_of(8).unwrap_or(u64::MAX)
}

impl Element {
    /// Element type of variable-length rows of type `rows`. `None` if libhdf5 has to convert the elements.
    fn of(rows: &Datatype) -> Option<Element> {
        fn are<T: H5Type + Copy>(rows: &Datatype) -> bool {
            rows.is::<VarLenArray<T>>()
        }
        // `is` compares with types in this machine's byte order, and the reader expects little-endian numbers.
        if cfg!(target_endian = "big") {
            return None;
        }
        let elements = [
            (Element::F16, are::<f16> as fn(&Datatype) -> bool),
            (Element::F32, are::<f32>),
            (Element::F64, are::<f64>),
            (Element::U8, are::<u8>),
            (Element::U16, are::<u16>),
            (Element::U32, are::<u32>),
            (Element::U64, are::<u64>),
            (Element::I8, are::<i8>),
            (Element::I16, are::<i16>),
            (Element::I32, are::<i32>),
            (Element::I64, are::<i64>),
        ];
        elements.into_iter().find(|(_, are)| are(rows)).map(|(element, _)| element)
    }
}
