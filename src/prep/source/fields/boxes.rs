//! Recognises files of bounding boxes, such as the labels of Prophesee's data sets. The records of boxes have t, x and
//! y, too, so they could be mistaken for events.

use std::path::Path;

use crate::error::Error;

/// Usual names, in lower case, of the four fields that give the position and the size of a box.
const BOXES: [[&str; 4]; 4] =
    [["x", "y", "w", "h"], ["x", "y", "width", "height"], ["x1", "y1", "x2", "y2"], ["xmin", "ymin", "xmax", "ymax"]];
/// Names, in lower case, of fields that say what is in a box.
const OBJECTS: [&str; 8] =
    ["class_id", "class", "category", "label", "track_id", "object_id", "class_confidence", "confidence"];

/// Returns whether fields with these names describe boxes: position, size, and what is in each box.
pub(super) fn are_boxes(fields: &[&str]) -> bool {
    let has = |name: &str| fields.iter().any(|field| field.eq_ignore_ascii_case(name));
    BOXES.into_iter().any(|names| names.into_iter().all(has)) && OBJECTS.into_iter().any(has)
}

/// Makes the error for a file that has boxes but no events. `place` is the group or array with the boxes.
pub(super) fn boxes(path: &Path, place: &str, fields: &[&str]) -> Error {
    Error::Foreign {
        path: path.into(),
        place: place.into(),
        expected: "events".into(),
        format: format!("boxes around objects, which are labels and no events ({})", fields.join(", ")),
        reader: "leave it out, and convert the recording that the boxes belong to".into(),
        command: None,
    }
}
