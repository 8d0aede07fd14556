//! Names of fields in a map. A name with a comma, or that could be read as something else, is in double quotes:
//! `t="time, s",x="a[0]"[2]`. In quotes, a backslash stands before a quote or another backslash.

/// Splits a map into its parts, at the commas that are in no quotes. Quotes begin after `=`.
pub(super) fn parts(map: &str) -> Vec<&str> {
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

/// Splits a field into its name and what follows the name's quotes. A name without quotes is the whole text.
///
/// # Errors
/// Quotes that do not end.
pub(super) fn unquote(field: &str) -> Result<(String, Option<&str>), String> {
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

/// A name as a map has it.
pub(super) fn quote(name: &str) -> String {
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
