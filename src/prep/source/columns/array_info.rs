//! Describes a file's arrays: path, shape and element type, without the data.

use crate::source::columns::roles::{FieldPath, Part};

/// Maximum number of bytes of a text that is read, such as a unit or a label.
pub(crate) const MAX_TEXT: usize = 1024;
/// Maximum number of arrays of a file that are listed. Groups of an HDF5 file count too. The user is told if there are
/// more.
pub(crate) const MAX_ARRAYS: usize = 4096;

/// Maximum number of arrays that an error lists.
const MOST_LISTED: usize = 40;

/// A file whose arrays are searched for the columns of events.
pub(crate) trait Survey {
    /// Lists the arrays, at most [`MAX_ARRAYS`].
    fn arrays(&self) -> &[ArrayInfo];

    /// Returns whether the file has more than [`MAX_ARRAYS`] arrays.
    fn has_more(&self) -> bool {
        false
    }

    /// Reads the first numbers of a field, up to [`GUESSED_EVENTS`](crate::source::columns::GUESSED_EVENTS). `None` if
    /// they cannot be read.
    fn sample(&self, field: &FieldPath) -> Option<Vec<f64>>;

    /// Returns the column names of a table, which is an array with several numbers per event. `None` if the file lacks
    /// them.
    fn column_names(&self, _table: &ArrayInfo) -> Option<Vec<String>> {
        None
    }

    /// Text for error messages: which fields were looked for in the file.
    fn looked(&self) -> String;
}

#[derive(Clone, Debug)]
pub(crate) struct ArrayInfo {
    /// Path of the array in the file. Empty if the file holds only one array, which has no name.
    pub(crate) name: String,
    pub(crate) shape: Vec<u64>,
    pub(crate) kind: ArrayKind,
}

/// The type of an array's elements. A broken link is listed as an array too.
#[derive(Clone, Debug)]
pub(crate) enum ArrayKind {
    /// Numbers. The string names their type.
    Number(String),
    /// Records, with the list of their members. The list includes the members of nested records.
    Record(Vec<MemberInfo>),
    /// A broken link. The string says what is wrong with it.
    Nowhere(String),
    /// Elements of any other type. The string names the type.
    Other(String),
}

/// A member of the records of an array.
#[derive(Clone, Debug)]
pub(crate) struct MemberInfo {
    /// Name of the member. The names of nested records are joined with dots, such as `pos.x`.
    pub(crate) name: String,
    /// Name of the member's type, for messages.
    pub(crate) kind: String,
    pub(crate) is_number: bool,
}

impl ArrayInfo {
    /// Describes a broken link at the path `name`. The text `wrong` says what is wrong with it.
    pub(crate) fn nowhere(name: String, wrong: String) -> ArrayInfo {
        ArrayInfo { name, shape: Vec::new(), kind: ArrayKind::Nowhere(wrong) }
    }

    /// Splits the path of the array into its group (empty for the root group) and its name.
    pub(crate) fn group_and_name(&self) -> (&str, &str) {
        self.name.rsplit_once('/').unwrap_or(("", &self.name))
    }

    pub(crate) fn field(&self, part: Part) -> FieldPath {
        FieldPath { array: self.name.clone(), part }
    }

    /// Returns the name and the path of each member that is a number. Empty if the elements are not records.
    pub(crate) fn members(&self) -> Vec<(&str, FieldPath)> {
        let ArrayKind::Record(members) = &self.kind else { return Vec::new() };
        let numbers = members.iter().filter(|member| member.is_number);
        numbers.map(|member| (member.name.as_str(), self.field(Part::Member(member.name.clone())))).collect()
    }
}

impl std::fmt::Display for ArrayInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match &self.kind {
            ArrayKind::Nowhere(wrong) => return write!(f, "{} (a link that leads nowhere: {wrong})", self.name),
            ArrayKind::Number(kind) | ArrayKind::Other(kind) => kind.clone(),
            ArrayKind::Record(members) => {
                let member = |MemberInfo { name, kind, .. }: &MemberInfo| format!("{name}: {kind}");
                let members: Vec<String> = members.iter().map(member).collect();
                format!("records of {}", members.join(", "))
            }
        };
        let space = if self.name.is_empty() { "" } else { " " };
        write!(f, "{}{space}({kind}, shape {:?})", self.name, self.shape)
    }
}

/// Lists arrays for a message. If there are more than [`MOST_LISTED`], names the first ones and counts the others.
pub(crate) fn list<'a>(arrays: impl IntoIterator<Item = &'a ArrayInfo>) -> String {
    let all: Vec<String> = arrays.into_iter().map(ToString::to_string).collect();
    match all.len() {
        0 => "no datasets".into(),
        n if n > MOST_LISTED => format!("{}, and {} more", all[..MOST_LISTED].join(", "), n - MOST_LISTED),
        _ => all.join(", "),
    }
}
