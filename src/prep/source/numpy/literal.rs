//! Parses the Python literals in NumPy's headers: strings, integers, booleans, None, tuples, lists and dicts.

/// Maximum depth of nested brackets.
const MAX_DEPTH: usize = 32;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Text(String),
    Integer(u64),
    Bool(bool),
    None,
    /// A tuple or a list.
    Sequence(Vec<Literal>),
    Dict(Vec<(Literal, Literal)>),
}

impl Literal {
    /// Parses a text that is one literal. The error says what was expected and where.
    pub(super) fn parse(text: &str) -> Result<Literal, String> {
        let mut parser = Parser { text, at: 0 };
        let literal = parser.literal(MAX_DEPTH)?;
        parser.skip_spaces();
        if parser.at < text.len() { Err(parser.expected("the end")) } else { Ok(literal) }
    }

    /// Returns the value of `key`, if the literal is a dict with this key.
    pub(super) fn get(&self, key: &str) -> Option<&Literal> {
        let Literal::Dict(entries) = self else { return None };
        entries.iter().find(|(name, _)| matches!(name, Literal::Text(name) if name == key)).map(|(_, value)| value)
    }
}

struct Parser<'a> {
    text: &'a str,
    /// Offset in bytes of the next character.
    at: usize,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn expected(&self, what: &str) -> String {
        let found: String = self.rest().chars().take(12).collect();
        let found = if found.is_empty() { "its end".into() } else { format!("{found:?}") };
        format!("expected {what} at byte {}, got {found}", self.at)
    }

    fn skip_spaces(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    /// Skips spaces and then `token`. Returns whether `token` was there.
    fn take(&mut self, token: &str) -> bool {
        self.skip_spaces();
        let found = self.rest().starts_with(token);
        self.at += if found { token.len() } else { 0 };
        found
    }

    fn literal(&mut self, depth: usize) -> Result<Literal, String> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(format!("its brackets are nested more than {MAX_DEPTH} deep"));
        };
        for (open, close) in [("(", ")"), ("[", "]")] {
            if self.take(open) {
                let (items, commas) = self.items(close, |parser| parser.literal(depth))?;
                // Parentheses around one literal without a comma are not a tuple.
                return match <[Literal; 1]>::try_from(items) {
                    Ok([only]) if open == "(" && !commas => Ok(only),
                    Ok(only) => Ok(Literal::Sequence(only.into())),
                    Err(items) => Ok(Literal::Sequence(items)),
                };
            }
        }
        if self.take("{") {
            let entry = |parser: &mut Self| {
                let key = parser.literal(depth)?;
                if !parser.take(":") {
                    return Err(parser.expected("a colon"));
                }
                Ok((key, parser.literal(depth)?))
            };
            return Ok(Literal::Dict(self.items("}", entry)?.0));
        }
        for (word, literal) in [("True", Literal::Bool(true)), ("False", Literal::Bool(false)), ("None", Literal::None)]
        {
            if self.take(word) {
                return Ok(literal);
            }
        }
        let digits: String = self.rest().chars().take_while(char::is_ascii_digit).collect();
        if !digits.is_empty() {
            let number = digits.parse().map_err(|_| self.expected("an integer below 2^64"))?;
            self.at += digits.len();
            // Python 2 wrote long integers as 10L.
            self.take("L");
            return Ok(Literal::Integer(number));
        }
        self.text().map(Literal::Text)
    }

    /// Reads items that are separated by commas, up to the bracket `close`. Also returns whether there was a comma.
    fn items<T>(
        &mut self,
        close: &str,
        item: impl Fn(&mut Self) -> Result<T, String>,
    ) -> Result<(Vec<T>, bool), String> {
        let (mut items, mut commas) = (Vec::new(), false);
        loop {
            if self.take(close) {
                return Ok((items, commas));
            }
            if !items.is_empty() && !commas {
                return Err(self.expected(&format!("a comma or {close}")));
            }
            items.push(item(self)?);
            let comma = self.take(",");
            if !comma && !self.rest().starts_with(close) {
                return Err(self.expected(&format!("a comma or {close}")));
            }
            commas |= comma;
        }
    }

    /// Reads a string in single or double quotes, with Python's escapes.
    fn text(&mut self) -> Result<String, String> {
        self.skip_spaces();
        // b'...' and u'...' of Python 2.
        if self.rest().starts_with(['b', 'u']) {
            self.at += 1;
        }
        let Some(quote) = self.rest().chars().next().filter(|letter| matches!(letter, '\'' | '"')) else {
            return Err(self.expected("a literal"));
        };
        let (begin, mut text) = (self.at, String::new());
        self.at += 1;
        while let Some(letter) = self.next() {
            match letter {
                '\\' => text.extend(self.escaped()?),
                letter if letter == quote => return Ok(text),
                letter => text.push(letter),
            }
        }
        self.at = begin;
        Err(self.expected("a string with a closing quote"))
    }

    fn next(&mut self) -> Option<char> {
        let letter = self.rest().chars().next()?;
        self.at += letter.len_utf8();
        Some(letter)
    }

    /// Reads the rest of an escape sequence, after its backslash. `None` for a line break, which stands for no
    /// character.
    fn escaped(&mut self) -> Result<Option<char>, String> {
        let digits = match self.next() {
            Some('\n') => return Ok(None),
            Some('n') => return Ok(Some('\n')),
            Some('r') => return Ok(Some('\r')),
            Some('t') => return Ok(Some('\t')),
            Some('0') => return Ok(Some('\0')),
            Some('x') => 2,
            Some('u') => 4,
            Some('U') => 8,
            Some(letter @ ('\\' | '\'' | '"')) => return Ok(Some(letter)),
            _ => return Err(self.expected("a known escape before this")),
        };
        let code = self.rest().get(..digits).and_then(|code| u32::from_str_radix(code, 16).ok());
        let letter = code.and_then(char::from_u32).ok_or_else(|| self.expected("the code of a character"))?;
        self.at += digits;
        Ok(Some(letter))
    }
}

#[cfg(test)]
mod tests {
    use super::Literal::{Bool, Dict, Integer, None, Sequence, Text};
    use super::*;

    #[test]
    fn literals_are_pythons() {
        let text = |text: &str| Text(text.into());
        for (python, expected) in [
            ("'<f8'", text("<f8")),
            (" \"it's\" ", text("it's")),
            (r"'\'\\\x41\u00e9\U0001F600'", text("'\\A\u{e9}\u{1f600}")),
            ("()", Sequence(vec![])),
            ("(7)", Integer(7)),
            ("(7,)", Sequence(vec![Integer(7)])),
            ("(3L, 18446744073709551615)", Sequence(vec![Integer(3), Integer(u64::MAX)])),
            ("[('t', '<i8'), (('Time', 't'), None, (2,))]", {
                let titled = Sequence(vec![text("Time"), text("t")]);
                let second = Sequence(vec![titled, None, Sequence(vec![Integer(2)])]);
                Sequence(vec![Sequence(vec![text("t"), text("<i8")]), second])
            }),
            ("{'a': True, 'b': False, }", Dict(vec![(text("a"), Bool(true)), (text("b"), Bool(false))])),
        ] {
            assert_eq!(Literal::parse(python), Ok(expected), "{python}");
        }
    }

    #[test]
    fn other_texts_are_refused_with_a_place() {
        for (text, said) in [
            ("", "expected a literal at byte 0, got its end"),
            ("(1 2)", "expected a comma or ) at byte 3"),
            ("(1, 2", "expected a comma or ) at byte 5, got its end"),
            ("{'a' 1}", "expected a colon at byte 5"),
            ("'open", "expected a string with a closing quote at byte 0"),
            (r"'\q'", "expected a known escape"),
            (r"'\ud800'", "expected the code of a character"),
            ("1 1", "expected the end at byte 2"),
            ("99999999999999999999", "expected an integer below 2^64"),
            ("eval('x')", "expected a literal at byte 0"),
        ] {
            let error = Literal::parse(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
        assert!(Literal::parse(&"[".repeat(60_000)).unwrap_err().contains("more than 32 deep"));
    }
}
