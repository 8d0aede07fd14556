//! The four columns of events, t, x, y and p: the names that they have in files, and which field was taken for which.

use serde_json::{Value, json};

use crate::error::Remedy;
use crate::source::field_text::quote;
use crate::source::names::some_of;
use crate::source::unit::TimeUnit;

/// A column of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    T,
    X,
    Y,
    P,
}

impl Role {
    pub(super) const ALL: [Role; 4] = [Role::T, Role::X, Role::Y, Role::P];

    /// The column's name in options, JSON and messages.
    pub(super) fn name(self) -> &'static str {
        ["t", "x", "y", "p"][self as usize]
    }

    /// The names that the column has in files, in any case.
    fn names(self) -> &'static [&'static str] {
        match self {
            Role::T => &["t", "ts", "time", "times", "timestamp", "timestamps"],
            Role::X => &["x", "xs"],
            Role::Y => &["y", "ys"],
            Role::P => &["p", "ps", "pol", "polarity", "polarities", "on", "sign"],
        }
    }

    /// The column that a field with this name holds.
    pub(super) fn of(field: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.names().iter().any(|name| name.eq_ignore_ascii_case(field)))
    }
}

/// A part of an array: one number for each event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The array itself.
    Whole,
    /// A member of its records. Members of nested records are separated by dots. An element of a member that is an
    /// array has its index, `xy[0]`.
    Member(String),
    /// A column of a table, and the number of its columns if that is known.
    Column { index: usize, columns: Option<u64> },
}

/// A field of a file: an array, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FieldPath {
    /// Path of the array. Empty in a file that has only one.
    pub(super) array: String,
    pub(super) part: Part,
}

/// The field as a map has it.
impl std::fmt::Display for FieldPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let array = &self.array;
        match &self.part {
            Part::Whole => write!(f, "{}", quote(array)),
            Part::Member(member) => {
                let path = if array.is_empty() { member.clone() } else { format!("{array}.{member}") };
                match element(&path) {
                    Some((name, index)) => write!(f, "{}[{index}]", quote(name)),
                    None => write!(f, "{}", quote(&path)),
                }
            }
            Part::Column { index, .. } => write!(f, "{}[{index}]", quote(array)),
        }
    }
}

/// The fields of the columns t, x, y and p.
pub(super) type Fields = [Option<FieldPath>; 4];

/// Assigns fields to columns by their names. Fields with other names are left over.
///
/// # Errors
/// The column that two fields have names of, and these fields.
pub(super) fn assign<T: Clone>(fields: &[(&str, T)]) -> Result<[Option<T>; 4], (Role, T, T)> {
    let mut of = [None, None, None, None];
    for (name, field) in fields {
        let Some(role) = Role::of(name) else { continue };
        if let Some(other) = of[role as usize].replace(field.clone()) {
            return Err((role, other, field.clone()));
        }
    }
    Ok(of)
}

/// A map that names the columns: `t=FIELD,x=FIELD,...`. Columns that are missing but `needed` get the word FIELD.
pub(super) fn map_line(fields: &[Option<String>; 4], needed: &[Role]) -> Remedy {
    let parts = Role::ALL.into_iter().filter_map(|role| {
        let field = fields[role as usize].as_deref().or(needed.contains(&role).then_some("FIELD"))?;
        Some(format!("{}={field}", role.name()))
    });
    Remedy::Map(parts.collect::<Vec<_>>().join(","))
}

/// Which field of a file was taken for a column of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TakenField {
    /// Path of the field in the file, as a map names it.
    pub(super) field: String,
    /// Type of its numbers.
    pub(super) kind: String,
}

/// Which fields of a recording were taken for the columns t, x, y and p.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TakenColumns {
    pub(super) fields: [Option<TakenField>; 4],
    pub(super) unit: Option<TimeUnit>,
    /// Fields that were left over and could be columns.
    pub(super) unused: Vec<String>,
    /// Other arrays of the file that were not used.
    pub(super) others: Vec<String>,
    /// Fields that have the name of a column and cannot be it.
    pub(super) unusable: Vec<UnusableField>,
}

/// A field in the place of the events that has the name of a column and cannot be it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnusableField {
    /// The column that it has the name of.
    pub(super) role: Role,
    /// Path of the field in the file.
    pub(super) field: String,
    /// Why the field cannot be the column: its type or its length, as text for messages.
    pub(super) why: String,
    /// Whether it has a text for each event.
    pub(super) is_text: bool,
}

impl std::fmt::Display for UnusableField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.field, self.why)
    }
}

impl TakenColumns {
    /// The fields taken for t and x of a layout that has neither y nor p.
    pub(super) fn of_cochlea(t: (&str, String), x: (&str, String), unit: TimeUnit) -> TakenColumns {
        let taken = |(field, kind): (&str, String)| Some(TakenField { field: field.into(), kind });
        TakenColumns { fields: [taken(t), taken(x), None, None], unit: Some(unit), ..TakenColumns::default() }
    }

    pub(super) fn has(&self, role: Role) -> bool {
        self.fields[role as usize].is_some()
    }

    /// Whether there are rows (y).
    pub fn has_rows(&self) -> bool {
        self.has(Role::Y)
    }

    /// Whether there are polarities (p).
    pub fn has_polarities(&self) -> bool {
        self.has(Role::P)
    }

    /// Whether the file has fields that were not taken and could be columns.
    pub fn has_more(&self) -> bool {
        !self.unused.is_empty() || !self.unusable.is_empty()
    }

    /// A note on the fields that were left over.
    pub(super) fn left_over_note(&self) -> Option<String> {
        // What cannot be used is named with the reason, and not again among the others.
        let others = self.others.iter().filter(|other| !self.unusable.iter().any(|field| field.field == **other));
        let names: Vec<String> = self.unused.iter().chain(others).cloned().collect();
        let several = names.iter().any(|name| name.ends_with(')'));
        let all: Vec<String> = names.into_iter().chain(self.unusable.iter().map(UnusableField::to_string)).collect();
        let one = all.len() == 1 && !several;
        let (fields, were) = if one { ("field", "was") } else { ("fields", "were") };
        (!all.is_empty()).then(|| format!("{fields} {} {were} not used", some_of(&all)))
    }

    /// Whether other fields were taken than those of another recording.
    pub fn has_other_fields(&self, other: &TakenColumns) -> bool {
        self.fields != other.fields || self.unit != other.unit
    }

    /// The columns as one line for a person.
    pub fn text(&self) -> String {
        let unit = self.unit.map_or("", TimeUnit::name);
        let column = |role: Role| match &self.fields[role as usize] {
            Some(TakenField { field, kind }) if role == Role::T => format!("t = {field} ({kind}, {unit})"),
            Some(TakenField { field, kind }) => format!("{} = {field} ({kind})", role.name()),
            None => format!("no {}", role.name()),
        };
        Role::ALL.map(column).join(", ")
    }

    /// The columns as one JSON object: for each of t, x, y and p null, or its `field` and `type`, and of t the `unit`.
    pub fn json(&self) -> Value {
        let column = |role: Role| {
            let taken = self.fields[role as usize].as_ref()?;
            let mut column = json!({"field": taken.field, "type": taken.kind});
            if role == Role::T {
                column["unit"] = json!(self.unit.map(TimeUnit::name));
            }
            Some((role.name().to_string(), column))
        };
        let none = |role: Role| (role.name().to_string(), Value::Null);
        Value::Object(Role::ALL.map(|role| column(role).unwrap_or_else(|| none(role))).into_iter().collect())
    }
}

/// The field that a text of a map names: an array, or a member of its records after a dot; with an `index`, a column of
/// a table, or an element of a member. `exists` tells whether the file has an array.
pub(super) fn named_field(text: &str, index: Option<usize>, exists: impl Fn(&str) -> bool) -> FieldPath {
    if !exists(text) {
        for (dot, _) in text.rmatch_indices('.') {
            if exists(&text[..dot]) {
                let element = index.map_or(String::new(), |i| format!("[{i}]"));
                let member = format!("{}{element}", &text[dot + 1..]);
                return FieldPath { array: text[..dot].into(), part: Part::Member(member) };
            }
        }
    }
    let part = index.map_or(Part::Whole, |index| Part::Column { index, columns: None });
    FieldPath { array: text.into(), part }
}

/// The name and the index of a member's element, `xy[0]`.
pub(super) fn element(member: &str) -> Option<(&str, usize)> {
    let (name, index) = member.strip_suffix(']')?.rsplit_once('[')?;
    Some((name, index.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_assigned_by_the_names_in_use() {
        for (names, of) in [
            (&["t", "x", "y", "p"][..], [Some(0), Some(1), Some(2), Some(3)]),
            (&["POL", "Timestamp", "X", "Y", "z"], [Some(1), Some(2), Some(3), Some(0)]),
            (&["on", "times", "xs"], [Some(1), Some(2), None, Some(0)]),
            (&["sign", "y", "x"], [None, Some(2), Some(1), Some(0)]),
            (&["tx", "pp", "ony"], [None; 4]),
        ] {
            let fields: Vec<(&str, usize)> = names.iter().enumerate().map(|(i, name)| (*name, i)).collect();
            assert_eq!(assign(&fields), Ok(of), "{names:?}");
        }
        let twice = assign(&[("t", 0), ("x", 1), ("TS", 2)]);
        assert_eq!(twice, Err((Role::T, 0, 2)));
    }

    #[test]
    fn a_dot_is_a_member_unless_an_array_has_it_in_its_name() {
        let exists = |name: &str| ["a/events", "a/b.c", "a/b.c.d"].contains(&name);
        for (text, array, part) in [
            ("a/events", "a/events", Part::Whole),
            ("a/events.t", "a/events", Part::Member("t".into())),
            ("a/events.pos.x", "a/events", Part::Member("pos.x".into())),
            ("a/b.c", "a/b.c", Part::Whole),
            ("a/b.c.t", "a/b.c", Part::Member("t".into())),
            ("a/b.c.d.t", "a/b.c.d", Part::Member("t".into())),
            ("none.t", "none.t", Part::Whole),
        ] {
            assert_eq!(named_field(text, None, exists), FieldPath { array: array.into(), part }, "{text}");
        }
        let column = FieldPath { array: "a/events".into(), part: Part::Column { index: 3, columns: None } };
        assert_eq!(named_field("a/events", Some(3), exists), column);
        let element = FieldPath { array: "a/events".into(), part: Part::Member("xy[3]".into()) };
        assert_eq!(named_field("a/events.xy", Some(3), exists), element);
    }
}
