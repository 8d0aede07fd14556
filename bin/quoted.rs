//! Quotes the words of commands that the programs suggest, so that the commands can be pasted into a shell.

use std::path::Path;

use tonic_base::printable;

/// Quotes a word so that bash and zsh read exactly this word. Writes invisible characters as escapes.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./,:=+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into();
    }
    if printable(word) == word {
        return format!("'{}'", word.replace('\'', "'\\''"));
    }
    let escaped = word.chars().map(|c| match (c, printable(c.encode_utf8(&mut [0; 4])) == c.to_string()) {
        ('\'' | '\\', _) => format!("\\{c}"),
        (_, true) => c.to_string(),
        // Escaped byte by byte, because \U works only in a UTF-8 locale.
        _ => c.encode_utf8(&mut [0; 4]).bytes().map(|byte| format!("\\x{byte:02x}")).collect(),
    });
    format!("$'{}'", escaped.collect::<String>())
}

/// Quotes a path so that bash and zsh read it as one word, and no program reads it as a flag.
pub(crate) fn quoted_path(path: &Path) -> String {
    let text = path.display().to_string();
    let here = if text.starts_with('-') { "./" } else { "" };
    quoted(&format!("{here}{text}"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{quoted, quoted_path};

    #[test]
    fn words_are_quoted_for_a_shell() {
        for (word, expected) in [
            ("plain/word-1.h5", "plain/word-1.h5"),
            ("", "''"),
            ("my data", "'my data'"),
            ("it's", "'it'\\''s'"),
            ("it's\u{1b}[2J\\\n\u{202e}", "$'it\\'s\\x1b[2J\\\\\\x0a\\xe2\\x80\\xae'"),
        ] {
            assert_eq!(quoted(word), expected);
            assert_eq!(quoted_path(Path::new(word)), expected);
        }
        assert_eq!(quoted("-o"), "-o");
        assert_eq!(quoted_path(Path::new("-my set")), "'./-my set'");
    }

    #[test]
    fn bash_reads_the_word_back() {
        for word in ["a b", "it's", "\u{1b}[2J", "a\nb\\n", "ä \u{9b}31m \u{202e}", "\u{e0041}'"] {
            let command = format!("printf %s {}", quoted(word));
            for locale in ["C", "C.UTF-8"] {
                let output = std::process::Command::new("bash").env("LC_ALL", locale).args(["-c", &command]).output();
                assert_eq!(String::from_utf8(output.unwrap().stdout).unwrap(), word);
            }
        }
    }
}
