//! Commands in Python for files in the Heidelberg layout of cochlea recordings. If the rows or the labels of a file
//! are not stored as this layout needs, the command saves a corrected copy of the file.

use std::path::Path;

use tonic_base::free_name;

use crate::error::Error;
use crate::remedy::Remedy;
use crate::source::columns::{ArrayInfo, ArrayKind};
use crate::source::commands::mended::{literal, python};

pub(crate) const TIMES: &str = "spikes/times";
/// Path of the dataset with the units (channels) in the Heidelberg layout.
pub(crate) const UNITS: &str = "spikes/units";
pub(crate) const LABELS: &str = "labels";
/// Path of the dataset with the keys (class names) in the Heidelberg layout.
pub(crate) const KEYS: &str = "extra/keys";

/// How labels are stored if they are not class indices.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OddLabels {
    /// Each label is the name of the sample's class.
    Names,
    /// Each label is the index of the sample's class, counted from 1.
    FromOne,
    /// Each label has one number per class. This number is 0 for all classes except the sample's own.
    OneHot,
}

/// Returns the error for a file whose times and units are two-dimensional arrays: each sample is a row or a column that
/// is padded at the end. The error suggests a command that saves a copy without the padding. Returns `None` for all
/// other arrays.
pub(crate) fn rows_of_arrays(path: &Path, arrays: &[ArrayInfo]) -> Option<Error> {
    let find =
        |name: &str| arrays.iter().find(|array| array.name == name && matches!(array.kind, ArrayKind::Number(_)));
    let (times, units) = (find(TIMES)?, find(UNITS)?);
    let (&[samples, events], true) = (&times.shape[..], times.shape == units.shape) else { return None };
    let turned = find(LABELS).is_some_and(|labels| labels.shape == [events] && events != samples);
    let turn = if turned { ".T" } else { "" };
    let (t, u) = (literal(TIMES), literal(UNITS));
    let code = format!(
        "T = f[{t}][:]{turn}; U = f[{u}][:]{turn}; n = [len(np.trim_zeros(np.nan_to_num(t), \"b\")) for t in T]; \
         rows = lambda a: np.array([r[:k] for r, k in zip(a, n)] + [None], object)[:-1]; \
         save = lambda name, a: g.create_dataset(name, data=rows(a), dtype=h5py.vlen_dtype(a.dtype)); \
         save({t}, T); save({u}, U); [f.copy(name, g) for name in f if name != \"spikes\"]"
    );
    let modules = "h5py, numpy as np";
    Some(Error::Columns {
        path: path.into(),
        place: format!("{TIMES} and {UNITS}"),
        expected: "rows of variable length, a sample a row".into(),
        got: format!("{times} and {units}: save each row without the zeros or NaN that fill it up"),
        remedies: copy(path, "rows", |from, to| {
            format!("import {modules}; f = h5py.File({from}); g = h5py.File({to}, \"w\"); {code}; g.close()")
        })
        .into_iter()
        .collect(),
    })
}

/// Makes a command that saves a copy of the file. In the copy, the labels are class indices. `labels` says how the
/// original file stores the labels, and `keyed` says whether it has class names in [`KEYS`].
pub(crate) fn relabelled(path: &Path, labels: OddLabels, keyed: bool) -> Option<Remedy> {
    let (name, keys) = (literal(LABELS), literal(KEYS));
    let mend = match labels {
        OddLabels::Names if keyed => format!(
            "words = lambda name: [w.decode() if isinstance(w, bytes) else w for w in f[name][:].ravel().tolist()]; \
             names = words({keys}); a = [names.index(word) for word in words({name})]"
        ),
        OddLabels::Names => {
            format!("names, a = np.unique(f[{name}][:].astype(\"S\").ravel(), return_inverse=True); f[{keys}] = names")
        }
        OddLabels::FromOne => format!("a = f[{name}][:] - 1"),
        OddLabels::OneHot => {
            format!(
                "a = f[{name}][:]; assert ((a != 0).sum(1) == 1).all(), \"not one class a sample\"; a = a.argmax(1)"
            )
        }
    };
    copy(path, "mended", |from, to| {
        format!(
            "import shutil, h5py, numpy as np; shutil.copy({from}, {to}); f = h5py.File({to}, \"r+\"); {mend}; \
             del f[{name}]; f[{name}] = a; f.close()"
        )
    })
}

/// Makes a command that saves a copy of the file. The copy has only the samples with labels from 0 to `classes` - 1.
/// The command prints how many samples were left out. `arrays` has the paths of all datasets with one row per sample.
pub(crate) fn without_samples(path: &Path, classes: usize, arrays: impl Iterator<Item = String>) -> Option<Remedy> {
    let (labels, arrays) = (literal(LABELS), arrays.map(|array| literal(&array)).collect::<Vec<_>>().join(", "));
    copy(path, "mended", |from, to| {
        format!(
            "import shutil, h5py, numpy as np; shutil.copy({from}, {to}); f = h5py.File({to}, \"r+\"); \
             a = f[{labels}][:].ravel(); keep = (a >= 0) & (a < {classes}); print(np.sum(~keep), \"samples are left out\"); \
             [(d := f[n], rows := d[:][keep], kind := d.dtype, about := dict(d.attrs), f.__delitem__(n), \
             f.create_dataset(n, data=rows, dtype=kind).attrs.update(about)) for n in [{arrays}]]; f.close()"
        )
    })
}

/// Makes a command that saves a copy of the file at `path` as `NAME_suffix.h5`, where NAME is the file's name without
/// its ending. If a file with this name exists, the copy gets another name. `code` makes the Python code from the paths
/// of the file and of the copy, both as Python literals. Returns `None` if `path` is not UTF-8.
fn copy(path: &Path, suffix: &str, code: impl Fn(String, String) -> String) -> Option<Remedy> {
    let file = free_name(&format!("{}_{suffix}", path.file_stem()?.to_str()?), ".h5");
    let words = python(code(literal(path.to_str()?), literal(&file)));
    Some(Remedy::Copy { words, file, with: Vec::new() })
}
