//! Reads the options of training runs from a TOML file, in the order of the file.

use std::path::Path;

use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use crate::error::{BaseFault, Error, Result};
use crate::network::line_at;

/// An option of a run, as a file has it.
#[derive(Clone, Debug, PartialEq)]
pub struct RunOption {
    /// Name with underscores, such as `batch_size`.
    pub name: String,
    /// The value in the file.
    pub value: Value,
    /// Number of the option's line in the file, from 1.
    pub line: usize,
}

impl RunOption {
    /// Returns the place of the option for error messages. Example: `fit.toml: line 3: batch-size`.
    pub fn place(&self, file: &Path) -> String {
        place(file, self.line, &self.key())
    }

    /// Returns the name with hyphens, as it is typed on the command line.
    pub fn key(&self) -> String {
        self.name.replace('_', "-")
    }
}

fn place(file: &Path, line: usize, key: &str) -> String {
    format!("{}: line {line}: {key}", file.display())
}

/// Reads the options in a TOML file, in the order of the file. Hyphens in names become underscores.
///
/// # Errors
/// [`Io`](tonic_base::Error::Io); [`Usage`](tonic_base::Error::Usage) if the file is not TOML, or names an option both
/// with hyphens and with underscores.
pub fn read_options(path: &Path) -> Result<Vec<RunOption>> {
    read_toml(path, |text, document, table| options_of(path, text, document, table))
}

/// Reads a TOML file, and calls `take` with the text, the document and the table. The document has the position of each
/// key in the text, the table has the values.
pub(crate) fn read_toml<T>(path: &Path, take: impl FnOnce(&str, &DeTable<'_>, Table) -> Result<T>) -> Result<T> {
    let text = std::fs::read_to_string(path).map_err(Error::io(path, "read the options"))?;
    let refused = |error: toml::de::Error| {
        let line = error.span().map_or(1, |span| line_at(&text, span.start));
        Error::usage(format!("{}: line {line}", path.display()), "TOML, such as seed = 1", error.message())
    };
    let document = DeTable::parse(&text).map_err(refused)?;
    take(&text, document.get_ref(), toml::from_str(&text).map_err(refused)?)
}

/// Returns the options in `table`, in the order of the file. `document` has the positions of the same options in
/// `text`.
pub(crate) fn options_of(path: &Path, text: &str, document: &DeTable<'_>, mut table: Table) -> Result<Vec<RunOption>> {
    let mut keys: Vec<_> = document.keys().collect();
    keys.sort_by_key(|key| key.span().start);
    let mut options: Vec<RunOption> = Vec::with_capacity(keys.len());
    for key in keys {
        let (line, key): (usize, &str) = (line_at(text, key.span().start), key.get_ref());
        let name = key.replace('-', "_");
        if options.iter().any(|other| other.name == name) {
            return Err(Error::usage(place(path, line, key), "it once", "it with - and with _"));
        }
        options.extend(table.remove(key).map(|value| RunOption { name, value, line }));
    }
    Ok(options)
}

pub(crate) fn table_at<'a, 'i>(document: &'a DeTable<'i>, key: &str) -> Option<&'a DeTable<'i>> {
    match document.get(key)?.get_ref() {
        DeValue::Table(table) => Some(table),
        _ => None,
    }
}
