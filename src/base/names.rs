//! Formats lists of names for messages.

/// Joins the first 12 names with commas. If there are more names, the text ends with the number of the others: "a, b
/// and 3 more".
pub fn some_of<S: AsRef<str>>(names: &[S]) -> String {
    first_of(names, 12)
}

/// Like [`some_of`], but with the first `most` names.
pub fn first_of<S: AsRef<str>>(names: &[S], most: usize) -> String {
    let shown: Vec<&str> = names.iter().take(most).map(AsRef::as_ref).collect();
    and_more(&shown.join(", "), names.len() - shown.len())
}

/// Returns a name for a message. If it stands for `more` other names too, the text ends with their number: "a and 3
/// more".
pub fn and_more(name: &str, more: usize) -> String {
    if more > 0 { format!("{name} and {more} more") } else { name.into() }
}
