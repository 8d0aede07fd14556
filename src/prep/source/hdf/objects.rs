//! Lists the datasets of an HDF5 file, with their types and shapes.

use std::collections::VecDeque;

use hdf5::types::{CompoundField, TypeDescriptor};
use hdf5::{Dataset, Group, LocationToken};

use crate::source::columns::{ArrayInfo, ArrayKind, MAX_ARRAYS, MemberInfo};
use crate::source::hdf::links::follow;
use crate::source::hdf::matlab;
use crate::source::hdf::member::elements;
use crate::source::hdf::number_type::is_number;
use crate::source::hdf::types;

/// Datasets of a file. If `has_more` is true, there are others, because at most [`MAX_ARRAYS`] datasets and groups are
/// looked at. This limits the time to open a file with very many objects.
#[derive(Debug, Default)]
pub(super) struct Objects {
    pub(super) arrays: Vec<ArrayInfo>,
    pub(super) has_more: bool,
}

/// Lists the datasets of a whole file, those near the root first. Each dataset is listed once. Datasets that cannot be
/// opened are left out. Broken links are listed.
pub(super) fn objects(file: &hdf5::File) -> Objects {
    objects_in(file.as_group().into_iter().map(|root| (String::new(), root)).collect())
}

/// Lists the datasets that the cells of a MATLAB file refer to. If a cell refers to a group, lists the datasets in it.
pub(super) fn objects_in_cells(file: &hdf5::File) -> Objects {
    let dataset = |array: &ArrayInfo| file.dataset(&array.name).ok();
    let is_cell = |dataset: &Dataset| matlab::class_of(dataset).as_deref() == Some("cell");
    let (mut arrays, mut groups) = (Vec::new(), VecDeque::new());
    let Objects { arrays: all, has_more } = objects(file);
    let cells: Vec<Dataset> = all.iter().filter_map(dataset).filter(is_cell).collect();
    let (paths, are_more) = matlab::in_cells(file, &cells, MAX_ARRAYS);
    for path in paths {
        match (file.dataset(&path), file.group(&path)) {
            (Ok(dataset), _) => arrays.push(array(path, &dataset)),
            (_, Ok(group)) => groups.push_back((path + "/", group)),
            _ => {}
        }
    }
    let nested = objects_in(groups);
    arrays.extend(nested.arrays);
    Objects { arrays, has_more: has_more || are_more || nested.has_more }
}

/// Lists the datasets of groups. Each group comes with the prefix of the names in it.
fn objects_in(mut groups: VecDeque<(String, Group)>) -> Objects {
    let (mut arrays, mut has_more) = (Vec::new(), false);
    let mut seen: Vec<(u64, LocationToken)> = Vec::new();
    while let Some((prefix, group)) = groups.pop_front() {
        for member in group.member_names().unwrap_or_default() {
            let name = format!("{prefix}{member}");
            let Ok(info) = group.loc_info_by_name(&member) else {
                let broken = follow(&group, &member).broken;
                has_more |= broken.is_some() && arrays.len() >= MAX_ARRAYS;
                let broken = broken.filter(|_| arrays.len() < MAX_ARRAYS);
                arrays.extend(broken.map(|broken| ArrayInfo::nowhere(name, broken)));
                continue;
            };
            // MATLAB keeps what its cell arrays refer to in #refs#.
            if member.starts_with('#') || seen.contains(&(info.fileno, info.token)) {
                continue;
            }
            if seen.len() >= MAX_ARRAYS {
                return Objects { arrays, has_more: true };
            }
            seen.push((info.fileno, info.token));
            if let Ok(dataset) = group.dataset(&member) {
                arrays.push(array(name, &dataset));
            } else if let Ok(group) = group.group(&member) {
                groups.push_back((name + "/", group));
            }
        }
    }
    Objects { arrays, has_more }
}

/// How messages describe a dataset that has no shape.
pub(super) const EMPTY: &str = "empty, without a shape, as h5py.Empty saves it";

/// Returns whether a dataset has no shape and no data.
pub(super) fn is_empty(dataset: &Dataset) -> bool {
    dataset.space().is_ok_and(|space| space.is_null())
}

/// Describes a dataset: its name, shape and type. A dataset without a shape gets the shape (0).
pub(super) fn array(name: String, dataset: &Dataset) -> ArrayInfo {
    if is_empty(dataset) {
        return ArrayInfo { name, shape: vec![0], kind: ArrayKind::Other(EMPTY.into()) };
    }
    let shape = matlab::shape(dataset);
    let kind = match dataset.dtype().and_then(|dtype| types::describe(&dtype)) {
        Ok(_) if matlab::class_of(dataset).as_deref() == Some("char") => ArrayKind::Other("letters".into()),
        Ok(descriptor) if is_number(&descriptor) => ArrayKind::Number(descriptor.to_string()),
        Ok(descriptor @ TypeDescriptor::Compound(_)) => ArrayKind::Record(members(&descriptor, "")),
        Ok(descriptor) => ArrayKind::Other(descriptor.to_string()),
        Err(_) => ArrayKind::Other("a type that cannot be read".into()),
    };
    ArrayInfo { name, shape, kind }
}

/// Lists the members of a record and of its nested records, and the elements of arrays. All names begin with `prefix`.
fn members(record: &TypeDescriptor, prefix: &str) -> Vec<MemberInfo> {
    let TypeDescriptor::Compound(record) = record else { return Vec::new() };
    let of = |field: &CompoundField| {
        let name = format!("{prefix}{}", field.name);
        match &field.ty {
            TypeDescriptor::Compound(_) => members(&field.ty, &format!("{name}.")),
            ty => match elements(ty) {
                Some((number, n, _)) => {
                    let element = |i| if n == 1 { name.clone() } else { format!("{name}[{i}]") };
                    let info =
                        |i| MemberInfo { name: element(i), kind: number.to_string(), is_number: is_number(number) };
                    (0..n).map(info).collect()
                }
                None => vec![MemberInfo { name, kind: ty.to_string(), is_number: is_number(ty) }],
            },
        }
    };
    record.fields.iter().flat_map(of).collect()
}
