//! Reads columns of numbers from HDF5 files, one range of entries at a time. The numbers can have any type.

use std::ops::Range;
use std::path::Path;

use hdf5::types::TypeDescriptor;
use hdf5::{Dataset, H5Type, Hyperslab, Selection, SliceOrIndex};

use crate::error::{Error, Result};
use crate::source::columns::{FieldPath, Numbers, Part, shape};
use crate::source::commands::word_for_on;
use crate::source::hdf::member::{Element, Member};
use crate::source::hdf::number_type::NumberType;
use crate::source::hdf::{File, class_of, descriptor, events, matlab, member, scale, unreadable};
use crate::source::raw::MAX_SAMPLE_EVENTS;

/// A column of numbers, one for each event: a whole dataset, a column of a two-dimensional dataset, or a member of
/// records.
#[derive(Clone, Debug)]
pub(crate) struct NumberColumn {
    dataset: Dataset,
    /// Path of the dataset in the file.
    array: String,
    /// Name of the column, as users write it in `--map`: `events/t`, `events.t` or `events[2]`.
    pub name: String,
    /// Name of the numbers' type, for messages.
    pub kind_name: String,
    kind: NumberType,
    /// If the column is a member of records: the names of the nested records around the member, the outermost first,
    /// and then the name of the member. Empty for other columns.
    member: Vec<String>,
    /// Which element of the member is read, if the member is an array.
    element: Option<Element>,
    /// Index of the dimension along which the events are stored.
    dimension: usize,
    /// If the entries are an enum with words for both polarities, such as ON and OFF: the word for ON, and its number.
    /// `None` for other entries.
    pub on: Option<(String, i64)>,
    /// Position of the column in the dataset: one index for each dimension. The index for the dimension of the events
    /// is not used.
    place: Vec<usize>,
    /// Number of entries, one for each event.
    pub len: u64,
    /// The scale factor of the dataset. `None` if it has no scale factor, or the factor 1.
    pub scale: Option<f64>,
}

impl NumberColumn {
    /// Opens a column, and checks that none of its data is missing.
    ///
    /// # Errors
    /// - [`Error::WrongType`] if the entries are not numbers, if the numbers have an offset, if records lack the
    ///   member, or if the shape is not that of a column.
    /// - Errors of [`events`].
    pub(crate) fn open(path: &Path, file: &File, field: &FieldPath, layout: &'static str) -> Result<NumberColumn> {
        let name = &field.array;
        let dataset = events(path, file, field, layout)?;
        let scale = scale::scale_of(path, &dataset, name)?;
        let descriptor = descriptor(path, &dataset, name)?;
        let sizes = matlab::shape(&dataset);
        let wrong =
            |expected: &str| Error::wrong_type(path, name, expected, format!("{descriptor} of shape {sizes:?}"));
        let (member, number, element) = match &field.part {
            Part::Member(member) => {
                let found = member::find(&descriptor, member);
                found.ok_or_else(|| wrong(&format!("records with a member {member}")))?
            }
            _ => (Vec::new(), &descriptor, None),
        };
        let axes = member::shape(number);
        if !axes.is_empty() {
            let got = format!("an array of shape {axes:?} for each");
            return Err(Error::wrong_type(path, &field.to_string(), "one number an event", got));
        }
        let kind = NumberType::of(number).ok_or_else(|| wrong("integers or floats"))?;
        let mut place = vec![0; sizes.len()];
        let (len, dimension) = match field.part {
            Part::Column { index, columns } => {
                let table = shape::table(&sizes, columns).filter(|table| (index as u64) < table.columns);
                let table = table.ok_or_else(|| wrong(&format!("a row an event, with a column {index}")))?;
                place[table.axes[1]] = index;
                (table.len, table.axes[0])
            }
            Part::Whole | Part::Member(_) => {
                let len = shape::column(&sizes).ok_or_else(|| wrong("one dimension, a number an event"))?;
                (len, sizes.iter().position(|&size| size != 1).unwrap_or(0))
            }
        };
        let on = match number {
            TypeDescriptor::Enum(named) => word_for_on(named.members.iter().map(|member| &*member.name))
                .and_then(|on| named.members.iter().find(|member| member.name == on))
                .map(|member| (member.name.clone(), member.value as i64)),
            _ => None,
        };
        let (name, kind_name, array) = (field.to_string(), number.to_string(), field.array.clone());
        Ok(NumberColumn { dataset, array, name, kind_name, kind, member, element, dimension, on, place, len, scale })
    }

    /// Returns whether MATLAB wrote the dataset.
    pub(crate) fn is_of_matlab(&self) -> bool {
        class_of(&self.dataset).is_some()
    }

    pub(crate) fn is_float(&self) -> bool {
        self.kind == NumberType::F64
    }

    /// Reads the same range of entries from up to four columns. Columns that are members of the same records are read
    /// with one call of libhdf5.
    ///
    /// # Errors
    /// Errors of [`NumberColumn::read`].
    pub(crate) fn read_each(
        columns: &[Option<NumberColumn>; 4],
        path: &Path,
        range: Range<u64>,
    ) -> Result<[Option<Numbers>; 4]> {
        let there: Vec<&NumberColumn> = columns.iter().flatten().collect();
        let name = |column: &NumberColumn| (column.array.clone(), column.member.clone());
        let together = there.iter().enumerate().all(|(i, column)| {
            column.member.len() == 1
                && column.element.is_none()
                && column.array == there[0].array
                && there[..i].iter().all(|other| name(other) != name(column))
        });
        let mut numbers = if together && there.len() > 1 {
            let members: Vec<Member<'_>> =
                there.iter().map(|column| (&column.member[..], column.kind.class().0, None)).collect();
            let read = member::read(&there[0].dataset, &members, there[0].selection(&range));
            let bits = read.map_err(|e| unreadable(path, &there[0].dataset, &there[0].array, range, &e))?;
            there.iter().zip(bits).map(|(column, bits)| (column.kind.class().1)(bits)).collect()
        } else {
            there.iter().map(|column| column.read(path, range.clone())).collect::<Result<Vec<_>>>()?
        }
        .into_iter();
        Ok(columns.each_ref().map(|column| column.as_ref().and_then(|_| numbers.next())))
    }

    /// Reads a range of entries.
    ///
    /// # Errors
    /// [`Error::DamagedRecording`]; [`tonic_base::Error::Unavailable`] if the compression filter is not installed.
    pub(crate) fn read(&self, path: &Path, range: Range<u64>) -> Result<Numbers> {
        if range.is_empty() {
            return Ok((self.kind.class().1)(Vec::new()));
        }
        let read = match self.kind {
            _ if !self.member.is_empty() => {
                let (class, numbers) = self.kind.class();
                let read = member::read(&self.dataset, &[(&self.member, class, self.element)], self.selection(&range));
                read.map(|bits| bits.into_iter().next().map_or_else(|| Numbers::U8(Vec::new()), numbers))
            }
            NumberType::U8 => self.read_as(&range).map(Numbers::U8),
            NumberType::I8 => self.read_as(&range).map(Numbers::I8),
            NumberType::U16 => self.read_as(&range).map(Numbers::U16),
            NumberType::U32 => self.read_as(&range).map(Numbers::U32),
            NumberType::U64 => self.read_as(&range).map(Numbers::U64),
            NumberType::I64 => self.read_as(&range).map(Numbers::I64),
            NumberType::F64 => self.read_as(&range).map(Numbers::F64),
        };
        read.map_err(|e| unreadable(path, &self.dataset, &self.name, range, &e))
    }

    /// Reads the whole column.
    ///
    /// # Errors
    /// Errors of [`NumberColumn::read`]; [`Error::WrongType`] if the column has more than [`MAX_SAMPLE_EVENTS`]
    /// entries.
    pub(crate) fn read_all(&self, path: &Path) -> Result<Numbers> {
        if self.len > MAX_SAMPLE_EVENTS {
            return Err(Error::wrong_type(path, &self.name, format!("at most {MAX_SAMPLE_EVENTS} events"), self.len));
        }
        self.read(path, 0..self.len)
    }

    fn read_as<T: H5Type>(&self, range: &Range<u64>) -> hdf5::Result<Vec<T>> {
        Ok(self.dataset.read_slice_1d::<T, _>(self.selection(range))?.into_raw_vec_and_offset().0)
    }

    /// Returns the HDF5 selection for a range of the column's entries.
    fn selection(&self, range: &Range<u64>) -> Selection {
        let events = SliceOrIndex::from(range.start as usize..range.end as usize);
        let mut place: Vec<SliceOrIndex> = self.place.iter().map(|&index| index.into()).collect();
        place[self.dimension] = events;
        Selection::from(Hyperslab::from(place))
    }
}
