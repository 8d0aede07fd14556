//! Lists of names in messages.

/// A list of names for a message, cut after the first few.
pub(super) fn some_of<S: AsRef<str>>(names: &[S]) -> String {
    /// Maximum number of names.
    const MOST: usize = 12;
    let shown: Vec<&str> = names.iter().take(MOST).map(AsRef::as_ref).collect();
    let more = names.len().saturating_sub(MOST);
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}
