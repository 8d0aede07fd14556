//! Reads and writes the names of fields in a user's map of columns: `t=FIELD,x=FIELD,...`.
//!
//! A field's name is in double quotes, as in `t="time, s",x="a[0]"[2]`, if it:
//!
//! - contains a comma
//! - begins with a quote
//! - ends with `]`
//! - begins or ends with a space
//!
//! Inside the quotes, a backslash comes before each quote and each backslash.

/// Splits a map of columns into parts such as `t=FIELD`, at the commas outside quotes.
pub(crate) fn parts(map: &str) -> Vec<&str> {
    let (mut quoted, mut escaped, mut before) = (false, false, ' ');
    let is_comma = |c: char| {
        let ends = c == ',' && !quoted;
        quoted ^= c == '"' && if quoted { !escaped } else { before == '=' };
        escaped = quoted && c == '\\' && !escaped;
        before = if c == ' ' { before } else { c };
        ends
    };
    map.split(is_comma).collect()
}

/// Splits the text of a field into its quoted name and the text after the closing quote. Without an opening quote, the
/// whole text is the name. The error is a message about a missing closing quote.
pub(crate) fn unquote(field: &str) -> Result<(String, Option<&str>), String> {
    let Some(inner) = field.strip_prefix('"') else { return Ok((field.into(), None)) };
    let (mut name, mut chars) = (String::new(), inner.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((name, Some(&inner[at + 1..]))),
            '\\' => name.extend(chars.next().map(|(_, c)| c)),
            c => name.push(c),
        }
    }
    Err(format!("{field} has quotes that do not end"))
}

/// Returns a field's name as it is written in a map of columns: in quotes if necessary.
pub(crate) fn quote(name: &str) -> String {
    let is_plain = name.trim() == name && !name.starts_with('"') && !name.ends_with(']') && !name.contains(',');
    if is_plain { name.into() } else { format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_comes_back_from_a_map() {
        for name in ["t", "a b", "time, s", "a[0]", " x ", "\"t\"", "a\\", "a\\\",b", ",", "t=x", "a\"b", "events/t"] {
            let map = format!("t={},x=\"a,b\"[2]", quote(name));
            let parts = parts(&map);
            assert_eq!(parts.len(), 2, "{map}");
            assert_eq!(unquote(&parts[0][2..]).unwrap().0, name, "{map}");
            assert_eq!(unquote(&parts[1][2..]), Ok(("a,b".into(), Some("[2]"))));
        }
        assert_eq!((quote("a b").as_str(), quote("a, b").as_str()), ("a b", "\"a, b\""));
        assert!(unquote("\"a").is_err());
    }
}
