//! Reads the classes and the extra columns of the samples in a file with the Heidelberg layout.

use std::path::Path;

use hdf5::Dataset;
use hdf5::types::TypeDescriptor;

use crate::error::{Error, Result};
use crate::source::columns::shape;
use crate::source::commands::{KEYS, LABELS, OddLabels, TIMES, UNITS, relabelled, without_samples};
use crate::source::hdf;
use crate::source::hdf::{damaged, describe, descriptor, strings};
use crate::source::labels::MAX_NAMELESS_CLASSES;

/// The classes and the extra columns of a file's samples.
pub(crate) struct Labels {
    /// Class number of each sample.
    pub(crate) labels: Vec<u32>,
    /// Names of the classes, if the file has them.
    pub(crate) names: Option<Vec<String>>,
    /// Extra columns: the name of each column, and its number for each sample.
    pub(crate) extras: Vec<(String, Vec<i64>)>,
}

impl Labels {
    /// Reads the labels of all samples, and the class names and extra columns of the file. `labels` is the dataset with
    /// the labels, and `samples` is the number of samples.
    ///
    /// # Errors
    /// [`Error::WrongType`]; [`Error::Columns`] for labels that are not classes; errors of reading.
    pub(crate) fn read(path: &Path, file: &hdf::File, labels: &Dataset, samples: usize) -> Result<Labels> {
        let labels = numbers(path, file, labels)?;
        if labels.len() != samples {
            return Err(Error::wrong_type(path, LABELS, format!("{samples} labels, one a sample"), labels.len()));
        }
        let names = hdf::optional(path, file, KEYS)?.map(|keys| strings(path, &keys, KEYS)).transpose()?;
        let classes = names.as_ref().map_or(MAX_NAMELESS_CLASSES as usize, Vec::len);
        let extras = extras(path, file, samples)?;
        let labels = classes_of(path, &labels, classes, names.is_some(), &extras)?;
        Ok(Labels { labels, names, extras })
    }
}

/// Reads the labels. If they are names or one-hot vectors, the error [`Error::Columns`] suggests a command that
/// converts them.
fn numbers(path: &Path, file: &hdf::File, labels: &Dataset) -> Result<Vec<i64>> {
    use TypeDescriptor::{FixedAscii, FixedUnicode, Float, Integer, Unsigned, VarLenAscii, VarLenUnicode};
    let sizes: Vec<u64> = labels.shape().iter().map(|&size| size as u64).collect();
    let odd = match (descriptor(path, labels, LABELS)?, shape::column(&sizes)) {
        (FixedAscii(_) | FixedUnicode(_) | VarLenAscii | VarLenUnicode, Some(_)) => Some(OddLabels::Names),
        (Unsigned(_) | Integer(_) | Float(_), None) if sizes.len() == 2 => Some(OddLabels::OneHot),
        _ => None,
    };
    let keyed = hdf::optional(path, file, KEYS)?.is_some();
    let Some(remedy) = odd.and_then(|odd| relabelled(path, odd, keyed)) else { return integers(path, labels, LABELS) };
    Err(Error::Columns {
        path: path.into(),
        place: LABELS.into(),
        expected: "a number for each sample, that of its class".into(),
        got: describe(path, labels, LABELS)?,
        remedies: vec![remedy],
    })
}

/// Converts labels to class numbers, which must be below `classes`. The other arguments are for the error: `keyed` says
/// whether the file has class names, and `extras` are its extra columns.
fn classes_of(
    path: &Path,
    labels: &[i64],
    classes: usize,
    keyed: bool,
    extras: &[(String, Vec<i64>)],
) -> Result<Vec<u32>> {
    let class = |&label: &i64| u32::try_from(label).ok().filter(|&label| (label as usize) < classes);
    let mut bad = (0..labels.len()).filter(|&i| class(&labels[i]).is_none());
    let Some(first) = bad.next() else { return Ok(labels.iter().filter_map(class).collect()) };
    let more = match bad.count() {
        0 => String::new(),
        1 => "; another sample has such a label too".into(),
        others => format!("; {others} other samples have such labels too"),
    };
    let (least, most) =
        (labels.iter().min(), labels.iter().max().map_or(0, |&most| usize::try_from(most).unwrap_or(0)));
    let remedy = match keyed {
        true if (least, most) == (Some(&1), classes) => relabelled(path, OddLabels::FromOne, keyed),
        false if most >= classes => relabelled(path, OddLabels::Names, keyed),
        _ => {
            let extras = extras.iter().map(|(name, _)| format!("extra/{name}"));
            without_samples(path, classes, [TIMES, UNITS, LABELS].map(String::from).into_iter().chain(extras))
        }
    };
    let last = classes.saturating_sub(1);
    Err(Error::Columns {
        path: path.into(),
        place: format!("sample {first}: label"),
        expected: match keyed {
            true => format!("0 to {last}, as {KEYS} names"),
            false => format!("a class, 0 to {last} in a file without {KEYS}"),
        },
        got: format!("{}{more}", labels[first]),
        remedies: remedy.into_iter().collect(),
    })
}

/// Reads the columns in `extra/` that have one integer per sample. Returns the name and the numbers of each.
fn extras(path: &Path, file: &hdf::File, samples: usize) -> Result<Vec<(String, Vec<i64>)>> {
    let Ok(group) = file.group("extra") else {
        // Returns an error if `extra` is a broken link.
        return hdf::optional(path, file, "extra").map(|_| Vec::new());
    };
    let mut names = group.member_names().map_err(|e| damaged(path, "extra", &e))?;
    names.sort();
    let mut extras = Vec::new();
    for name in names {
        let full = format!("extra/{name}");
        let other = |dataset: Dataset| {
            let descriptor = dataset.dtype().and_then(|t| t.to_descriptor());
            !matches!(descriptor, Ok(TypeDescriptor::Unsigned(_) | TypeDescriptor::Integer(_)))
        };
        if group.dataset(&name).is_ok_and(other) {
            continue;
        }
        if let Some(dataset) = hdf::optional(path, file, &full)?.filter(|dataset| dataset.shape() == [samples]) {
            extras.push((name, integers(path, &dataset, &full)?));
        }
    }
    Ok(extras)
}

/// Reads a column of whole numbers, which can be stored as integers or as floats.
fn integers(path: &Path, dataset: &Dataset, name: &str) -> Result<Vec<i64>> {
    let wrong = |expected: &str| describe(path, dataset, name).map(|got| Error::wrong_type(path, name, expected, got));
    let sizes: Vec<u64> = dataset.shape().iter().map(|&size| size as u64).collect();
    if shape::column(&sizes).is_none() {
        return Err(wrong("one dimension, a sample a row")?);
    }
    match descriptor(path, dataset, name)? {
        TypeDescriptor::Unsigned(_) | TypeDescriptor::Integer(_) => {
            dataset.read_raw::<i64>().map_err(|e| damaged(path, name, &e))
        }
        TypeDescriptor::Float(_) => {
            let numbers = dataset.read_raw::<f64>().map_err(|e| damaged(path, name, &e))?;
            let whole = numbers.iter().map(|&n| (n.fract() == 0.0).then_some(n as i64)).collect::<Option<_>>();
            whole.map_or_else(|| Err(wrong("whole numbers")?), Ok)
        }
        _ => Err(wrong("integers")?),
    }
}
