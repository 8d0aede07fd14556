//! Adds names of recordings or samples to notes for the user.

/// Returns `note` with `name` in front: the name of the recording or sample that the note is about. If the note is a
/// warning, the result also begins with `warning: `.
pub(crate) fn note_on(name: &str, note: &str) -> String {
    match note.strip_prefix("warning: ") {
        Some(warning) => format!("warning: {name}: {warning}"),
        None => format!("{name}: {note}"),
    }
}
