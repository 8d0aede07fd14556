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

/// Notes of one kind about one or more recordings or samples. [`Kinds`] says which notes are of one kind.
#[derive(Debug)]
pub(crate) struct Kind {
    /// Name of the first of these recordings.
    pub(crate) name: String,
    /// The note on the first of these recordings.
    pub(crate) note: String,
    /// Number of notes of this kind.
    pub(crate) count: usize,
}

impl Kind {
    /// Returns the first note, with the name of its recording in front. If other recordings have such a note too, their
    /// number follows the name.
    pub(crate) fn text(&self) -> String {
        note_on(&and_more(&self.name, self.count - 1), &self.note)
    }
}

/// Joins notes of one kind: equal notes, warnings with the same words before their first colon, and notes that differ
/// only in a number after their last colon.
#[derive(Debug, Default)]
pub(crate) struct Kinds {
    list: Vec<Kind>,
    places: HashMap<String, usize>,
}

impl Kinds {
    /// Adds a note about the recording or sample `name`.
    pub(crate) fn add(&mut self, name: &str, note: String) {
        self.add_as(kind(&note).to_owned(), name, note);
    }

    /// Adds a note about the recording or sample `name`. The note is of the kind `kind`.
    pub(crate) fn add_as(&mut self, kind: String, name: &str, note: String) {
        let at = *self.places.entry(kind).or_insert(self.list.len());
        if at == self.list.len() {
            self.list.push(Kind { name: name.into(), note, count: 0 });
        }
        self.list[at].count += 1;
    }

    /// Returns the kinds, in the order of their first notes.
    pub(crate) fn into_list(self) -> Vec<Kind> {
        self.list
    }

    /// Returns the text of each kind.
    pub(crate) fn texts(&self) -> impl Iterator<Item = String> {
        self.list.iter().map(Kind::text)
    }
}

impl<N: AsRef<str>> FromIterator<(N, String)> for Kinds {
    fn from_iter<I: IntoIterator<Item = (N, String)>>(notes: I) -> Kinds {
        let mut kinds = Kinds::default();
        notes.into_iter().for_each(|(name, note)| kinds.add(name.as_ref(), note));
        kinds
    }
}

fn kind(note: &str) -> &str {
    if let Some(warning) = note.strip_prefix("warning: ") {
        return warning.split(':').next().unwrap_or(warning);
    }
    let number = note.rsplit_once(": ").filter(|(_, number)| number.parse::<f64>().is_ok());
    number.map_or(note, |(kind, _)| kind)
}

#[cfg(test)]
mod tests {
    use super::Kinds;

    #[test]
    fn notes_of_one_kind_are_joined_in_the_order_of_their_first() {
        let notes = [
            ("b", "events left out: 3"),
            ("a", "warning: a gap: 5 s"),
            ("c", "events left out: 12"),
            ("a", "the field q was not used"),
            ("d", "warning: a gap: 7 s"),
            ("c", "the field r was not used"),
        ];
        let kinds: Kinds = notes.into_iter().map(|(name, note)| (name, note.to_owned())).collect();
        let expected = [
            "b and 1 more: events left out: 3",
            "warning: a and 1 more: a gap: 5 s",
            "a: the field q was not used",
            "c: the field r was not used",
        ];
        assert_eq!(kinds.texts().collect::<Vec<_>>(), expected);
    }
}
