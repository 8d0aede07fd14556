//! Finds fields that have the name of a column of events, but whose type or shape does not fit.

use crate::source::columns::{ArrayInfo, ArrayKind, FieldPath, Fields, MemberInfo, Part, Role, UnusableField, shape};

/// Name of the type of Python objects, as `DType` writes it.
const OBJECTS: &str = "objects";

/// Finds fields next to t that have the name of a missing column but cannot be used as that column. `fields` has the
/// columns that are not missing, and `len` is the number of events.
pub(crate) fn unusable(arrays: &[ArrayInfo], fields: &Fields, len: u64) -> Vec<UnusableField> {
    let Some(t) = &fields[0] else { return Vec::new() };
    let group = t.array.rsplit_once('/').map_or("", |(group, _)| group);
    let mut found = Vec::new();
    let mut add = |name: &str, field: FieldPath, kind: Option<&str>, shape: &[u64]| {
        let Some(role) = Role::of(name).filter(|&role| fields[role as usize].is_none()) else { return };
        let long = shape::column(shape) == Some(len);
        let why = match (kind, shape::column(shape)) {
            (Some(OBJECTS), _) if long => "Python objects, which NumPy loads only of files that you trust".into(),
            (Some(kind), _) if long => format!("its type is {kind}, not numbers"),
            (_, Some(entries)) if !long => format!("it has {entries} entries, not {len} as the events"),
            (_, None) => format!("its shape is {shape:?}, not one number an event"),
            _ => return,
        };
        let is_text = long && kind.is_some_and(is_text);
        let is_pickled = long && kind == Some(OBJECTS);
        found.push(UnusableField { role, field: field.to_string(), why, is_text, is_pickled });
    };
    for array in arrays {
        let (own_group, name) = array.group_and_name();
        match &array.kind {
            ArrayKind::Record(members) if array.name == t.array => {
                for MemberInfo { name, kind, .. } in members.iter().filter(|member| !member.is_number) {
                    add(name, array.field(Part::Member(name.clone())), Some(kind), &array.shape);
                }
            }
            ArrayKind::Number(_) if own_group == group => add(name, array.field(Part::Whole), None, &array.shape),
            ArrayKind::Other(kind) if own_group == group => {
                add(name, array.field(Part::Whole), Some(kind), &array.shape);
            }
            _ => {}
        }
    }
    found
}

/// Returns whether `kind` is the name of a text type, in NumPy (`<U3`, `|S3`) or in HDF5 (`string (len 3)`).
pub(crate) fn is_text(kind: &str) -> bool {
    let plain = kind.trim_start_matches(['<', '>', '|', '=']);
    let numpy = plain.strip_prefix(['U', 'S', 'a']).is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit()));
    numpy || kind.starts_with("string") || kind.starts_with("unicode")
}

/// Returns the paths of fields that are named like t or x but don't contain numbers. Such a field is the array itself
/// or a member of its records.
pub(crate) fn unusable_names(array: &ArrayInfo) -> Vec<String> {
    let needed = |name: &str| matches!(Role::of(name), Some(Role::T | Role::X));
    match &array.kind {
        ArrayKind::Other(_) if needed(array.group_and_name().1) => vec![array.name.clone()],
        ArrayKind::Record(members) => {
            let odd = members.iter().filter(|member| !member.is_number && needed(&member.name));
            odd.map(|member| array.field(Part::Member(member.name.clone())).to_string()).collect()
        }
        _ => Vec::new(),
    }
}
