//! Calls libhdf5 directly for what the crate `hdf5` cannot read: the mappings of virtual datasets, the targets of
//! links, some types, and members of records whose names are known only at run time.
//!
//! The crate's `get_virtual_map` fails for contiguous ranges. The crate has no function for the target of a link. The
//! names of members in the crate's types are fixed at compile time.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int};
use std::mem::MaybeUninit;

use hdf5::plist::DatasetCreate;
use hdf5::sync::sync;
use hdf5::types::TypeDescriptor;
use hdf5::{Dataset, Dataspace, Datatype, Error, Group, Result, from_id, h5check};
use hdf5_sys::h5::{H5free_memory, hsize_t};
use hdf5_sys::h5d::H5Dread;
use hdf5_sys::h5l::{H5L_info2_t, H5Lexists, H5Lget_info2, H5Lget_val};
use hdf5_sys::h5p::{
    H5P_DEFAULT, H5Pget_virtual_count, H5Pget_virtual_dsetname, H5Pget_virtual_filename, H5Pget_virtual_srcspace,
    H5Pget_virtual_vspace,
};
use hdf5_sys::h5s::{
    H5S_SEL_ALL, H5S_SEL_HYPERSLABS, H5S_SEL_NONE, H5Sget_regular_hyperslab, H5Sget_select_hyper_blocklist,
    H5Sget_select_hyper_nblocks, H5Sget_select_type, H5Sis_regular_hyperslab,
};
use hdf5_sys::h5t::{
    H5T_class_t, H5Tarray_create2, H5Tcreate, H5Tget_array_dims2, H5Tget_array_ndims, H5Tget_class, H5Tget_member_name,
    H5Tget_member_type, H5Tget_nmembers, H5Tget_super, H5Tinsert,
};

use crate::source::hdf::coverage::{Selection, Strided};

/// Maximum size in bytes of a link's target.
const LONGEST_LINK: usize = 64 << 10;
/// Maximum number of blocks of an irregular selection.
const MOST_BLOCKS: u64 = 1 << 22;
/// The number of the link class "external" (`H5L_TYPE_EXTERNAL`).
const EXTERNAL: c_int = 64;
/// The number of the link class "soft" (`H5L_TYPE_SOFT`).
const SOFT: c_int = 1;

/// A mapping of a virtual dataset: some entries of a source dataset fill some entries of the virtual dataset.
#[derive(Clone, Debug)]
pub(super) struct Mapping {
    /// Name of the source file. "." is the file of the virtual dataset.
    pub(super) file: String,
    /// Path of the source dataset.
    pub(super) dataset: String,
    /// The entries of the source dataset that are read.
    pub(super) source: Selection,
    /// The entries of the virtual dataset that the source entries fill.
    pub(super) target: Selection,
}

/// The kind of a link, and its target.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Link {
    /// A link to an existing object of the same file.
    Hard,
    /// A link to a path in the same file.
    Soft(String),
    /// A link to a path in another file.
    External { file: String, path: String },
}

/// Returns the mappings of a virtual dataset, from its creation properties.
pub(super) fn mappings(properties: &DatasetCreate) -> Result<Vec<Mapping>> {
    let id = properties.id();
    sync(|| {
        let mut count = 0;
        // SAFETY: `id` is a valid property list as long as `properties` lives, and `count` is writable.
        unsafe { h5check(H5Pget_virtual_count(id, &raw mut count)) }?;
        (0..count)
            .map(|i| {
                // SAFETY: `text` passes a null pointer, or a buffer with the length that it passes.
                let file = text(|buffer, length| unsafe { H5Pget_virtual_filename(id, i, buffer, length) })?;
                // SAFETY: as above.
                let dataset = text(|buffer, length| unsafe { H5Pget_virtual_dsetname(id, i, buffer, length) })?;
                // SAFETY: both calls return a new dataspace, of which the wrapper becomes the only owner.
                let (source, target) = unsafe {
                    let source = from_id::<Dataspace>(h5check(H5Pget_virtual_srcspace(id, i))?)?;
                    (source, from_id::<Dataspace>(h5check(H5Pget_virtual_vspace(id, i))?)?)
                };
                Ok(Mapping { file, dataset, source: selection(&source)?, target: selection(&target)? })
            })
            .collect()
    })
}

/// Reads a text with a function of libhdf5. Calls `get` twice: first for the length of the text, and then for the text.
fn text(get: impl Fn(*mut c_char, usize) -> isize) -> Result<String> {
    let length = h5check(get(std::ptr::null_mut(), 0))? as usize;
    let mut buffer = vec![0_u8; length + 1];
    h5check(get(buffer.as_mut_ptr().cast(), buffer.len()))?;
    Ok(until_nul(&buffer))
}

fn until_nul(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.split(|&byte| byte == 0).next().unwrap_or_default()).into_owned()
}

/// Returns the entries that a dataspace selects.
fn selection(space: &Dataspace) -> Result<Selection> {
    let (id, rank) = (space.id(), space.ndim());
    // SAFETY: `id` is a valid dataspace as long as `space` lives.
    match unsafe { H5Sget_select_type(id) } {
        H5S_SEL_ALL => return Ok(Selection::All),
        H5S_SEL_NONE => return Ok(Selection::Boxes(Vec::new())),
        H5S_SEL_HYPERSLABS => {}
        _ => return Err(Error::from("a selection of points")),
    }
    // SAFETY: as above.
    if unsafe { h5check(H5Sis_regular_hyperslab(id)) }? > 0 {
        let [mut start, mut stride, mut count, mut block] = [(); 4].map(|()| vec![0; rank]);
        let [starts, strides] = [start.as_mut_ptr(), stride.as_mut_ptr()];
        // SAFETY: each buffer has a number for each dimension.
        unsafe { h5check(H5Sget_regular_hyperslab(id, starts, strides, count.as_mut_ptr(), block.as_mut_ptr())) }?;
        let axis = |i: usize| Strided { start: start[i], stride: stride[i], count: count[i], block: block[i] };
        return Ok(Selection::Boxes(vec![(0..rank).map(axis).collect()]));
    }
    // SAFETY: `id` is a valid dataspace.
    let blocks = unsafe { h5check(H5Sget_select_hyper_nblocks(id)) }? as u64;
    if blocks > MOST_BLOCKS {
        return Err(Error::from("a selection of too many blocks"));
    }
    // A block is its first and its last corner.
    let mut corners: Vec<hsize_t> = vec![0; blocks as usize * rank * 2];
    // SAFETY: the buffer has two corners for each block.
    unsafe { h5check(H5Sget_select_hyper_blocklist(id, 0, blocks, corners.as_mut_ptr())) }?;
    let one = |block: &[hsize_t]| {
        let (first, last) = block.split_at(rank);
        first.iter().zip(last).map(|(&first, &last)| Strided::range(first..last.saturating_add(1))).collect()
    };
    Ok(Selection::Boxes(corners.chunks_exact((rank * 2).max(1)).map(one).collect()))
}

/// Returns the link `name` of a group. `None` if there is no such link.
pub(super) fn link(group: &Group, name: &str) -> Result<Option<Link>> {
    let name = CString::new(name).map_err(|_| Error::from("a name with a NUL"))?;
    let (id, name) = (group.id(), name.as_ptr());
    sync(|| {
        // SAFETY: `id` is a valid group as long as `group` lives, and `name` ends with a NUL.
        if unsafe { h5check(H5Lexists(id, name, H5P_DEFAULT)) }? == 0 {
            return Ok(None);
        }
        let mut info = MaybeUninit::<H5L_info2_t>::zeroed();
        // SAFETY: as above, and `info` is writable.
        unsafe { h5check(H5Lget_info2(id, name, info.as_mut_ptr(), H5P_DEFAULT)) }?;
        // SAFETY: the class is an int in C, initialised by the call. It is not read as the enum because a file may
        // have classes that the enum lacks.
        let class = unsafe { (&raw const (*info.as_ptr()).type_).cast::<c_int>().read() };
        if ![SOFT, EXTERNAL].contains(&class) {
            return Ok(Some(Link::Hard));
        }
        let mut value = vec![0_u8; LONGEST_LINK];
        // SAFETY: the buffer has the length that is passed.
        unsafe { h5check(H5Lget_val(id, name, value.as_mut_ptr().cast(), value.len(), H5P_DEFAULT)) }?;
        Ok(Some(if class == SOFT {
            Link::Soft(until_nul(&value))
        } else {
            // A byte for version and flags, then two texts that end with a NUL.
            let mut texts = value[1..].split(|&byte| byte == 0).map(until_nul);
            let mut next = || texts.next().unwrap_or_default();
            Link::External { file: next(), path: next() }
        }))
    })
}

/// A type that the crate `hdf5` cannot describe.
pub(super) enum Odd {
    /// A record: the name and the type of each member.
    Record(Vec<(String, Datatype)>),
    /// An array of several dimensions: the type of its elements, and its shape.
    Array(Datatype, Vec<usize>),
    /// A float of a size that Rust doesn't have, such as a long double.
    Float,
    /// Bits that are not a number: an HDF5 bitfield.
    Bits,
    /// Any other type that the crate `hdf5` cannot describe.
    Other,
}

/// Inspects a type that the crate `hdf5` cannot describe.
pub(super) fn odd(dtype: &Datatype) -> Result<Odd> {
    let id = dtype.id();
    sync(|| {
        // SAFETY: `id` is a valid type as long as `dtype` lives, and so for all calls here.
        Ok(match unsafe { H5Tget_class(id) } {
            H5T_class_t::H5T_FLOAT => Odd::Float,
            H5T_class_t::H5T_ARRAY => {
                // SAFETY: as above; the call returns a new type, of which the wrapper becomes the only owner.
                let element = unsafe { from_id::<Datatype>(h5check(H5Tget_super(id))?)? };
                // SAFETY: as above.
                let mut shape: Vec<hsize_t> = vec![0; unsafe { h5check(H5Tget_array_ndims(id)) }? as usize];
                // SAFETY: the buffer has a number for each dimension.
                unsafe { h5check(H5Tget_array_dims2(id, shape.as_mut_ptr())) }?;
                Odd::Array(element, shape.into_iter().map(|length| length as usize).collect())
            }
            H5T_class_t::H5T_COMPOUND => {
                // SAFETY: as above.
                let count = unsafe { h5check(H5Tget_nmembers(id)) }? as u32;
                let member = |i: u32| {
                    // SAFETY: as above; the name is a new text that ends with a NUL, which is freed once.
                    let (name, ty) = unsafe {
                        let name = H5Tget_member_name(id, i);
                        let text = CStr::from_ptr(name).to_string_lossy().into_owned();
                        H5free_memory(name.cast());
                        (text, from_id::<Datatype>(h5check(H5Tget_member_type(id, i))?)?)
                    };
                    Ok((name, ty))
                };
                Odd::Record((0..count).map(member).collect::<Result<_>>()?)
            }
            H5T_class_t::H5T_BITFIELD => Odd::Bits,
            _ => Odd::Other,
        })
    })
}

/// A member of records: a number, or an array of numbers.
pub(super) struct Member<'a> {
    /// Names of nested records and of the member, the outermost first.
    pub(super) names: &'a [String],
    /// The type of the numbers in memory, 8 bytes each.
    pub(super) number: TypeDescriptor,
    /// Lengths of the array's axes. Empty for a number.
    pub(super) shape: Vec<hsize_t>,
}

impl Member<'_> {
    /// Returns how many numbers the member has in each record.
    pub(super) fn numbers(&self) -> usize {
        self.shape.iter().product::<hsize_t>() as usize
    }
}

/// Reads members of the selected records. Returns the bits of the numbers, 8 bytes each: record after record, and
/// within a record in the order of `members`.
pub(super) fn read_members(dataset: &Dataset, members: &[Member<'_>], selection: hdf5::Selection) -> Result<Vec<u64>> {
    let file = dataset.space()?.select(selection)?;
    let (records, width) = (file.selection_size(), members.iter().map(Member::numbers).sum::<usize>());
    let (memory, mut bits) = (Dataspace::try_new(records)?, vec![0; records * width]);
    sync(|| {
        let whole = record(width)?;
        let mut offset = 0;
        for member in members {
            let (numbers, shape) = (member.numbers(), &member.shape);
            let mut ty = Datatype::from_descriptor(&member.number)?;
            if !shape.is_empty() {
                let (id, axes) = (ty.id(), shape.len() as u32);
                // SAFETY: `shape` has `axes` lengths. The call returns a new type, of which the wrapper becomes the
                // only owner.
                ty = unsafe { from_id(h5check(H5Tarray_create2(id, axes, shape.as_ptr()))?)? };
            }
            let (outer, inner) = member.names.split_first().ok_or_else(|| Error::from("a member without a name"))?;
            for name in inner.iter().rev() {
                let nested = record(numbers)?;
                insert(&nested, name, 0, &ty)?;
                ty = nested;
            }
            insert(&whole, outer, offset, &ty)?;
            offset += numbers;
        }
        let (data, ids) = (bits.as_mut_ptr(), [dataset.id(), whole.id(), memory.id(), file.id()]);
        // SAFETY: all four ids are valid. `bits` has `width` numbers for each record, and so does the record type.
        unsafe { h5check(H5Dread(ids[0], ids[1], ids[2], ids[3], H5P_DEFAULT, data.cast())) }.map(|_| ())
    })?;
    Ok(bits)
}

/// Makes a record type of `numbers` times 8 bytes, without members.
fn record(numbers: usize) -> Result<Datatype> {
    // SAFETY: the call returns a new type, of which the wrapper becomes the only owner.
    unsafe { from_id(h5check(H5Tcreate(H5T_class_t::H5T_COMPOUND, numbers * 8))?) }
}

/// Adds a member to a record's type. The member begins after `offset` numbers of 8 bytes.
fn insert(record: &Datatype, name: &str, offset: usize, ty: &Datatype) -> Result<()> {
    let name = CString::new(name).map_err(|_| Error::from("a name with a NUL"))?;
    // SAFETY: both types are valid, and `name` ends with a NUL.
    unsafe { h5check(H5Tinsert(record.id(), name.as_ptr(), offset * 8, ty.id())) }.map(|_| ())
}
