//! Makes text from files safe for a terminal, a picture or a log: replaces invisible characters with escapes.

use std::borrow::Cow;
use std::fmt::Write;

/// Returns a text from a file on one line, with hidden characters as escapes such as `\n`, `\u{1b}` and `\u{202e}`.
///
/// Hidden characters are control characters, line breaks and format characters. The result can be longer than `text`.
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, is_hidden, |escapes, c| escapes.extend(c.escape_default()))
}

/// Like [`printable`], but keeps line feeds. If `text` contains names from files, call [`printable`] for each name
/// first.
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| is_hidden(c) && c != '\n', |escapes, c| escapes.extend(c.escape_default()))
}

/// Replaces hidden characters in a JSON text, except `\n`, `\r` and tabs, with JSON's escapes, such as `\u202e`.
pub fn printable_json(json: &str) -> Cow<'_, str> {
    let between = |c| matches!(c, '\n' | '\r' | '\t');
    escaped(
        json,
        |c| is_hidden(c) && !between(c),
        |escapes, c| {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(escapes, "\\u{unit:04x}");
            }
        },
    )
}

fn escaped(text: &str, hidden: impl Fn(char) -> bool, escape: impl Fn(&mut String, char)) -> Cow<'_, str> {
    if !text.chars().any(&hidden) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if hidden(c) { escape(&mut shown, c) } else { shown.push(c) }
    }
    shown.into()
}

/// Whether a character is hidden: a control character, a line break, or a character without a visible shape.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'
                | '\u{1160}'
                | '\u{17b4}'
                | '\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_become_escapes() {
        for (text, expected) in [
            ("\u{1b}[2J", "\\u{1b}[2J"),
            ("a\nb\tc\rd\0", "a\\nb\\tc\\rd\\u{0}"),
            ("\u{7f}\u{9b}31m", "\\u{7f}\\u{9b}31m"),
            ("\u{202e}txt.\u{2066}", "\\u{202e}txt.\\u{2066}"),
            ("\u{feff}a\u{200b}b\u{2028}", "\\u{feff}a\\u{200b}b\\u{2028}"),
            ("\u{e0041}", "\\u{e0041}"),
        ] {
            assert_eq!(printable(text), expected);
            assert_eq!(printable(&printable(text)), expected, "once more changes nothing");
        }
        assert_eq!(printable_lines("a\n\u{1b}b\t"), "a\n\\u{1b}b\\t");
    }

    #[test]
    fn other_text_is_borrowed() {
        for text in ["", "käse", "左", "اليسار", "Ünïcode 1.5 µs", "🙂", "C:\\new\\table", "nan \u{301}"] {
            assert!(matches!(printable(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    #[test]
    fn json_keeps_its_value() {
        let json = "{\n\t\"a\u{9b}\": \"\u{7f}\u{202e}\u{e0001}ä\"\r\n}";
        assert_eq!(printable_json(json), "{\n\t\"a\\u009b\": \"\\u007f\\u202e\\udb40\\udc01ä\"\r\n}");
    }
}
