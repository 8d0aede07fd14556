//! Reads the options of training runs from a TOML file, in the order of the file.

use std::path::Path;

use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use crate::error::{BaseFault, Error, Result};

/// An option of a run: its name with underscores, such as `batch_size`, and its value.
pub type RunOption = (String, Value);

/// Reads the options in a TOML file, in the order of the file. Hyphens in names become underscores.
///
/// # Errors
/// [`Io`](tonic_base::Error::Io); [`Usage`](tonic_base::Error::Usage) if the file is not TOML, or names an option both
/// with hyphens and with underscores.
pub fn read_options(path: &Path) -> Result<Vec<RunOption>> {
    read_toml(path, |document, table| options_of(path, document, table))
}

/// Reads a TOML file, and calls `take` with the document and the table. The document has the position of each key, the
/// table has the values.
pub(crate) fn read_toml<T>(path: &Path, take: impl FnOnce(&DeTable<'_>, Table) -> Result<T>) -> Result<T> {
    let text = std::fs::read_to_string(path).map_err(Error::io(path, "read the options"))?;
    let refused = |error: toml::de::Error| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].lines().count().max(1));
        Error::usage(format!("{}: line {line}", path.display()), "TOML, such as seed = 1", error.message())
    };
    let document = DeTable::parse(&text).map_err(refused)?;
    take(document.get_ref(), toml::from_str(&text).map_err(refused)?)
}

/// Returns the options in `table`, in the order of the file. `document` has the positions of the same options.
pub(crate) fn options_of(path: &Path, document: &DeTable<'_>, mut table: Table) -> Result<Vec<RunOption>> {
    let mut keys: Vec<_> = document.keys().collect();
    keys.sort_by_key(|key| key.span().start);
    let mut options: Vec<RunOption> = Vec::with_capacity(keys.len());
    for key in keys {
        let key: &str = key.get_ref();
        let name = key.replace('-', "_");
        if options.iter().any(|(other, _)| *other == name) {
            return Err(Error::usage(format!("{}: {key}", path.display()), "it once", "it with - and with _"));
        }
        options.extend(table.remove(key).map(|value| (name, value)));
    }
    Ok(options)
}

pub(crate) fn table_at<'a, 'i>(document: &'a DeTable<'i>, key: &str) -> Option<&'a DeTable<'i>> {
    match document.get(key)?.get_ref() {
        DeValue::Table(table) => Some(table),
        _ => None,
    }
}
