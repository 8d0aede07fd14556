//! Says which recordings a note for the user is about, and joins notes of one kind.

use std::collections::HashMap;

use tonic_base::and_more;

/// Returns `note` with `name` in front: the name of the recording or sample that the note is about. If the note is a
/// warning, the result also begins with `warning: `.
pub(crate) fn note_on(name: &str, note: &str) -> String {
    match note.strip_prefix("warning: ") {
        Some(warning) => format!("warning: {name}: {warning}"),
        None => format!("{name}: {note}"),
    }
}

/// Notes of one kind about one or more recordings. [`kinds`] says which notes are of one kind.
pub(crate) struct Kind<'a> {
    /// Name of the first recording that has a note of this kind.
    pub(crate) name: &'a str,
    /// The note on the first recording that has a note of this kind.
    pub(crate) note: String,
    /// Number of notes of this kind.
    pub(crate) count: usize,
}

impl Kind<'_> {
    /// Returns the first note, with the name of its recording in front. If other recordings have a note of this kind
    /// too, the number of these recordings follows the name.
    pub(crate) fn text(&self) -> String {
        note_on(&and_more(self.name, self.count - 1), &self.note)
    }
}

/// Joins notes of one kind. These are equal notes, warnings with the same words before their first colon, or notes that
/// differ only in a number after their last colon. Each of the `notes` is a pair: the name of a recording, and a note
/// about this recording.
pub(crate) fn kinds<'a>(notes: impl Iterator<Item = (&'a str, String)>) -> Vec<Kind<'a>> {
    let mut found: Vec<Kind<'a>> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for (name, note) in notes {
        let at = *places.entry(kind(&note).into()).or_insert(found.len());
        if at == found.len() {
            found.push(Kind { name, note, count: 0 });
        }
        found[at].count += 1;
    }
    found
}

fn kind(note: &str) -> &str {
    if let Some(warning) = note.strip_prefix("warning: ") {
        return warning.split(':').next().unwrap_or(warning);
    }
    let number = note.rsplit_once(": ").filter(|(_, number)| number.parse::<f64>().is_ok());
    number.map_or(note, |(kind, _)| kind)
}
