//! Formats lists of names for messages.

/// Joins the first 12 names with commas. The text ends with the number of names that are left out: "a, b and 3 more".
pub fn some_of<S: AsRef<str>>(names: &[S]) -> String {
    first_of(names, 12)
}

/// Like [`some_of`], but joins the first `most` names instead of the first 12.
pub fn first_of<S: AsRef<str>>(names: &[S], most: usize) -> String {
    let shown: Vec<&str> = names.iter().take(most).map(AsRef::as_ref).collect();
    and_more(&shown.join(", "), names.len() - shown.len())
}

/// Returns `name` and the number of further names, `more`: "a and 3 more". If `more` is 0, returns only `name`.
pub fn and_more(name: &str, more: usize) -> String {
    if more > 0 { format!("{name} and {more} more") } else { name.into() }
}
