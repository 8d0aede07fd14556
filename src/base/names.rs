//! Formats lists of names for messages.

/// Joins names with commas. If there are more than 12, joins the first 12 and adds the number of the others: "a, b and
/// 3 more".
pub fn some_of<S: AsRef<str>>(names: &[S]) -> String {
    first_of(names, 12)
}

/// Joins names with commas. If there are more than `most`, joins the first `most` and adds the number of the others:
/// "a, b and 3 more".
pub fn first_of<S: AsRef<str>>(names: &[S], most: usize) -> String {
    let shown: Vec<&str> = names.iter().take(most).map(AsRef::as_ref).collect();
    and_more(&shown.join(", "), names.len() - shown.len())
}

/// Returns `name` and the number of further names, `more`: "a and 3 more". If `more` is 0, returns only `name`.
pub fn and_more(name: &str, more: usize) -> String {
    if more > 0 { format!("{name} and {more} more") } else { name.into() }
}
