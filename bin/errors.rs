//! How both programs show an error, and which exit code they end with. README.md lists the codes.
//!
//! The libraries know no flags. They name a parameter by its field (`chunk_samples`); [`report`] shows the flag
//! (`--chunk-samples`) and adds what to type next.

use std::error::Error;
use std::io::ErrorKind;
use std::process::ExitCode;

use clap::{ArgMatches, Command, Parser};
use tonic_base::Error as BaseError;
use tonic_shard::{Error as ShardError, MANIFEST_FILE};

/// The operating system or the GPU failed: no such file, no permission, disk full, GPU driver or memory.
pub(crate) const SYSTEM: u8 = 1;
/// A request that cannot be carried out.
pub(crate) const USAGE: u8 = 2;
/// A damaged, incomplete, foreign or mismatched set, run or model; sets that differ.
pub(crate) const BAD_SET: u8 = 4;
const INTERRUPTED: u8 = 130;

/// An error of the chain that [`report`] walks.
pub(crate) type Cause = dyn Error + 'static;

/// The subcommand that the user typed: which arguments it has and which were given.
pub(crate) struct Typed {
    command: Command,
    matches: ArgMatches,
}

impl Typed {
    /// Parses the program's arguments. Exits for `--help` and for invalid arguments.
    pub(crate) fn parse<P: Parser>() -> (P, Typed) {
        let mut command = P::command();
        let mut matches = command.get_matches_mut();
        let parsed = P::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut command).exit());
        while let Some((name, below)) = matches.remove_subcommand() {
            command = command.find_subcommand(name).cloned().unwrap_or(command);
            matches = below;
        }
        (parsed, Typed { command, matches })
    }

    /// Whether the subcommand has an argument.
    fn has(&self, id: &str) -> bool {
        self.command.get_arguments().any(|argument| argument.get_id() == id)
    }

    /// Whether the subcommand has a flag that was not given.
    fn lacks(&self, flag: &str) -> bool {
        self.has(flag) && !self.matches.get_flag(flag)
    }

    /// Shows the flags for the parameter names that a library's text has in backticks.
    pub(crate) fn with_flags(&self, text: &str) -> String {
        let parts: Vec<&str> = text.split('`').collect();
        if parts.len().is_multiple_of(2) {
            return text.into(); // a lone backtick, perhaps of a file's name
        }
        let shown = parts.into_iter().enumerate().map(|(i, part)| match self.flag(part) {
            _ if i % 2 == 0 => part.to_string(),
            flag if flag == part => format!("`{part}`"),
            flag => flag,
        });
        shown.collect()
    }

    /// Converts a library's parameter name to the flag that the user types. Only the first word is looked up, for
    /// example in `cache host`.
    pub(crate) fn flag(&self, name: &str) -> String {
        let (id, rest) = name.split_at(name.find(' ').unwrap_or(name.len()));
        let argument = self.command.get_arguments().find(|argument| argument.get_id() == id);
        let Some(argument) = argument else { return name.into() };
        match (argument.get_long(), argument.get_value_names()) {
            (Some(long), _) => format!("--{long}{rest}"),
            (None, Some([place])) => format!("{place}{rest}"),
            (None, _) => name.into(),
        }
    }
}

/// Prints an error on stderr, with advice, and returns the exit code.
///
/// `code` and `advice` are asked for each error of the chain, outermost first, and know the program's own errors;
/// those of base, shard and report are known here. A closed output pipe (`| head`) is not an error.
pub(crate) fn report(
    typed: &Typed,
    error: &anyhow::Error,
    code: impl Fn(&Cause) -> Option<u8>,
    advice: impl Fn(&Cause) -> Option<String>,
) -> ExitCode {
    if error.chain().any(is_broken_pipe) {
        return ExitCode::SUCCESS;
    }
    let advice = error.chain().find_map(|cause| {
        advice(cause).or_else(|| class_advice(cause)).or_else(|| shared_advice(typed, cause).map(String::from))
    });
    let advice = advice.map_or(String::new(), |advice| format!("; {advice}"));
    eprintln!("{}: error: {}{advice}", env!("CARGO_BIN_NAME"), text(typed, error));
    ExitCode::from(error.chain().find_map(|cause| code(cause).or_else(|| shared_code(cause))).unwrap_or(SYSTEM))
}

/// An error and its causes in one line, without a cause that the words before it contain.
fn text(typed: &Typed, error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for words in error.chain().map(ToString::to_string) {
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
    }
    match error.chain().find_map(|cause| cause.downcast_ref()) {
        Some(fault @ (BaseError::Usage { what, .. } | BaseError::Unavailable { what, .. })) => {
            let words = fault.to_string();
            text.replace(&words, &words.replacen(what, &typed.flag(what), 1))
        }
        _ => typed.with_flags(&text),
    }
}

fn shared_code(cause: &Cause) -> Option<u8> {
    if let Some(error) = cause.downcast_ref() {
        return Some(match error {
            BaseError::Usage { .. } | BaseError::Unavailable { .. } | BaseError::Exists { .. } => USAGE,
            BaseError::Corrupt { .. } => BAD_SET,
            BaseError::Interrupted { .. } => INTERRUPTED,
            _ => SYSTEM,
        });
    }
    match cause.downcast_ref()? {
        ShardError::Base(_) => None,
        ShardError::ChunkTooLarge { .. } => Some(USAGE),
        _ => Some(BAD_SET),
    }
}

fn shared_advice(typed: &Typed, cause: &Cause) -> Option<&'static str> {
    match cause.downcast_ref() {
        Some(ShardError::ChunkTooLarge { .. }) => return Some("use a smaller --chunk-samples"),
        Some(ShardError::Incomplete { path, .. }) if !path.join(MANIFEST_FILE).exists() => {
            return Some("run the same convert again with --resume to finish it");
        }
        _ => {}
    }
    match cause.downcast_ref()? {
        BaseError::Io { source, .. } => match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge if typed.has("resume") => {
                Some("what is complete stays: free some space and run again with --resume")
            }
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => Some("free some space"),
            _ => None,
        },
        BaseError::Interrupted { .. } if typed.has("resume") => Some("run the same command with --resume to go on"),
        BaseError::Exists { path, .. } if path.is_dir() && typed.has("overwrite") => Some(if typed.lacks("resume") {
            "--resume goes on with an interrupted run, --overwrite replaces what is there"
        } else {
            "--overwrite replaces what is there"
        }),
        BaseError::Usage { what, .. } if what.starts_with("cache ") => Some("--cache stream needs no memory for them"),
        BaseError::Unavailable { what, .. } if what == "cache device" => Some("use --cache host or --cache stream"),
        _ => None,
    }
}

/// What to type for sets or recordings whose lists of classes differ.
fn class_advice(cause: &Cause) -> Option<String> {
    let Some(ShardError::Mismatch { path, other, field, .. }) = cause.downcast_ref() else { return None };
    let list = "--classes FILE, a list of all classes";
    match field.as_str() {
        "classes" if other.is_dir() => Some(format!(
            "convert the recordings of {} again with --classes-of {}, or those of both with {list}",
            path.display(),
            other.display()
        )),
        "classes" => Some(format!(
            "convert the recordings of {} again with --classes-of and the set of the training, or with {list}",
            path.display()
        )),
        "list of classes" => Some(format!("{list}, or --classes-of SET gives all recordings one")),
        _ => None,
    }
}

fn is_broken_pipe(cause: &Cause) -> bool {
    cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
