//! Lists the datasets of an HDF5 file, for files whose structure is not known.

use std::collections::VecDeque;
use std::path::Path;

use hdf5::types::{CompoundField, TypeDescriptor};
use hdf5::{Dataset, Group, LocationToken};

use crate::source::columns::FieldPath;
use crate::source::guess::GUESSED_EVENTS;
use crate::source::hdf::column::is_number;
use crate::source::hdf::links::follow;
use crate::source::hdf::member::elements;
use crate::source::hdf::types;
use crate::source::hdf::{File, NumberColumn};
use crate::source::layout::Layout;
use crate::source::survey::{ArrayInfo, ArrayKind, MemberInfo, Survey};

/// Maximum number of objects that are listed, so that a file with very many is opened in time.
const MAX_OBJECTS: usize = 4096;

/// The datasets of a file.
pub(crate) struct Tree<'a> {
    path: &'a Path,
    file: &'a File,
    arrays: Vec<ArrayInfo>,
}

impl<'a> Tree<'a> {
    /// Lists the datasets of the whole file, those near the root first. An object with several names is listed once.
    /// Objects that cannot be opened are left out, except links that lead nowhere.
    pub(crate) fn of_file(path: &'a Path, file: &'a File) -> Tree<'a> {
        let mut arrays = Vec::new();
        let mut seen: Vec<(u64, LocationToken)> = Vec::new();
        let mut groups: VecDeque<(String, Group)> =
            file.as_group().into_iter().map(|root| (String::new(), root)).collect();
        while let Some((prefix, group)) = groups.pop_front() {
            for member in group.member_names().unwrap_or_default() {
                let name = format!("{prefix}{member}");
                let Ok(info) = group.loc_info_by_name(&member) else {
                    let broken = follow(&group, &member).broken.filter(|_| arrays.len() < MAX_OBJECTS);
                    arrays.extend(broken.map(|broken| ArrayInfo::nowhere(name, broken)));
                    continue;
                };
                // MATLAB keeps what its cell arrays refer to in #refs#.
                if seen.len() >= MAX_OBJECTS || member.starts_with('#') || seen.contains(&(info.fileno, info.token)) {
                    continue;
                }
                seen.push((info.fileno, info.token));
                if let Ok(dataset) = group.dataset(&member) {
                    arrays.push(array(name, &dataset));
                } else if let Ok(group) = group.group(&member) {
                    groups.push_back((name + "/", group));
                }
            }
        }
        Tree { path, file, arrays }
    }

    /// Lists one dataset.
    pub(crate) fn of_dataset(path: &'a Path, file: &'a File, name: &str) -> Tree<'a> {
        let dataset = file.dataset(name).ok();
        Tree { path, file, arrays: dataset.iter().map(|dataset| array(name.into(), dataset)).collect() }
    }

    /// Lists the datasets that are in a group itself.
    pub(crate) fn of_group(path: &'a Path, file: &'a File, name: &str) -> Tree<'a> {
        let group = if name.is_empty() { file.as_group() } else { file.group(name) };
        let slash = if name.is_empty() { "" } else { "/" };
        let names = group.iter().flat_map(|group| group.member_names().unwrap_or_default()).take(MAX_OBJECTS);
        let arrays = names.filter_map(|member| {
            let path = format!("{name}{slash}{member}");
            Some(array(path.clone(), &file.dataset(&path).ok()?))
        });
        let arrays = arrays.collect();
        Tree { path, file, arrays }
    }
}

fn array(name: String, dataset: &Dataset) -> ArrayInfo {
    let shape = dataset.shape().iter().map(|&size| size as u64).collect();
    let kind = match dataset.dtype().and_then(|dtype| types::describe(&dtype)) {
        Ok(descriptor) if is_number(&descriptor) => ArrayKind::Number(descriptor.to_string()),
        Ok(descriptor @ TypeDescriptor::Compound(_)) => ArrayKind::Record(members(&descriptor, "")),
        Ok(descriptor) => ArrayKind::Other(descriptor.to_string()),
        Err(_) => ArrayKind::Other("a type that cannot be read".into()),
    };
    ArrayInfo { name, shape, kind }
}

/// The members of a record, those of nested records included.
fn members(record: &TypeDescriptor, prefix: &str) -> Vec<MemberInfo> {
    let TypeDescriptor::Compound(record) = record else { return Vec::new() };
    let of = |field: &CompoundField| {
        let name = format!("{prefix}{}", field.name);
        match &field.ty {
            TypeDescriptor::Compound(_) => members(&field.ty, &format!("{name}.")),
            ty => match elements(ty) {
                Some((number, n)) => {
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

impl Survey for Tree<'_> {
    fn arrays(&self) -> &[ArrayInfo] {
        &self.arrays
    }

    fn sample(&self, field: &FieldPath) -> Option<Vec<f64>> {
        let column = NumberColumn::open(self.path, self.file, field, Layout::Map.name()).ok()?;
        Some(column.read(self.path, 0..column.len.min(GUESSED_EVENTS)).ok()?.floats())
    }

    fn looked(&self) -> String {
        let known = Layout::ALL[..6].iter().map(|(_, name, mark)| format!("{mark} ({name})"));
        known.collect::<Vec<_>>().join(", ")
    }
}
