//! Adds to a note for the user which recordings it is about.

/// Returns `note` with the name of the recordings before it. A warning stays a warning.
pub(crate) fn note_on(name: &str, note: &str) -> String {
    match note.strip_prefix("warning: ") {
        Some(warning) => format!("warning: {name}: {warning}"),
        None => format!("{name}: {note}"),
    }
}
