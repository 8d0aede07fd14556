//! Parsers for the values of arguments that several commands have.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use tonic_train::engine::EngineChoice;
use tonic_train::learner::{ClassWeights, Pad};
use tonic_train::network::{HiddenSizes, Preset};

pub(crate) fn engine() -> impl TypedValueParser<Value = EngineChoice> {
    let names = PossibleValuesParser::new(["fused", "reference"]);
    names.map(|name| if name == "fused" { EngineChoice::Fused } else { EngineChoice::Reference })
}

pub(crate) fn pad() -> impl TypedValueParser<Value = Pad> {
    PossibleValuesParser::new(["fixed", "batch"]).map(|name| if name == "fixed" { Pad::Fixed } else { Pad::Batch })
}

pub(crate) fn class_weights() -> impl TypedValueParser<Value = ClassWeights> {
    let names = PossibleValuesParser::new(["none", "balanced"]);
    names.map(|name| if name == "none" { ClassWeights::None } else { ClassWeights::Balanced })
}

pub(crate) fn preset() -> impl TypedValueParser<Value = String> {
    PossibleValuesParser::new(Preset::ALL.iter().map(|preset| preset.name))
}

/// Parses the numbers of neurons of the hidden layers. `128` stands for every layer; `256,128` gives two layers, and
/// `256,` one.
pub(crate) fn hidden(text: &str) -> Result<HiddenSizes, String> {
    let sizes: Option<Vec<usize>> = text
        .strip_suffix(',')
        .unwrap_or(text)
        .split(',')
        .map(|n| n.parse().ok().filter(|n| (1..=1 << 16).contains(n)))
        .collect();
    match sizes {
        Some(sizes) if sizes.len() == 1 && !text.ends_with(',') => Ok(HiddenSizes::Every(sizes[0])),
        Some(sizes) => Ok(HiddenSizes::Each(sizes)),
        None => Err("expected layers of 1 to 65536 neurons, such as 128 or 256,128".into()),
    }
}

pub(crate) fn batch_size(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| (1..=1 << 20).contains(n)).ok_or_else(|| "expected 1 to 1048576 samples".into())
}

/// Parses a path that must have one of these extensions, so that a mistyped argument cannot replace another kind of
/// file.
fn path_ending(text: &str, extensions: &[&str]) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let fits = |extension: &OsStr| extensions.iter().any(|one| extension.eq_ignore_ascii_case(one));
    if path.extension().is_some_and(fits) {
        return Ok(path);
    }
    let all: Vec<String> = extensions.iter().map(|extension| format!(".{extension}")).collect();
    Err(format!("expected a name that ends in {}", all.join(" or ")))
}

pub(crate) fn csv_path(text: &str) -> Result<PathBuf, String> {
    path_ending(text, &["csv"])
}

pub(crate) fn html_path(text: &str) -> Result<PathBuf, String> {
    path_ending(text, &["html"])
}

pub(crate) fn npz_path(text: &str) -> Result<PathBuf, String> {
    path_ending(text, &["npz"])
}

pub(crate) fn nir_path(text: &str) -> Result<PathBuf, String> {
    path_ending(text, &["nir", "h5", "hdf5"])
}

pub(crate) fn safetensors_path(text: &str) -> Result<PathBuf, String> {
    path_ending(text, &["safetensors"])
}

/// Parses a number that is neither NaN nor infinite.
pub(crate) fn finite(text: &str) -> Result<f32, String> {
    text.parse().ok().filter(|number: &f32| number.is_finite()).ok_or_else(|| "expected a number".into())
}

/// Parses a positive number.
pub(crate) fn positive<N: FromStr + Copy + Into<f64>>(text: &str) -> Result<N, String> {
    let is_positive = |number: &N| (*number).into() > 0.0 && (*number).into().is_finite();
    text.parse().ok().filter(is_positive).ok_or_else(|| "expected a positive number".into())
}
