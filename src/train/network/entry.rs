//! Reads one entry of a network file. Errors name the line of the fault.

use toml::de::{DeTable, DeValue};

/// An error in a network file, with its line.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("line {line}: expected {expected}, got {got}")]
pub struct NetworkFault {
    /// Number of the line, from 1.
    pub line: usize,
    /// Text that says what was expected in this line.
    pub expected: String,
    /// Text that says what the line has instead.
    pub got: String,
}

/// A table of a network file. It remembers which keys were read, to find unknown keys.
pub(super) struct Entry<'a> {
    text: &'a str,
    table: &'a DeTable<'a>,
    line: usize,
    /// Kind of the table, for error messages.
    what: String,
    known: Vec<&'static str>,
}

/// Returns the number of the line, from 1, that has the byte with the index `byte`.
pub(crate) fn line_at(text: &str, byte: usize) -> usize {
    text.as_bytes()[..byte.min(text.len())].iter().filter(|&&byte| byte == b'\n').count() + 1
}

impl<'a> Entry<'a> {
    pub(super) fn new(text: &'a str, table: &'a DeTable<'a>, line: usize, what: impl Into<String>) -> Entry<'a> {
        Entry { text, table, line, what: what.into(), known: Vec::new() }
    }

    pub(super) fn fault<T>(&self, expected: impl Into<String>, got: impl Into<String>) -> Result<T, NetworkFault> {
        Err(NetworkFault { line: self.line, expected: expected.into(), got: got.into() })
    }

    /// Allows `keys` in the table without reading them.
    pub(super) fn know(&mut self, keys: &[&'static str]) {
        self.known.extend(keys);
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Returns the values of the list at `key`, or an error if there is no list.
    pub(super) fn list(&mut self, key: &'static str) -> Result<&'a [toml::Spanned<DeValue<'a>>], NetworkFault> {
        match self.get(key) {
            Some(DeValue::Array(values)) => Ok(values),
            _ => self.wrong(key, "a list of layers, such as [{ linear = 128 }, { neuron = \"lif\" }]"),
        }
    }

    fn get(&mut self, key: &'static str) -> Option<&'a DeValue<'a>> {
        self.known.push(key);
        self.table.get(key).map(|value| value.get_ref())
    }

    /// Returns an error with the line and the value of `key`. If the table doesn't have the key, the line is that of
    /// the table.
    fn wrong<T>(&self, key: &str, expected: &str) -> Result<T, NetworkFault> {
        let Some(value) = self.table.get(key) else { return self.fault(expected, "nothing") };
        let (line, got) = (line_at(self.text, value.span().start), self.text[value.span()].to_owned());
        Err(NetworkFault { line, expected: format!("{key} = {expected}"), got })
    }

    pub(super) fn flag(&mut self, key: &'static str, default: bool) -> Result<bool, NetworkFault> {
        match self.get(key) {
            None => Ok(default),
            Some(DeValue::Boolean(flag)) => Ok(*flag),
            Some(_) => self.wrong(key, "true or false"),
        }
    }

    /// Returns the number at `key`, or `default` without this key. `fits` says whether the number is allowed.
    /// `expected` describes the allowed numbers in error messages.
    pub(super) fn number(
        &mut self,
        key: &'static str,
        default: f32,
        expected: &str,
        fits: impl Fn(f32) -> bool,
    ) -> Result<f32, NetworkFault> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => match number(value).filter(|&value| value.is_finite() && fits(value)) {
                Some(value) => Ok(value),
                None => self.wrong(key, expected),
            },
        }
    }

    pub(super) fn positive(&mut self, key: &'static str, default: f32) -> Result<f32, NetworkFault> {
        self.number(key, default, "a positive number", |value| value > 0.0)
    }

    /// Returns the range `[low, high]` at `key`, or `default` without this key. In the file, a single number stands
    /// for a range from this number to this number. `fits` says whether an end of the range is allowed.
    pub(super) fn range(
        &mut self,
        key: &'static str,
        default: [f32; 2],
        expected: &str,
        fits: impl Fn(f32) -> bool,
    ) -> Result<[f32; 2], NetworkFault> {
        let Some(value) = self.get(key) else { return Ok(default) };
        let ends = match value {
            DeValue::Array(ends) => match ends.as_ref() {
                [low, high] => number(low.get_ref()).zip(number(high.get_ref())),
                _ => None,
            },
            single => number(single).map(|value| (value, value)),
        };
        match ends.filter(|&(low, high)| low.is_finite() && high.is_finite() && low <= high && fits(low) && fits(high))
        {
            Some((low, high)) => Ok([low, high]),
            None => self.wrong(key, &format!("{expected}, or a range [low, high] of them")),
        }
    }

    /// Returns the value for the name at `key`. `names` has all pairs of name and value. Returns `None` if the table
    /// doesn't have the key.
    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        names: &[(&'static str, T)],
    ) -> Result<Option<T>, NetworkFault> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => {
                let chosen = names.iter().find(|(name, _)| value.as_str() == Some(name));
                let expected: Vec<String> = names.iter().map(|(name, _)| format!("{name:?}")).collect();
                chosen.map_or_else(|| self.wrong(key, &expected.join(" or ")), |(_, value)| Ok(Some(*value)))
            }
        }
    }

    /// Returns the number of outputs at the key `linear`, or `None` if the file has `"classes"` there.
    pub(super) fn outputs(&mut self) -> Result<Option<usize>, NetworkFault> {
        const EXPECTED: &str = "a number of outputs from 1 to 1048576, or \"classes\" in the last linear layer";
        match self.get("linear") {
            Some(DeValue::String(text)) if text == "classes" => Ok(None),
            Some(DeValue::Integer(number)) => {
                match number.to_string().parse().ok().filter(|n| (1..=1 << 20).contains(n)) {
                    Some(outputs) => Ok(Some(outputs)),
                    None => self.wrong("linear", EXPECTED),
                }
            }
            _ => self.wrong("linear", EXPECTED),
        }
    }

    /// Returns an error if the table has a key that was not read.
    pub(super) fn finish(self) -> Result<(), NetworkFault> {
        let unknown = self.table.iter().find(|(key, _)| !self.known.iter().any(|known| key.get_ref() == known));
        match unknown {
            None => Ok(()),
            Some((key, _)) => Err(NetworkFault {
                line: line_at(self.text, key.span().start),
                expected: format!("keys of {}: {}", self.what, self.known.join(", ")),
                got: key.get_ref().to_string(),
            }),
        }
    }
}

fn number(value: &DeValue<'_>) -> Option<f32> {
    match value {
        DeValue::Integer(number) => number.to_string().replace('_', "").parse().ok(),
        DeValue::Float(number) => number.to_string().replace('_', "").parse().ok(),
        _ => None,
    }
}
