//! The signature of a transform or framing: its name, and the types and defaults of its parameters.

use serde::de::DeserializeOwned;
use serde_json::json;
use toml::{Table, Value};

use crate::fault::{Checked, Fault};

/// Name, description and parameters of a transform or framing.
#[derive(Clone, Copy, Debug)]
pub struct Signature {
    /// Name in Tonic and in recipes.
    pub name: &'static str,
    /// One-line description.
    pub about: &'static str,
    /// All parameters, in the order of the help text.
    pub parameters: &'static [Parameter],
}

/// A parameter, with Tonic's name and default.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Name in Tonic and in recipes.
    pub name: &'static str,
    /// Type of the value.
    pub kind: Kind,
    /// What happens if a recipe leaves out the parameter.
    pub default: IfAbsent,
    /// Meaning of the parameter, with its unit.
    pub about: &'static str,
}

/// What happens if a recipe leaves out a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfAbsent {
    /// An error: the parameter is required.
    Required,
    /// The parameter has no value. It is optional.
    Absent,
    /// The parameter has this default value, in TOML syntax.
    Is(&'static str),
}

/// The type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number: an integer or a float.
    Number,
    /// A single number. Tonic also takes a range, and draws a random number from it.
    FixedNumber,
    /// One number for both x and y, or a pair with one number for each.
    Numbers,
    /// A signed 64-bit integer.
    Whole,
    /// A non-negative 32-bit integer.
    Count,
    /// One number for both width and height, or a pair (width, height).
    Sizes,
    /// A pair (width, height).
    Size,
    /// A sensor size (width, height, polarities).
    Sensor,
    /// A list of pixels (x, y).
    Pixels,
    /// True or false.
    Flag,
    /// One of the strings in this list.
    Word(&'static [&'static str]),
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Kind::Number => "a number",
            Kind::FixedNumber => "one number (a range to draw from belongs to training)",
            Kind::Numbers => "a number, or [x, y]",
            Kind::Whole => "a whole number",
            Kind::Count => "a count, 0 to 2^32 - 1",
            Kind::Sizes => "a size, or [width, height]",
            Kind::Size => "[width, height]",
            Kind::Sensor => "[width, height, polarities]",
            Kind::Pixels => "a list of [x, y]",
            Kind::Flag => "true or false",
            Kind::Word(words) => return write!(f, "\"{}\"", words.join("\" or \"")),
        })
    }
}

impl Kind {
    fn admits(self, value: &Value) -> bool {
        let number = |v: &Value| v.is_integer() || v.is_float();
        let count = |v: &Value| v.as_integer().is_some_and(|n| (0..=i64::from(u32::MAX)).contains(&n));
        let list = |n: usize, of: &dyn Fn(&Value) -> bool| {
            value.as_array().is_some_and(|values| values.len() == n && values.iter().all(of))
        };
        match self {
            Kind::Number | Kind::FixedNumber => number(value),
            Kind::Numbers => number(value) || list(2, &number),
            Kind::Whole => value.is_integer(),
            Kind::Count => count(value),
            Kind::Sizes => count(value) || list(2, &count),
            Kind::Size => list(2, &count),
            Kind::Sensor => list(3, &count),
            Kind::Pixels => value.as_array().is_some_and(|pixels| pixels.iter().all(|v| Kind::Size.admits(v))),
            Kind::Flag => value.is_bool(),
            Kind::Word(words) => value.as_str().is_some_and(|word| words.contains(&word)),
        }
    }
}

impl Parameter {
    /// The optional parameter `sensor_size` of a step. It must equal the size of the sensor at this step.
    pub(crate) const SENSOR_SIZE: Parameter =
        Parameter::optional("sensor_size", Kind::Sensor, "the sensor at this step, to be checked");

    pub(crate) const fn required(name: &'static str, kind: Kind, about: &'static str) -> Parameter {
        Parameter { name, kind, default: IfAbsent::Required, about }
    }

    pub(crate) const fn optional(name: &'static str, kind: Kind, about: &'static str) -> Parameter {
        Parameter { name, kind, default: IfAbsent::Absent, about }
    }

    pub(crate) const fn with(name: &'static str, kind: Kind, default: &'static str, about: &'static str) -> Parameter {
        Parameter { name, kind, default: IfAbsent::Is(default), about }
    }
}

impl Signature {
    /// Checks the parameters in `table`, and makes a transform or framing from them. Ignores the key `name`. The field
    /// `place` of a fault is the name of the wrong parameter. It is empty for an unknown parameter or a number out of
    /// range.
    pub(crate) fn read<T: DeserializeOwned>(&self, table: Table) -> Checked<T> {
        let named = |key: &str| self.parameters.iter().find(|p| p.name == key);
        for (key, value) in table.iter().filter(|(key, _)| *key != "name") {
            let Some(parameter) = named(key) else {
                let names: Vec<&str> = self.parameters.iter().map(|p| p.name).collect();
                let expected = match names[..] {
                    [] => "no parameters".into(),
                    _ => format!("a parameter of {}: {}", self.name, names.join(", ")),
                };
                return Err(Fault::new("", expected, key));
            };
            if !parameter.kind.admits(value) {
                return Err(Fault::new(key, parameter.kind.to_string(), value));
            }
        }
        let missing = |p: &&Parameter| p.default == IfAbsent::Required && !table.contains_key(p.name);
        if let Some(parameter) = self.parameters.iter().find(missing) {
            return Err(Fault::new(parameter.name, parameter.kind.to_string(), "none"));
        }
        // The kinds were checked above, so this fails only for numbers out of range.
        Value::Table(table).try_into().map_err(|e: toml::de::Error| Fault::new("", "other parameters", one_line(&e)))
    }
}

/// Message of a TOML error in one line, without the excerpt of the TOML source.
pub(crate) fn one_line(error: &toml::de::Error) -> String {
    error.message().lines().collect::<Vec<_>>().join(", ")
}

/// All transforms and framings that a recipe can name.
#[derive(Clone, Copy, Debug)]
pub struct Catalogue {
    /// Signatures of the transforms, which a recipe names in `[[transform]]`.
    pub transforms: &'static [Signature],
    /// Signatures of the framings, which a recipe names in `[frames]`.
    pub framings: &'static [Signature],
}

impl Catalogue {
    /// Returns the catalogue as text for people. `tonic-prep transforms` prints it.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let parts = [
            ("[[transform]]: what happens to the events, one table each, in order", self.transforms),
            ("[frames]: how they become frames, one table; without a name it is ToFrame", self.framings),
        ];
        for (heading, list) in parts {
            text.push_str(&format!("{heading}\n"));
            for signature in list {
                text.push_str(&format!("\n  {}: {}\n", signature.name, signature.about));
                for Parameter { name, kind, default, about } in signature.parameters {
                    let default = match default {
                        IfAbsent::Required => "; required".into(),
                        IfAbsent::Absent => String::new(),
                        IfAbsent::Is(value) => format!("; default {value}"),
                    };
                    text.push_str(&format!("    {name:<25}{about}: {kind}{default}\n"));
                }
            }
            text.push('\n');
        }
        text
    }

    /// Returns the catalogue as one JSON object with the lists `transforms` and `framings`. Each item has `name`,
    /// `about` and `parameters`. Each parameter has `name`, `about`, `kind`, `required` and `default`, which is null if
    /// there is no default value.
    pub fn json(&self) -> serde_json::Value {
        let parameter = |p: &Parameter| {
            let value = match p.default {
                IfAbsent::Is(text) => {
                    format!("v = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("v"))
                }
                _ => None,
            };
            json!({
                "name": p.name,
                "about": p.about,
                "kind": p.kind.to_string(),
                "required": p.default == IfAbsent::Required,
                "default": value,
            })
        };
        let list = |list: &[Signature]| -> Vec<_> {
            let parameters = |signature: &Signature| signature.parameters.iter().map(parameter).collect::<Vec<_>>();
            list.iter().map(|k| json!({"name": k.name, "about": k.about, "parameters": parameters(k)})).collect()
        };
        json!({"transforms": list(self.transforms), "framings": list(self.framings)})
    }
}
