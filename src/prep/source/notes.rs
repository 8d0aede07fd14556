//! Names the recordings that a note for the user is about.

/// Returns a note about the recordings `name`. A warning stays one.
pub(crate) fn note_on(name: &str, note: &str) -> String {
    match note.strip_prefix("warning: ") {
        Some(warning) => format!("warning: {name}: {warning}"),
        None => format!("{name}: {note}"),
    }
}
