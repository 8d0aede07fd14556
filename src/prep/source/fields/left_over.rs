//! Lists the arrays of a file that are not used, such as those of a second camera.

use std::collections::BTreeMap;

use crate::source::columns::{ArrayInfo, ArrayKind};
use crate::source::hdf::File;

/// Datasets that are never listed as unused: indexes of the events by time, and the start time of the recording.
const INDEXES: [&str; 4] = ["ms_to_idx", "ms_map_idx", "indexes", "t_offset"];

/// Names, in lower case, of arrays that may hold the recording's class.
const LABELS: [&str; 6] = ["label", "labels", "target", "targets", "class", "classes"];

/// Lists the arrays that are not in `used`. Leaves out arrays with at most one number, unless their name is in
/// [`LABELS`]. A group without used arrays is one entry, such as `events_right/ (4 arrays)`.
pub(crate) fn elsewhere(arrays: &[ArrayInfo], used: &[&str]) -> Vec<String> {
    let mut places: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for ArrayInfo { name, shape, kind } in arrays {
        let own = name.rsplit('/').next().unwrap_or_default().to_lowercase();
        let is_one = shape.iter().product::<u64>() <= 1 && matches!(kind, ArrayKind::Number(_));
        if (!is_one || LABELS.contains(&own.as_str())) && !used.contains(&name.as_str()) {
            let mut groups = name.match_indices('/').map(|(slash, _)| &name[..=slash]);
            let unused = groups.find(|group| !used.iter().any(|used| used.starts_with(*group)));
            places.entry(unused.unwrap_or(name)).or_default().push(name);
        }
    }
    let nowhere = |name: &str| {
        let is = |array: &ArrayInfo| array.name == name && matches!(array.kind, ArrayKind::Nowhere(_));
        arrays.iter().any(is)
    };
    let entry = |(place, names): (&str, Vec<&str>)| match names[..] {
        [only] if nowhere(only) => format!("{only} (a link that leads nowhere)"),
        [only] => only.to_string(),
        _ => format!("{place} ({} arrays)", names.len()),
    };
    places.into_iter().map(entry).collect()
}

/// Lists the arrays of an HDF5 file that are not in `used`. An array with several names counts as used if one of its
/// names is in `used`.
pub(crate) fn in_hdf5(file: &File, arrays: &[ArrayInfo], used: &[&str]) -> Vec<String> {
    let token = |name: &str| file.loc_info_by_name(name).ok().map(|info| (info.fileno, info.token));
    let tokens: Vec<_> = used.iter().filter_map(|name| token(name)).collect();
    let is_other = |array: &&ArrayInfo| {
        let own = array.name.rsplit('/').next().unwrap_or_default();
        !INDEXES.contains(&own) && token(&array.name).is_none_or(|token| !tokens.contains(&token))
    };
    let others: Vec<ArrayInfo> = arrays.iter().filter(is_other).cloned().collect();
    elsewhere(&others, used)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_that_are_not_used_are_listed_by_group() {
        let number = |name: &str, len: u64| ArrayInfo {
            name: name.into(),
            shape: vec![len],
            kind: ArrayKind::Number("int64".into()),
        };
        let mut arrays: Vec<ArrayInfo> = ["left/t", "left/x", "left/z", "right/t", "right/x", "imu/a/b", "frames"]
            .map(|name| number(name, 9))
            .to_vec();
        arrays.extend([
            number("width", 1),
            number("none", 0),
            number("meta/Label", 1),
            ArrayInfo::nowhere("link".into(), "gone".into()),
        ]);
        let found = elsewhere(&arrays, &["left/t", "left/x"]);
        assert_eq!(
            found,
            ["frames", "imu/a/b", "left/z", "link (a link that leads nowhere)", "meta/Label", "right/ (2 arrays)"]
        );
    }
}
