//! What a recipe can name and which parameters each name takes: one list for reading recipes, for errors and for help.

use serde::de::DeserializeOwned;
use serde_json::json;
use toml::{Table, Value};

/// A transform or a framing, as a recipe names it.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Tonic's name.
    pub name: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    /// What it takes.
    pub parameters: &'static [Parameter],
}

/// A parameter, with Tonic's name and default.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Tonic's name.
    pub name: &'static str,
    /// What it can be.
    pub kind: Kind,
    /// What it is where a recipe leaves it out.
    pub default: IfAbsent,
    /// What it means, with its unit.
    pub about: &'static str,
}

/// What a parameter is where a recipe leaves it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfAbsent {
    /// It has to be given.
    Required,
    /// Nothing.
    Absent,
    /// A value, as TOML writes it.
    Is(&'static str),
}

/// What a parameter can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number, whole or not.
    Number,
    /// A number, where Tonic takes a range too and draws from it.
    FixedNumber,
    /// A number, or one for x and one for y.
    Numbers,
    /// A whole number.
    Whole,
    /// A whole number of 32 bits that is not negative.
    Count,
    /// One size, or width and height.
    Sizes,
    /// Width and height.
    Size,
    /// Width, height and polarities.
    Sensor,
    /// A list of x and y.
    Pixels,
    /// True or false.
    Flag,
    /// One of several words.
    Word(&'static [&'static str]),
}

/// What is wrong with a recipe, or with what it makes of a sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The transform and its parameter.
    pub place: String,
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub got: String,
}

/// `Ok`, or what is wrong.
pub type Checked<T = ()> = std::result::Result<T, Fault>;

impl Fault {
    /// A fault of a place.
    pub fn new(place: impl Into<String>, expected: impl Into<String>, got: impl ToString) -> Fault {
        Fault { place: place.into(), expected: expected.into(), got: got.to_string() }
    }

    /// The same in a wider place: a parameter becomes one of `place`, and nothing becomes `place` itself.
    pub(super) fn within(mut self, place: &str) -> Fault {
        let dot = if self.place.is_empty() { "" } else { "." };
        self.place = format!("{place}{dot}{}", self.place);
        self
    }
}

/// `Ok` where `holds`; the fault of a parameter where not.
pub(super) fn ensure(holds: bool, parameter: &str, expected: &str, got: impl ToString) -> Checked {
    if holds { Ok(()) } else { Err(Fault::new(parameter, expected, got)) }
}

impl std::fmt::Display for IfAbsent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            IfAbsent::Required => "required",
            IfAbsent::Absent => "none",
            IfAbsent::Is(value) => value,
        })
    }
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
    pub(super) const fn required(name: &'static str, kind: Kind, about: &'static str) -> Parameter {
        Parameter { name, kind, default: IfAbsent::Required, about }
    }

    pub(super) const fn optional(name: &'static str, kind: Kind, about: &'static str) -> Parameter {
        Parameter { name, kind, default: IfAbsent::Absent, about }
    }

    pub(super) const fn with(name: &'static str, kind: Kind, default: &'static str, about: &'static str) -> Parameter {
        Parameter { name, kind, default: IfAbsent::Is(default), about }
    }
}

impl Known {
    /// Reads one from its table, which has its `name` too. The fault's place is the parameter.
    pub(super) fn read<T: DeserializeOwned>(&self, table: Table) -> Checked<T> {
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
        // What the kinds admit, the types take; a number beyond them is the exception.
        Value::Table(table).try_into().map_err(|e: toml::de::Error| Fault::new("", "other parameters", one_line(&e)))
    }
}

/// TOML's own words, without the picture of the place.
pub(super) fn one_line(error: &toml::de::Error) -> String {
    error.message().lines().collect::<Vec<_>>().join(", ")
}

/// The transforms and the framings, as a text for people.
pub fn text([transforms, framings]: [&[Known]; 2]) -> String {
    let mut text = String::new();
    let parts = [
        ("[[transform]]: what happens to the events, one table each, in order", transforms),
        ("[frames]: how they become frames, one table; without a name it is ToFrame", framings),
    ];
    for (heading, list) in parts {
        text.push_str(&format!("{heading}\n"));
        for known in list {
            text.push_str(&format!("\n  {}: {}\n", known.name, known.about));
            for Parameter { name, kind, default, about } in known.parameters {
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

/// The same for programs: of each its `name`, `about` and `parameters`, which have `name`, `about`, `kind`,
/// `required` and `default` (null for none).
pub fn json([transforms, framings]: [&[Known]; 2]) -> serde_json::Value {
    let parameter = |p: &Parameter| {
        let value = match p.default {
            IfAbsent::Is(text) => format!("v = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("v")),
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
    let list = |list: &[Known]| -> Vec<_> {
        let parameters = |known: &Known| known.parameters.iter().map(parameter).collect::<Vec<_>>();
        list.iter().map(|k| json!({"name": k.name, "about": k.about, "parameters": parameters(k)})).collect()
    };
    json!({"transforms": list(transforms), "framings": list(framings)})
}
