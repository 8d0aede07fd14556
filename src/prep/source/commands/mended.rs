//! Commands in Python for recordings whose columns are not numbers, or whose polarities are not 0 and 1. Each command
//! saves a corrected copy of a recording.

use std::path::Path;

use tonic_base::free_name;

use crate::remedy::Remedy;
use crate::source::columns::{Role, TakenColumns};
use crate::source::layout::Layout;
use crate::time_unit::TimeUnit;

/// Pairs of words for polarities: the word for OFF, then the word for ON.
pub(crate) const WORDS: [(&str, &str); 7] = [
    ("false", "true"),
    ("off", "on"),
    ("neg", "pos"),
    ("negative", "positive"),
    ("n", "p"),
    ("-", "+"),
    ("dark", "light"),
];
/// More pairs of words for polarities: the word for OFF, then the word for ON. They are used together with [`WORDS`] to
/// convert a column of words. Python stops with an error at any word that is in no pair.
const WORDS_OF_TEXTS: [(&str, &str); 9] = [
    ("-1", "+1"),
    ("-1", "1"),
    ("0", "1"),
    ("dark", "bright"),
    ("darker", "brighter"),
    ("decrease", "increase"),
    ("down", "up"),
    ("-1.0", "1.0"),
    ("0.0", "1.0"),
];

/// How the polarities of a recording are converted for the corrected copy, in which 1 means ON and 0 means OFF.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum On {
    /// Polarities equal to this number become 1, and all others become 0 (OFF).
    Number(i128),
    /// Polarities equal to the second of these two numbers become 1, and those equal to the first become 0 (OFF).
    /// Python stops with an error at any other polarity.
    Second([f64; 2]),
    /// Polarities above 0 become 1, and all others become 0 (OFF). NaN stays NaN.
    Positive,
    /// Polarities equal to this number become 1, and NaN becomes 0 (OFF). Python stops with an error at any other
    /// polarity.
    NotNan(i128),
    /// Polarities of -1, 0 and 1 are not changed. Events with any other polarity are left out of the copy, and Python
    /// prints how many events were left out.
    Known,
    /// Words for ON, such as `true`, become 1, and words for OFF become 0. If `objects` is true, the words are stored
    /// as Python objects. Otherwise, they are stored as texts.
    Words { objects: bool },
}

/// Argument of `np.load` that lets NumPy load Python objects.
const UNPICKLED: &str = "allow_pickle=True";

/// Makes a command that saves a copy of the events. The copy's polarities are those of `field`, converted as `on` says.
/// Returns `None` for:
///
/// - text files
/// - files of ST-MNIST, EBSSA and MNIST
/// - columns in MATLAB cells or in MATLAB arrays of structs
/// - a path that is not UTF-8
pub(crate) fn mended(path: &Path, layout: Layout, taken: &TakenColumns, field: &str, on: On) -> Option<Remedy> {
    let (name, stem) = (literal(path.to_str()?), path.file_stem()?.to_str()?);
    // Cells and arrays of structs have other names in Python.
    let mut fields = taken.fields.iter().flatten().map(|taken| taken.field.as_str()).chain([field]);
    if layout == Layout::Mat && fields.any(|field| field.contains(['{', '('])) {
        return None;
    }
    let (modules, load) = match layout {
        Layout::Npy | Layout::Npz if on == (On::Words { objects: true }) => {
            ("numpy as np", format!("np.load({name}, {UNPICKLED})"))
        }
        Layout::Npy | Layout::Npz => ("numpy as np", format!("np.load({name})")),
        Layout::Csv | Layout::Stmnist | Layout::Ebssa | Layout::Smnist => return None,
        Layout::Mat => ("numpy as np, scipy.io", format!("scipy.io.loadmat({name}, simplify_cells=True)")),
        _ => ("numpy as np, h5py", format!("h5py.File({name})")),
    };
    let mut columns: Vec<String> = [Role::T, Role::X, Role::Y]
        .into_iter()
        .filter_map(|role| {
            Some(format!("{}={}", role.name(), column(layout, &taken.fields[role as usize].as_ref()?.field)))
        })
        .collect();
    let p = column(layout, field);
    columns.push(match on {
        On::Number(on) => format!("p={p} == {on}"),
        On::Second([off, on]) => format!("p=[{{{off:?}: 0, {on:?}: 1}}[n] for n in {p}.tolist()]"),
        On::NotNan(on) => format!("p=[{{\"nan\": 0, {:?}: 1}}[str(n)] for n in {p}.tolist()]", format!("{on}.0")),
        On::Positive => format!("p=np.where(np.isnan({p}), np.nan, {p} > 0)"),
        On::Known => format!("p={p}"),
        On::Words { .. } => format!("p=[sign[word.strip().lower()] for word in {p}.astype(\"S\").astype(str)]"),
    });
    let known = on == On::Known;
    let columns = columns.join(if known { "[known], " } else { ", " }) + if known { "[known]" } else { "" };
    let known = if known {
        format!("known = np.isin({p}, [-1, 0, 1]); print(np.sum(~known), \"events are left out\"); ")
    } else {
        String::new()
    };
    let rows = if columns.contains("rows(") { "rows = lambda a: a[:] if a.shape[1] <= 16 else a[:].T; " } else { "" };
    let pairs = [&WORDS[..], &WORDS_OF_TEXTS].concat();
    let words: Vec<String> = pairs.iter().map(|(off, on)| format!("{off} {on}")).collect();
    let sign = format!("sign = dict(zip({}.split(), {} * [0, 1])); ", literal(&words.join(" ")), pairs.len());
    let sign = if matches!(on, On::Words { .. }) { &sign } else { "" };
    let file = free_name(&format!("{stem}_mended"), ".npz");
    let code = format!("import {modules}; f = {load}; {rows}{known}{sign}np.savez({}, {columns})", literal(&file));
    let with = taken.unit.filter(|&unit| unit != TimeUnit::Microseconds).map(Remedy::Unit);
    Some(Remedy::Copy { words: python(code), file, with: with.into_iter().collect() })
}

/// Returns the word for ON in `words`, if `words` has both words of a pair in [`WORDS`] or [`WORDS_OF_TEXTS`].
pub(crate) fn word_for_on<'a>(words: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let find = |word: &str| words.clone().find(|other| other.trim().eq_ignore_ascii_case(word));
    WORDS.iter().chain(&WORDS_OF_TEXTS).find_map(|(off, on)| find(off).and(find(on)))
}

/// Makes a command that saves an array of pickled Python objects as an array of numbers. `shape` is the array's shape,
/// and `has_members` says whether its elements are records. Returns `None` if the file's path is not UTF-8.
pub(crate) fn unpickled(path: &Path, shape: &[u64], has_members: bool) -> Option<Remedy> {
    let (name, stem) = (literal(path.to_str()?), path.file_stem()?.to_str()?);
    let ending = if has_members || matches!(shape, [] | [1]) { ".npz" } else { ".npy" };
    let file = free_name(&format!("{stem}_mended"), ending);
    let to = literal(&file);
    let save = match (has_members, shape) {
        (true, _) => format!("np.savez({to}, **{{name: np.array(f[name].tolist()) for name in f.dtype.names}})"),
        (false, [] | [1]) => format!("np.savez({to}, **f.item())"),
        // The objects may be dicts. NumPy would store dicts as objects again.
        (false, [_]) => format!(
            "r = f.tolist(); d = isinstance(r[0], dict); np.save({to}, np.array([tuple(e[k] for k in r[0]) if d else e for e in \
             r], [(k, np.array([e[k] for e in r]).dtype) for k in r[0]] if d else None), allow_pickle=False)"
        ),
        (false, _) => format!("np.save({to}, np.array(f.tolist()), allow_pickle=False)"),
    };
    let code = format!("import numpy as np; f = np.load({name}, {UNPICKLED}); {save}");
    Some(Remedy::Copy { words: python(code), file, with: Vec::new() })
}

/// Returns the command that saves a copy of an npz archive. If several arrays of the archive have the same name, the
/// copy has only one of them.
pub(crate) fn once(path: &Path) -> Option<Remedy> {
    let file = free_name(&format!("{}_mended", path.file_stem()?.to_str()?), ".npz");
    let (from, to) = (literal(path.to_str()?), literal(&file));
    let code = format!("import numpy as np; np.savez({to}, **dict(np.load({from})))");
    Some(Remedy::Copy { words: python(code), file, with: Vec::new() })
}

/// Returns the words of the command that runs this Python code.
pub(crate) fn python(code: String) -> Vec<String> {
    vec!["python3".into(), "-c".into(), code]
}

/// Returns a text as a string literal of Python.
pub(crate) fn literal(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Returns the Python expression for the column that `field` names. In Python, the open file is `f`.
fn column(layout: Layout, field: &str) -> String {
    let index = field.strip_suffix(']').and_then(|field| field.rsplit_once('['));
    let array = index.map_or(field, |(array, _)| array);
    let group = if layout == Layout::Npy { 0 } else { array.rfind('/').map_or(0, |slash| slash + 1) };
    let mut members = array[group..].split('.');
    let first = format!("{}{}", &array[..group], members.next().unwrap_or_default());
    // A field of a struct of MATLAB is an item of a dict.
    let first = first.split(if layout == Layout::Mat { "/" } else { "\0" });
    let names = first.chain(members).filter(|name| !name.is_empty());
    let place: String = names.map(|name| format!("[{}]", literal(name))).collect();
    match index {
        Some((_, index)) => format!("rows(f{place})[:, {index}]"),
        None => format!("f{place}[:]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_written_as_python_reads_them() {
        for (layout, field, expected) in [
            (Layout::Npy, "p", "f[\"p\"][:]"),
            (Layout::Npy, "pos.p", "f[\"pos\"][\"p\"][:]"),
            (Layout::Npy, "[3]", "rows(f)[:, 3]"),
            (Layout::Npz, "p", "f[\"p\"][:]"),
            (Layout::Npz, "events[3]", "rows(f[\"events\"])[:, 3]"),
            (Layout::Mat, "TD/p", "f[\"TD\"][\"p\"][:]"),
            (Layout::Map, "a.b/events/p", "f[\"a.b/events/p\"][:]"),
            (Layout::Prophesee, "CD/events.p", "f[\"CD/events\"][\"p\"][:]"),
            (Layout::Map, "it\"s/p", "f[\"it\\\"s/p\"][:]"),
        ] {
            assert_eq!(column(layout, field), expected, "{field}");
        }
    }
}
