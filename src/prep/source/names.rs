//! Formats lists of names for messages.

/// Joins the first 12 names with commas. If there are more names, the text ends with the number of the others: "a, b
/// and 3 more".
pub(crate) fn some_of<S: AsRef<str>>(names: &[S]) -> String {
    /// Maximum number of names in the text.
    const MOST: usize = 12;
    let shown: Vec<&str> = names.iter().take(MOST).map(AsRef::as_ref).collect();
    and_more(&shown.join(", "), names.len().saturating_sub(MOST))
}

/// Returns a name for a message. If it stands for `more` other names too, the text ends with their number: "a and 3
/// more".
pub(crate) fn and_more(name: &str, more: usize) -> String {
    if more > 0 { format!("{name} and {more} more") } else { name.into() }
}
