//! Formats lists of names for messages.

/// Joins the first 12 names with commas. If there are more names, the text ends with their number.
pub(super) fn some_of<S: AsRef<str>>(names: &[S]) -> String {
    /// Maximum number of names in the text.
    const MOST: usize = 12;
    let shown: Vec<&str> = names.iter().take(MOST).map(AsRef::as_ref).collect();
    let more = names.len().saturating_sub(MOST);
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}
