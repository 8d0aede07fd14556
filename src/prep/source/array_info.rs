//! The arrays of a file, as a survey of their names, types and shapes sees them.

use crate::source::columns::{FieldPath, Part};

/// An array of a file.
#[derive(Clone, Debug)]
pub(super) struct ArrayInfo {
    /// Path in the file. Empty in a file that has only one.
    pub(super) name: String,
    pub(super) shape: Vec<u64>,
    pub(super) kind: ArrayKind,
}

/// The type of an array's elements.
#[derive(Clone, Debug)]
pub(super) enum ArrayKind {
    /// Numbers of a type.
    Number(String),
    /// Records with these members, those of nested records included.
    Record(Vec<MemberInfo>),
    /// A link that leads nowhere: what is wrong with it.
    Nowhere(String),
    /// What cannot be a column: its type.
    Other(String),
}

/// A member of records.
#[derive(Clone, Debug)]
pub(super) struct MemberInfo {
    /// Its name. The names of nested records are before it, with dots between them.
    pub(super) name: String,
    /// Its type, for messages.
    pub(super) kind: String,
    pub(super) is_number: bool,
}

impl ArrayInfo {
    /// A link that leads nowhere, in the place of an array.
    pub(super) fn nowhere(name: String, wrong: String) -> ArrayInfo {
        ArrayInfo { name, shape: Vec::new(), kind: ArrayKind::Nowhere(wrong) }
    }

    /// The path of its group, which is empty for the root, and its name there.
    pub(super) fn group_and_name(&self) -> (&str, &str) {
        self.name.rsplit_once('/').unwrap_or(("", &self.name))
    }

    /// The path of a part of the array.
    pub(super) fn field(&self, part: Part) -> FieldPath {
        FieldPath { array: self.name.clone(), part }
    }

    /// The members that are numbers, if the array has records: their names and paths.
    pub(super) fn members(&self) -> Vec<(&str, FieldPath)> {
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
