//! The four columns of events, t, x, y and p: their names in files, and the fields of a file that are used for them.

use serde_json::{Value, json};
use tonic_base::some_of;

use crate::remedy::Remedy;
use crate::source::columns::field_text::quote;
use crate::time_unit::TimeUnit;

/// One of the four columns of events: t, x, y or p.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    T,
    X,
    Y,
    P,
}

impl Role {
    pub(crate) const ALL: [Role; 4] = [Role::T, Role::X, Role::Y, Role::P];

    /// Returns the column's name in options, JSON and messages.
    pub(crate) fn name(self) -> &'static str {
        ["t", "x", "y", "p"][self as usize]
    }

    /// Returns the names that the column can have in files. Case is ignored.
    fn names(self) -> &'static [&'static str] {
        match self {
            Role::T => &["t", "ts", "time", "times", "timestamp", "timestamps"],
            Role::X => &["x", "xs"],
            Role::Y => &["y", "ys"],
            Role::P => &["p", "ps", "pol", "polarity", "polarities", "on", "sign"],
        }
    }

    /// Returns the column that a field with this name usually holds, such as t for `ts` or `time`. Ignores case.
    pub(crate) fn of(field: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.names().iter().any(|name| name.eq_ignore_ascii_case(field)))
    }
}

/// The part of an array that is a column of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The whole array.
    Whole,
    /// A member of the array's records, such as `x`, `pos.x` (in a nested record) or `xy[0]` (an element of an array).
    Member(String),
    /// Column `index`, counted from 0, of a two-dimensional array. `columns` is its number of columns, if known.
    Column { index: usize, columns: Option<u64> },
}

/// A field of a file: an array, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldPath {
    /// Path of the array. Empty if the file holds only one array, which has no name.
    pub(crate) array: String,
    pub(crate) part: Part,
}

/// Writes the field as the user writes it in a map of columns (`t=FIELD,...`).
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

/// The field that is used as each of the columns t, x, y and p. `None` if the file lacks the column.
pub(crate) type Fields = [Option<FieldPath>; 4];

/// Assigns fields to the columns t, x, y and p by the fields' names. Ignores other names. Two fields for the same
/// column are an error, which has the column and both fields.
pub(crate) fn assign<T: Clone>(fields: &[(&str, T)]) -> Result<[Option<T>; 4], (Role, T, T)> {
    let mut of = [None, None, None, None];
    for (name, field) in fields {
        let Some(role) = Role::of(name) else { continue };
        if let Some(other) = of[role as usize].replace(field.clone()) {
            return Err((role, other, field.clone()));
        }
    }
    Ok(of)
}

/// Makes a map of columns, `t=FIELD,x=FIELD,...`, to suggest to the user. A column without a field gets the word FIELD
/// if it is in `needed`. Otherwise it is left out.
pub(crate) fn map_line(fields: &[Option<String>; 4], needed: &[Role]) -> Remedy {
    let parts = Role::ALL.into_iter().filter_map(|role| {
        let field = fields[role as usize].as_deref().or(needed.contains(&role).then_some("FIELD"))?;
        Some(format!("{}={field}", role.name()))
    });
    Remedy::Map(parts.collect::<Vec<_>>().join(","))
}

/// A field of a file that is used as a column of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TakenField {
    /// Path of the field in the file, as the user writes it in a map of columns.
    pub(crate) field: String,
    /// Name of the type of the field's numbers.
    pub(crate) kind: String,
}

/// The fields of a file that are used as the columns t, x, y and p.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TakenColumns {
    pub(crate) fields: [Option<TakenField>; 4],
    pub(crate) unit: Option<TimeUnit>,
    /// Fields that could be columns of the events but are not used.
    pub(crate) unused: Vec<String>,
    /// Other arrays of the file that are not used. A group of such arrays can be one entry.
    pub(crate) others: Vec<String>,
    /// Fields that have the name of a column but cannot be used as one.
    pub(crate) unusable: Vec<UnusableField>,
}

/// A field that has the name of a column but cannot be used as one. It is next to the column t in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnusableField {
    /// The column (t, x, y or p) that the name of the field stands for.
    pub(crate) role: Role,
    /// Path of the field in the file.
    pub(crate) field: String,
    /// Text for error messages: why the field cannot be the column (its type, length or shape).
    pub(crate) why: String,
    /// Whether the field has a text for each event.
    pub(crate) is_text: bool,
    /// Whether the field has a Python object for each event.
    pub(crate) is_pickled: bool,
}

impl std::fmt::Display for UnusableField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.field, self.why)
    }
}

impl TakenColumns {
    /// Returns the columns of a cochlea's recording. `t` and `x` each have the path of a field and the name of the
    /// field's type.
    pub(crate) fn of_cochlea(t: (&str, String), x: (&str, String), unit: TimeUnit) -> TakenColumns {
        let taken = |(field, kind): (&str, String)| Some(TakenField { field: field.into(), kind });
        TakenColumns { fields: [taken(t), taken(x), None, None], unit: Some(unit), ..TakenColumns::default() }
    }

    pub(crate) fn has(&self, role: Role) -> bool {
        self.fields[role as usize].is_some()
    }

    /// Returns whether the recording has a column y (rows).
    pub fn has_rows(&self) -> bool {
        self.has(Role::Y)
    }

    /// Returns whether the recording has a column p (polarities).
    pub fn has_polarities(&self) -> bool {
        self.has(Role::P)
    }

    /// Returns whether the file has unused fields that could be columns or have the name of a column.
    pub fn has_more(&self) -> bool {
        !self.unused.is_empty() || !self.unusable.is_empty()
    }

    /// Returns a note for the user that lists the fields and arrays that are not used. `None` if all of them are used.
    pub(crate) fn left_over_note(&self) -> Option<String> {
        // Unusable fields are listed below with the reason, so leave them out here.
        let others = self.others.iter().filter(|other| !self.unusable.iter().any(|field| field.field == **other));
        let names: Vec<String> = self.unused.iter().chain(others).cloned().collect();
        let several = names.iter().any(|name| name.ends_with(" arrays)"));
        let all: Vec<String> = names.into_iter().chain(self.unusable.iter().map(UnusableField::to_string)).collect();
        let one = all.len() == 1 && !several;
        let (fields, were) = if one { ("field", "was") } else { ("fields", "were") };
        (!all.is_empty()).then(|| format!("{fields} {} {were} not used", some_of(&all)))
    }

    /// Returns whether the fields or the unit of times differ from those of another recording.
    pub fn has_other_fields(&self, other: &TakenColumns) -> bool {
        self.fields != other.fields || self.unit != other.unit
    }

    /// Returns the name of the unit of the times. Empty if there is no unit.
    pub(crate) fn unit_name(&self) -> &'static str {
        self.unit.map_or("", TimeUnit::name)
    }

    /// Returns a text that names the field used for each column, such as `t=events/ts,x=events/xs`.
    pub(crate) fn names(&self) -> String {
        let fields = Role::ALL.into_iter().zip(&self.fields);
        let names = fields.filter_map(|(role, taken)| Some(format!("{}={}", role.name(), taken.as_ref()?.field)));
        names.collect::<Vec<_>>().join(",")
    }

    /// Returns the columns as one line of text for the user.
    pub fn text(&self) -> String {
        let unit = self.unit_name();
        let column = |role: Role| match &self.fields[role as usize] {
            Some(TakenField { field, kind }) if role == Role::T => format!("t = {field} ({kind}, {unit})"),
            Some(TakenField { field, kind }) => format!("{} = {field} ({kind})", role.name()),
            None => format!("no {}", role.name()),
        };
        Role::ALL.map(column).join(", ")
    }

    /// Returns the columns as a JSON object with the keys t, x, y and p. Each value is an object with the keys `field`
    /// and `type`. The object of t also has the key `unit`. If the file lacks a column, its value is `null`.
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

/// Finds the field that `text` (`ARRAY` or `ARRAY.MEMBER`) names in a user's map of columns. An `index` selects a
/// column of the array, or an element of the member.
pub(crate) fn named_field(text: &str, index: Option<usize>, exists: impl Fn(&str) -> bool) -> FieldPath {
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

/// Splits the name of a member's element, such as `xy[0]`, into the member's name and the index.
pub(crate) fn element(member: &str) -> Option<(&str, usize)> {
    let (name, index) = member.strip_suffix(']')?.rsplit_once('[')?;
    Some((name, index.parse().ok()?))
}

/// Returns the time unit at the end of a field's name, such as `t_ns`, `timestampUs` or `time [ms]`. The text before
/// the unit must be a usual name of t. Ignores the names of groups and records.
pub(crate) fn unit_in_name(field: &str) -> Option<TimeUnit> {
    let field = field.trim_matches('"');
    let name = field.rsplit(['/', '.']).next()?.to_lowercase();
    if Role::of(&name).is_some() {
        return None; // the s of `ts` and `times` is no unit
    }
    (1..name.len()).filter(|&at| name.is_char_boundary(at)).find_map(|at| {
        let (times, unit) = name.split_at(at);
        let unit = unit.trim_start_matches([' ', '_', '-', '(', '[']);
        let unit = unit.strip_prefix("in").map_or(unit, |unit| unit.trim_start_matches([' ', '_', '-']));
        let is_word = unit.starts_with(|c: char| c.is_alphabetic());
        TimeUnit::recognise(unit).filter(|_| is_word && Role::of(times) == Some(Role::T))
    })
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

    #[test]
    fn units_in_names_are_found() {
        let [s, ms, us, ns] =
            [TimeUnit::Seconds, TimeUnit::Milliseconds, TimeUnit::Microseconds, TimeUnit::Nanoseconds];
        for (name, unit) in [
            ("t_ns", Some(ns)),
            ("events/timestampUs", Some(us)),
            ("\"events.time [ms]\"", Some(ms)),
            ("Time(s)", Some(s)),
            ("time_in_seconds", Some(s)),
            ("ts_us", Some(us)),
            ("tns", Some(ns)),
            ("ts", None),
            ("times", None),
            ("t_ref", None),
            ("columns", None),
            ("t_host_ns", None),
            ("t_1e-6", None),
        ] {
            assert_eq!(unit_in_name(name), unit, "{name}");
        }
    }
}
