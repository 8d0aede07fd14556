//! Finds what differs between two texts, for errors and reports.

/// Returns two texts of one line each: what only `a` has, and what only `b` has.
///
/// - Texts of at most one line are returned whole.
/// - Other texts are recipes in TOML. Returns the keys that differ, with their values: `CropTime.max = 5000`.
/// - If only the order of the keys differs, returns the two orders.
pub fn differing_parts(a: &str, b: &str) -> (String, String) {
    let (a, b) = (a.trim(), b.trim());
    if a.lines().count() <= 1 && b.lines().count() <= 1 {
        return (a.into(), b.into());
    }
    let (parts_a, parts_b) = (parts(a), parts(b));
    let only = (without(&parts_a, &parts_b), without(&parts_b, &parts_a));
    if only.0.is_empty() && only.1.is_empty() {
        return in_other_order(&parts_a, &parts_b).unwrap_or_else(|| (in_one_line(a), in_one_line(b)));
    }
    let words = |parts: Vec<&str>| if parts.is_empty() { "nothing more".into() } else { parts.join(", ") };
    (words(only.0), words(only.1))
}

/// Joins names with commas. Quotes unusual names, so that different lists give different texts.
pub fn listed(names: &[String]) -> String {
    let quote = |name: &String| {
        let is_plain = !name.is_empty() && !name.contains([',', ';', '"']);
        if is_plain { name.clone() } else { format!("{name:?}") }
    };
    names.iter().map(quote).collect::<Vec<_>>().join(", ")
}

/// Returns the items of a recipe: the names of its tables, and its keys with their values (`time_window = 4000`). A key
/// in a table that has a name gets this name as a prefix: `CropTime.max = 5000`.
fn parts(text: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).peekable();
    let mut table = String::new();
    while let Some(line) = lines.next() {
        if line.starts_with('[') && line.ends_with(']') {
            table.clear();
            if let Some(name) = lines.peek().and_then(|next| next.strip_prefix("name = ")) {
                let name = name.trim_matches('"');
                parts.push(name.to_string());
                table = format!("{name}.");
                lines.next();
            }
        } else {
            parts.push(format!("{table}{line}"));
        }
    }
    parts
}

/// Returns the items of `a` that remain after each item of `b` is removed once.
fn without<'a>(a: &'a [String], b: &[String]) -> Vec<&'a str> {
    let mut others: Vec<&String> = b.iter().collect();
    let is_new = |part: &&String| match others.iter().position(|other| other == part) {
        Some(at) => {
            others.swap_remove(at);
            false
        }
        None => true,
    };
    a.iter().filter(is_new).map(String::as_str).collect()
}

/// Compares two lists that have the same items. Returns two texts: each lists the items of one list from the first to
/// the last position at which the lists differ. `None` if the order is the same.
fn in_other_order(a: &[String], b: &[String]) -> Option<(String, String)> {
    let differs = |(a, b): (&String, &String)| a != b;
    let first = a.iter().zip(b).position(differs)?;
    let last = a.iter().zip(b).rposition(differs)?;
    let words = |parts: &[String]| format!("in the order {}", parts[first..=last].join(", "));
    Some((words(a), words(b)))
}

fn in_one_line(text: &str) -> String {
    text.replace('\n', "; ")
}

#[cfg(test)]
mod tests {
    use super::{differing_parts, listed};

    const RECIPE: &str = "[[transform]]\nname = \"Downsample\"\ntime_factor = 1.0\n\n[[transform]]\nname = \"CropTime\"\n\
                          min = 0\nmax = 1000000\n\n[frames]\ntime_window = 4000\noverlap = 0.0\n";

    fn assert_differs(b: &str, expected: &str, got: &str) {
        assert_eq!(differing_parts(RECIPE, b), (expected.to_string(), got.to_string()));
    }

    #[test]
    fn only_the_keys_that_differ_are_told_with_their_tables() {
        assert_differs(
            &RECIPE.replace("4000", "5000").replace("1000000", "7"),
            "CropTime.max = 1000000, time_window = 4000",
            "CropTime.max = 7, time_window = 5000",
        );
        let shorter = RECIPE.replace("[[transform]]\nname = \"CropTime\"\nmin = 0\nmax = 1000000\n", "");
        assert_differs(&shorter, "CropTime, CropTime.min = 0, CropTime.max = 1000000", "nothing more");
        assert_differs("", &super::parts(RECIPE).join(", "), "nothing more");
    }

    #[test]
    fn steps_in_another_order_are_told() {
        let turned = "[[transform]]\nname = \"CropTime\"\nmin = 0\nmax = 1000000\n\n[[transform]]\n\
                      name = \"Downsample\"\ntime_factor = 1.0\n\n[frames]\ntime_window = 4000\noverlap = 0.0\n";
        let (expected, got) = differing_parts(RECIPE, turned);
        assert!(expected.starts_with("in the order Downsample, Downsample.time_factor = 1.0, CropTime,"), "{expected}");
        assert!(got.starts_with("in the order CropTime, CropTime.min = 0,"), "{got}");
        assert!(!expected.contains("frames") && !got.contains("frames"), "{expected} {got}");
    }

    #[test]
    fn texts_of_one_line_are_told_whole() {
        assert_eq!(differing_parts("(1, 1, 140)", "(1, 1, 700)"), ("(1, 1, 140)".into(), "(1, 1, 700)".into()));
        assert_eq!(differing_parts("low, high\n", ""), ("low, high".into(), String::new()));
    }

    #[test]
    fn lists_with_other_names_have_other_texts() {
        let text = |names: &[&str]| listed(&names.iter().map(|name| name.to_string()).collect::<Vec<_>>());
        let lists =
            [&["a", "b"][..], &["a, b"], &["\"a, b\""], &["a,b"], &["a, ", "b"], &["", "a"], &["a"], &[], &[""]];
        for (i, list) in lists.iter().enumerate() {
            assert!(lists[..i].iter().all(|other| text(other) != text(list)), "{list:?}");
        }
        assert_eq!((text(&["a", "left turn"]), text(&["a, b"])), ("a, left turn".into(), "\"a, b\"".into()));
    }
}
