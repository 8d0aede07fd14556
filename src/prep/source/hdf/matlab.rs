//! Reads the attributes that describe MATLAB arrays in HDF5. MATLAB files of version 7.3 are HDF5.
//!
//! | array | how it is stored |
//! |---|---|
//! | numbers | a dataset, its axes in reverse order; attribute `MATLAB_class`: double, uint8, logical ... |
//! | text | letters of 16 bits; `MATLAB_class` is char |
//! | struct | a group with a dataset for each field |
//! | cell | references to objects in the group `#refs#` |
//! | empty array | a dataset with the array's shape as its numbers; `MATLAB_empty` is 1 |

use hdf5::types::FixedAscii;
use hdf5::{Container, Dataset, Location, LocationToken, ObjectReference1, ReferencedObject};

use crate::source::columns::MAX_TEXT;

/// Group with the objects that cells refer to.
const REFERRED: &str = "#refs#";
/// Returns the class of an array, such as `double`. `None` if MATLAB did not write the array.
pub(crate) fn class_of(place: &Location) -> Option<String> {
    let class = place.attr("MATLAB_class").ok().filter(|class| class.size() == 1)?;
    Some(class.read_raw::<FixedAscii<32>>().ok()?.first()?.as_str().into())
}

/// Returns whether a dataset stands for an array without elements. Such a dataset stores the shape of the array.
pub(super) fn is_empty(place: &Location) -> bool {
    let number = || place.attr("MATLAB_empty").ok()?.read_raw::<f64>().ok()?.first().copied();
    number().is_some_and(|is| is != 0.0)
}

/// Returns the shape of a dataset. The shape is (0) if the dataset stands for an array without elements.
pub(super) fn shape(dataset: &Dataset) -> Vec<u64> {
    match is_empty(dataset) {
        true => vec![0],
        false => dataset.shape().iter().map(|&size| size as u64).collect(),
    }
}

/// Reads a text. `None` if the array is not a text, has more than [`MAX_TEXT`] letters, or has several rows.
pub(crate) fn letters(place: &Container) -> Option<String> {
    let long = place.shape().iter().filter(|&&length| length != 1).count();
    let is_text = class_of(place).as_deref() == Some("char") && !is_empty(place);
    if long > 1 || place.size() > MAX_TEXT || !is_text {
        return None;
    }
    Some(String::from_utf16_lossy(&place.read_raw::<u16>().ok()?))
}

/// Returns the paths of the objects that the given cells refer to. The second value is true if some may be missing,
/// because at most `most` objects of the file and `most` references in cells are looked at.
pub(super) fn in_cells(file: &hdf5::File, cells: &[Dataset], most: usize) -> (Vec<String>, bool) {
    let Ok(group) = file.group(REFERRED) else { return (Vec::new(), false) };
    let mut found: Vec<(LocationToken, String)> = Vec::new();
    let names = group.member_names().unwrap_or_default();
    let mut has_more = names.len() > most;
    for name in names.into_iter().take(most) {
        if let Ok(info) = group.loc_info_by_name(&name) {
            found.push((info.token, format!("{REFERRED}/{name}")));
        }
    }
    let (short, long): (Vec<&Dataset>, Vec<_>) =
        cells.iter().filter(|cell| !is_empty(cell)).partition(|cell| cell.size() <= most);
    has_more |= !long.is_empty() || short.iter().map(|cell| cell.size()).sum::<usize>() > most;
    let references = short.iter().flat_map(|cell| cell.read_raw::<ObjectReference1>().unwrap_or_default());
    let token = |reference: ObjectReference1| match file.dereference(&reference).ok()? {
        ReferencedObject::Dataset(dataset) => dataset.loc_info().ok().map(|info| info.token),
        ReferencedObject::Group(group) => group.loc_info().ok().map(|info| info.token),
        ReferencedObject::Datatype(_) => None,
    };
    let referred: Vec<LocationToken> = references.take(most).filter_map(token).collect();
    (found.into_iter().filter(|(token, _)| referred.contains(token)).map(|(_, path)| path).collect(), has_more)
}
