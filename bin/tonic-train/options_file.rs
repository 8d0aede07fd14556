//! `fit --options FILE`: parses the options in a TOML file as if they were typed on the command line.

use std::error::Error;
use std::ffi::OsString;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{Arg, Args, Command};
use toml::Value;
use tonic_base::{BaseFault, Error as BaseError};
use tonic_train::run::{RunOption, read_options};

use crate::training_args::COMPANIONS;
use crate::typed::{typed_words, without_credentials};

/// Arguments of `fit` that cannot be in a file with options.
const TYPED_ONLY: [&str; 3] = ["options", "help", "version"];

/// Parses options from a file as arguments of the command `fit`. `A` is the type of the arguments.
pub(crate) struct OptionsParser<A> {
    /// The command `fit`, as clap parses it. If `--options` is given, the other arguments are optional.
    fit: Command,
    arguments: PhantomData<A>,
}

/// Parses the command line of this process together with the options in `file`. Then calls `more` with the result.
/// `more` can return a second file and its options. Typed options win over those in `file`, and both win over those of
/// `more`.
pub(crate) fn with_files<A: Args>(
    file: Option<&Path>,
    more: impl FnOnce(&A) -> anyhow::Result<Option<(PathBuf, Vec<RunOption>)>>,
) -> anyhow::Result<A> {
    let mut parser = OptionsParser::<A>::new();
    let mut words: Vec<OsString> = typed_words().skip(1).collect();
    let options = file.map(read_options).transpose()?.unwrap_or_default();
    let place = file.unwrap_or(Path::new(""));
    words = parser.add(place, &options, words)?;
    let parsed = parser.parse(place, &options, words.clone())?;
    match more(&parsed)? {
        None => Ok(parsed),
        Some((other, options)) => {
            let words = parser.add(&other, &options, words)?;
            Ok(parser.parse(&other, &options, words)?)
        }
    }
}

impl<A: Args> OptionsParser<A> {
    pub(crate) fn new() -> OptionsParser<A> {
        OptionsParser { fit: A::augment_args(Command::new("fit")), arguments: PhantomData }
    }

    /// Adds options from a file to the words of a command line. Leaves out an option in these cases:
    ///
    /// - The command line has this option, or one that conflicts with it.
    /// - The option is a companion in [`COMPANIONS`], such as `momentum` of `optimiser`, and the command line sets
    ///   `optimiser` to another value than the file.
    fn add(&mut self, file: &Path, options: &[RunOption], mut words: Vec<OsString>) -> anyhow::Result<Vec<OsString>> {
        let matches = self.fit.try_get_matches_from_mut(&words)?;
        let is_given =
            |argument: &Arg| matches.value_source(argument.get_id().as_str()) == Some(ValueSource::CommandLine);
        for option in options {
            let word = self.word(file, option)?;
            let is_chosen_otherwise = COMPANIONS.iter().any(|(choice, companions)| {
                let given = || matches.get_raw(choice)?.next()?.to_str();
                let in_file = options.iter().find(|other| other.name == *choice).and_then(|other| scalar(&other.value));
                let is_given = self.argument(choice).is_some_and(is_given);
                is_given && companions.contains(&option.name.as_str()) && given() != in_file.as_deref()
            });
            let beaten = |argument: &Arg| {
                is_given(argument)
                    || is_chosen_otherwise
                    || self.fit.get_arg_conflicts_with(argument).into_iter().any(is_given)
            };
            if !self.argument(&option.name).is_some_and(beaten) {
                words.extend(word);
            }
        }
        Ok(words)
    }

    /// Parses the options of one run of a sweep. `file` is the file with the options, for error messages.
    pub(crate) fn run(&mut self, file: &Path, options: &[RunOption]) -> Result<A, BaseError> {
        let mut words = with_options(file);
        for option in options {
            words.extend(self.word(file, option)?);
        }
        self.parse(file, options, words)
    }

    /// Parses `words` as a command line of `fit`. `options` are those that come from `file`.
    fn parse(&mut self, file: &Path, options: &[RunOption], words: Vec<OsString>) -> Result<A, BaseError> {
        let matches = self.fit.try_get_matches_from_mut(words);
        matches.and_then(|matches| A::from_arg_matches(&matches)).map_err(|error| {
            let text = error.to_string();
            let reason = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
            // clap quotes the options at fault, such as '--pad <MODE>'.
            let is_named = |option: &&RunOption| {
                let ends = ["'", " ", "=", "["].map(|end| format!("'--{}{end}", option.key()));
                ends.iter().any(|word| reason.contains(word.as_str()))
            };
            let named = options.iter().find(is_named);
            let place = named.map_or_else(|| file.display().to_string(), |option| option.place(file));
            BaseError::usage(place, "options that go together", reason)
        })
    }

    fn argument(&self, name: &str) -> Option<&Arg> {
        self.fit.get_arguments().find(|argument| argument.get_id() == name && !TYPED_ONLY.contains(&name))
    }

    /// Converts an option to a word of the command line, such as `--epochs=24`. `None` for a flag that is false.
    fn word(&mut self, file: &Path, option: &RunOption) -> Result<Option<OsString>, BaseError> {
        let value = &option.value;
        let refused = |expected: String, got: String| Err(BaseError::usage(option.place(file), expected, got));
        let Some(argument) = self.argument(&option.name) else {
            let flags = self.fit.get_arguments().filter(|argument| !TYPED_ONLY.contains(&argument.get_id().as_str()));
            let names: Vec<&str> = flags.filter_map(Arg::get_long).collect();
            return refused(format!("a flag of fit ({})", names.join(", ")), "an unknown one".into());
        };
        let flag = format!("--{}", argument.get_long().unwrap_or_default());
        let takes_value = argument.get_action().takes_values();
        let is_switch = !takes_value || argument.get_num_args().is_some_and(|range| range.min_values() == 0);
        let text = match value {
            Value::Boolean(true) if is_switch => return Ok(Some(flag.into())),
            Value::Boolean(false) if is_switch => return Ok(None),
            _ if !takes_value => return refused("true or false".into(), value.to_string()),
            Value::Array(values) => match values.iter().map(scalar).collect::<Option<Vec<String>>>() {
                // A comma at the end tells a list of one from a single value.
                Some(texts) if texts.len() == 1 => Some(format!("{},", texts[0])),
                texts => texts.map(|texts| texts.join(",")),
            },
            value => scalar(value),
        };
        let Some(text) = text else {
            return refused("a number, a text, or a list of them".into(), value.to_string().trim().replace('\n', " "));
        };
        let word = without_credentials(format!("{flag}={text}").into());
        match self.fit.try_get_matches_from_mut(with_options(file).into_iter().chain([word.clone()])) {
            Ok(_) => Ok(Some(word)),
            Err(error) => refused(expected(&flag, &error), value.to_string()),
        }
    }
}

/// Returns the words `fit --options FILE`.
fn with_options(file: &Path) -> Vec<OsString> {
    ["fit".into(), "--options".into(), file.into()].to_vec()
}

/// Returns a number or a text in the form in which it is typed on the command line; `None` for other values.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(format!("{number:?}")),
        _ => None,
    }
}

/// Returns the values that `flag` takes, as text. `error` is clap's error about a value that the flag doesn't take.
fn expected(flag: &str, error: &clap::Error) -> String {
    match (error.get(ContextKind::ValidValue), error.source()) {
        (Some(ContextValue::Strings(values)), _) if !values.is_empty() => values.join(" or "),
        (_, Some(reason)) => match reason.to_string() {
            words if words.starts_with("expected ") => words["expected ".len()..].into(),
            words => format!("a value of {flag} ({words})"),
        },
        _ => format!("a value of {flag}"),
    }
}
