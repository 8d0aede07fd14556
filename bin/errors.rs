//! Shows errors for both programs and chooses their exit codes. README.md lists the codes.
//!
//! The libraries don't know the flags of the programs. Their errors name a parameter in the form `chunk_samples`.
//! [`report`] shows the flag instead, in the form `--chunk-samples`, and adds what to type next.

use std::borrow::Cow;
use std::error::Error;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::Path;

use clap::parser::ValueSource;
use clap::{ArgMatches, Command, Parser};
use tonic_base::{Error as BaseError, interrupt, printable, printable_lines};
use tonic_report::Error as ReportError;
use tonic_shard::{Error as ShardError, MANIFEST_FILE, MARKER, is_url};

use crate::quoted::{quoted, quoted_path};
use crate::set_place::typed_words;

/// Exit code if all went well.
pub(crate) const DONE: u8 = 0;
/// Exit code if the operating system or the GPU failed: no such file, no permission, disk full, GPU driver or memory.
pub(crate) const SYSTEM: u8 = 1;
/// Exit code for wrong arguments, or a request that cannot be carried out.
pub(crate) const USAGE: u8 = 2;
/// Exit code for a set, run or model that is damaged, incomplete, incompatible, or inconsistent with the other inputs.
/// Also the exit code of `tonic-prep diff` if the sets differ.
pub(crate) const BAD_SET: u8 = 4;

/// One error of a chain of errors, in which each error is the cause of the error before it.
pub(crate) type Cause = dyn Error + 'static;

/// The subcommand that the user typed: the arguments that it accepts, and the arguments that the user gave.
pub(crate) struct Typed {
    program: &'static str,
    command: Command,
    matches: ArgMatches,
}

impl Typed {
    /// Parses the arguments of `program`. For `--help` and for invalid arguments, prints a text and ends the program.
    pub(crate) fn parse<P: Parser>(program: &'static str) -> (P, Typed) {
        Typed::parse_from(program, typed_words()).unwrap_or_else(|error| refuse(&error))
    }

    fn parse_from<P: Parser>(
        program: &'static str,
        words: impl IntoIterator<Item = OsString>,
    ) -> clap::error::Result<(P, Typed)> {
        let mut command = P::command();
        let mut matches = command.try_get_matches_from_mut(words)?;
        let parsed = P::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
        while let Some((name, below)) = matches.remove_subcommand() {
            command = command.find_subcommand(name).cloned().unwrap_or(command);
            matches = below;
        }
        Ok((parsed, Typed { program, command, matches }))
    }

    /// Whether the subcommand accepts the argument `id`.
    fn has(&self, id: &str) -> bool {
        self.command.get_arguments().any(|argument| argument.get_id() == id)
    }

    /// Whether the subcommand accepts the flag `flag`, and the user did not give it.
    fn lacks(&self, flag: &str) -> bool {
        self.has(flag) && self.matches.value_source(flag) != Some(ValueSource::CommandLine)
    }

    /// Replaces parameter names with flags in a text of a library: `max_loss` becomes `--max-loss`. Only names in
    /// backticks are replaced.
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

    /// Returns the flag of the program for a parameter of a library. Only the first word of `name` is converted, so
    /// that `cache host` becomes `--cache host`. If the subcommand has no such argument, returns `name` unchanged.
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

/// Prints the help text, or what is wrong with the arguments, and ends the program. Invisible characters in the
/// arguments are printed as escapes.
fn refuse(error: &clap::Error) -> ! {
    let hidden = |arg: OsString| matches!(printable(&arg.to_string_lossy()), Cow::Owned(_));
    if !typed_words().any(hidden) {
        error.exit();
    }
    let text = error.render().to_string();
    if error.use_stderr() {
        eprint!("{}", printable_lines(&text));
    } else {
        print!("{}", printable_lines(&text));
    }
    std::process::exit(error.exit_code());
}

/// Prints an error on stderr, with advice, and returns the exit code.
///
/// This function knows the exit codes and the advice for errors of the crates base, shard and report. For errors that
/// only the calling program has, the function `code` returns the exit code, and the function `advice` returns the
/// advice. Both functions are called for each error of the chain, outermost first. They return `None` for errors of
/// the other crates.
///
/// A closed output pipe (`| head`) is not an error: nothing is printed, and the exit code is 0.
pub(crate) fn report(
    typed: &Typed,
    error: &anyhow::Error,
    code: impl Fn(&Cause) -> Option<u8>,
    advice: impl Fn(&Cause) -> Option<String>,
) -> u8 {
    if error.chain().any(is_broken_pipe) {
        return DONE;
    }
    eprintln!("{}: error: {}", typed.program, said(typed, error, advice));
    error.chain().find_map(|cause| code(cause).or_else(|| shared_code(cause))).unwrap_or(SYSTEM)
}

/// Returns the text of an error, followed by what to type next.
fn said(typed: &Typed, error: &anyhow::Error, advice: impl Fn(&Cause) -> Option<String>) -> String {
    let advice = error.chain().find_map(|cause| {
        advice(cause)
            .or_else(|| mismatch_advice(typed, cause))
            .or_else(|| shared_advice(typed, cause).map(Cow::into_owned))
    });
    let advice = advice.map_or(String::new(), |advice| format!("; {advice}"));
    format!("{}{}", printable(&text(typed, error)), printable_lines(&advice))
}

/// Returns the texts of an error and its causes in one line. A cause is left out if the line already contains its text.
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
            typed.with_flags(&text.replace(&words, &words.replacen(what, &typed.flag(what), 1)))
        }
        _ => typed.with_flags(&text),
    }
}

fn shared_code(cause: &Cause) -> Option<u8> {
    if let Some(error) = cause.downcast_ref() {
        return Some(match error {
            BaseError::Usage { .. } | BaseError::Unavailable { .. } | BaseError::Exists { .. } => USAGE,
            BaseError::Corrupt { .. } => BAD_SET,
            BaseError::Interrupted { .. } => interrupt::INTERRUPTED,
            _ => SYSTEM,
        });
    }
    match cause.downcast_ref()? {
        ShardError::Base(_) => None,
        ShardError::ChunkTooLarge { .. } => Some(USAGE),
        _ => Some(BAD_SET),
    }
}

fn shared_advice(typed: &Typed, cause: &Cause) -> Option<Cow<'static, str>> {
    let damaged = match (cause.downcast_ref(), cause.downcast_ref()) {
        (Some(ShardError::Incomplete { path, .. }), _) if path.join(MANIFEST_FILE).exists() => Some(path.as_path()),
        (_, Some(BaseError::Corrupt { path, .. })) if is_url(path) && path.ends_with("latest.json") => {
            return Some(
                "URL#SETID names a set without this file; to mend it, remove it and push the set again".into(),
            );
        }
        (_, Some(BaseError::Corrupt { path, .. })) if is_url(path) => {
            return Some("pull again; if it stays, push the set again from an intact copy".into());
        }
        (_, Some(BaseError::Corrupt { path, .. })) if is_of_a_set(path) => path.parent(),
        _ => return fixed_advice(typed, cause).map(Cow::from),
    };
    let set = quoted_path(damaged.filter(|set| *set != Path::new("")).unwrap_or(Path::new(".")));
    let verify = format!("tonic-prep verify {set} lists all faults");
    Some(format!("{verify}, tonic-prep repair {set} --from COPY mends them, from a copy or the recordings").into())
}

fn fixed_advice(typed: &Typed, cause: &Cause) -> Option<&'static str> {
    match cause.downcast_ref() {
        Some(ShardError::ChunkTooLarge { .. }) => return Some("use a smaller --chunk-samples"),
        Some(ShardError::Incomplete { path, .. }) if is_url(path) => {
            return Some("name the URL without #SETID, which means the latest set, or push this set again");
        }
        Some(ShardError::Incomplete { path, .. }) if !path.join(MANIFEST_FILE).exists() => {
            return Some("run the command that wrote it again to finish it, with --resume unless it was pull");
        }
        Some(ShardError::NotASet { path, .. }) if is_url(path) => {
            return Some("name the URL that a set was pushed to, or that of a folder with a set");
        }
        Some(ShardError::NotASet { .. }) => return Some("name the folder that tonic-prep convert wrote (-o)"),
        Some(ShardError::Incompatible { .. }) => {
            return Some("use the version of tonic-toolkit that wrote it, or convert the recordings again");
        }
        _ => {}
    }
    if let Some(ReportError::Plot { .. }) = cause.downcast_ref() {
        return Some("please report it, with the command");
    }
    match cause.downcast_ref()? {
        BaseError::NoSpace { path, .. } if *path == std::env::temp_dir() => {
            Some("the folder of temporary files is TMPDIR")
        }
        BaseError::Io { path, source, .. } => match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
                if *path == std::env::temp_dir() =>
            {
                Some("free some space there, or set TMPDIR to a folder with more")
            }
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge if typed.has("resume") => {
                Some("what is complete stays: free some space and run again with --resume")
            }
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => Some("free some space"),
            ErrorKind::NotFound if is_on_server(path) => Some("make it, or check the name"),
            ErrorKind::PermissionDenied if is_on_server(path) => Some(credentials_of(path)),
            ErrorKind::InvalidInput if is_on_server(path) => {
                Some("curl -sIL with this URL shows what the server answers")
            }
            _ if is_on_server(path) => Some("run the same command again when the server can be reached"),
            ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory => Some("check the path, with ls"),
            ErrorKind::ReadOnlyFilesystem => Some("name another output"),
            ErrorKind::PermissionDenied => Some("check who owns it and may use it, with ls -ld"),
            _ => None,
        },
        BaseError::Interrupted { .. } if typed.has("resume") => Some("run the same command with --resume to continue"),
        BaseError::Interrupted { .. } => Some("run the same command again"),
        BaseError::Busy { .. } => Some("wait until it has ended, or name another output"),
        BaseError::Corrupt { .. } => Some("put the file back from a copy, or have it written again"),
        BaseError::Exists { path, .. } if path.is_dir() && typed.has("overwrite") => Some(if typed.lacks("resume") {
            "name another output, or continue an interrupted run with --resume; --overwrite deletes what is there"
        } else {
            "name another output; --overwrite deletes what is there"
        }),
        BaseError::Usage { what, .. } if what.starts_with("cache ") => Some("--cache stream needs no memory for them"),
        BaseError::Unavailable { what, .. } if what == "cache device" => Some("use --cache host or --cache stream"),
        BaseError::Exists { .. } if typed.has("force") => Some("--force replaces it"),
        BaseError::Exists { .. } => Some("name another output"),
        BaseError::WorkerLost { .. } => Some("please report the message above it, with the command"),
        _ => None,
    }
}

/// Returns what to check if the server of a URL refuses a request.
fn credentials_of(url: &Path) -> &'static str {
    match url.to_str().and_then(|text| text.split_once("://")) {
        Some(("s3", _)) => "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL",
        Some(("az", _)) => "check AZURE_STORAGE_ACCOUNT_NAME, and AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN",
        _ => "https://user:password@host/... has the user and the password",
    }
}

/// Whether an error's path is a URL of an object store or a web server.
fn is_on_server(path: &Path) -> bool {
    is_url(path) && !path.starts_with("file:")
}

/// Whether a file belongs to a shard set, judged by its name.
fn is_of_a_set(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "shard") || path.file_name().is_some_and(|n| n == MANIFEST_FILE)
}

/// Advice for a user who wants to convert again instead of resuming.
const ANEW: &str = "to convert all with other options, use --overwrite for --resume";

/// Returns what to type next for [`ShardError::Mismatch`]: two sets, recordings or settings differ. `None` for other
/// errors.
fn mismatch_advice(typed: &Typed, cause: &Cause) -> Option<String> {
    let Some(ShardError::Mismatch { path, other, field, expected, got }) = cause.downcast_ref() else { return None };
    let list = "--classes FILE, a list of all classes";
    let (set, is_set) = (quoted_path(path), other.is_dir());
    let model = if is_set { quoted_path(other) } else { "and the set of the training".into() };
    let again = format!("convert the recordings of {set} again with");
    Some(match field.as_str() {
        "list of classes" => format!("{list}, or --classes-of SET gives all recordings one"),
        "list of extra columns" if path.is_file() => "convert each by itself".into(),
        "sensor" if !describes_a_set(other) => "--sensor W,H,P sets one for all, which has to hold all events".into(),
        "part" if is_set => "name every part of one set once".into(),
        "locked set_id" => {
            let file = quoted_path(other);
            format!(
                "tonic-prep pull --lock {file} DIR fetches the sets of the file; tonic-prep lock {file} {set} adds this one"
            )
        }
        "set id of the card" => {
            let set = quoted_path(other.parent().unwrap_or(other));
            format!("tonic-prep card {set} writes it anew, with the licence and the source of the old one")
        }
        _ if typed.has("from") => {
            "--from takes a copy of this set, or the recordings that it was converted from".into()
        }
        _ if typed.has("beside") => "measure both with the same recipe and --batch-size".into(),
        _ if typed.has("train") && !is_set => {
            "--resume continues with the set that the run was trained on; for another, name another --output".into()
        }
        "classes" if typed.has("classes_of") && !is_set && typed.has("resume") => {
            format!("give --classes, --classes-of and the labels as it began, to continue it; {ANEW}")
        }
        "tool" if typed.has("resume") && !is_set => {
            "continue it with the version that began it, or make all anew, with --overwrite for --resume".into()
        }
        _ if typed.has("resume") && !is_set && typed.has(field) && !["recipe", "samples"].contains(&&**field) => {
            let flag = typed.flag(field);
            let line = match expected.as_str() {
                "none" => format!("leave {flag} out"),
                "given" => format!("add {flag}"),
                _ if field == "labels" => "give the same --labels".into(),
                value => format!("give {flag} {}", quoted(value)),
            };
            format!("{line}, as it began, to continue it; {ANEW}")
        }
        "fields" if typed.has("resume") => {
            format!("give --map, --columns and --layout as it began, to continue it; {ANEW}")
        }
        // The folder has an unfinished result that was begun with other recordings or options.
        _ if typed.has("resume") && !is_set => {
            "--resume continues with the same recordings and options only; for others name another --output".into()
        }
        _ if path.is_file() => "put the file back from a copy, or train again".into(),
        "classes" if !lacking(expected, got).is_empty() => {
            let (extra, has_all) = (lacking(expected, got).join(", "), lacking(got, expected).is_empty());
            let way = match has_all && !expected.contains('"') {
                true => format!(
                    "to leave its samples out: tonic-prep subset NEW {set} --classes {} --renumber",
                    quoted(&expected.replace(", ", ","))
                ),
                false => format!("if it is another spelling, rename it and convert the recordings of {set} again"),
            };
            let extra = printable(&extra);
            format!("{} has no class {extra}: {way}; or convert both with {list}", quoted_path(other))
        }
        "classes" if is_set => format!("{again} --classes-of {model}, or those of both with {list}"),
        "classes" => format!("{again} --classes-of {model}, or with {list}"),
        "recipe" | "shape" | "cells of a frame" => format!("{again} --recipe-of {model}"),
        _ => format!("{again} the options of {}, which tonic-prep info shows", quoted_path(other)),
    })
}

/// Returns the classes of the list `others` that the list `classes` doesn't have.
fn lacking<'a>(classes: &str, others: &'a str) -> Vec<&'a str> {
    others.split(", ").filter(|other| classes.split(", ").all(|class| class != *other)).collect()
}

/// Whether the file is the manifest of a set. Also true for the marker, the file that describes a set until the set
/// is complete.
fn describes_a_set(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == MARKER || name == MANIFEST_FILE)
}

fn is_broken_pipe(cause: &Cause) -> bool {
    cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// Checks of error texts, for the tests of both programs.
#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A test case: an error, the words that its shown text must contain, and the words that the advice after this text
    /// must contain.
    pub(crate) struct Case {
        pub error: anyhow::Error,
        pub words: Vec<&'static str>,
        pub next: &'static str,
    }

    /// Makes a case. The shown text must contain `words`, and the advice must contain `next`. `next` is empty if the
    /// error needs no advice, because its text already says what to do.
    pub(crate) fn case(error: impl Into<anyhow::Error>, words: &[&'static str], next: &'static str) -> Case {
        Case { error: error.into(), words: words.into(), next }
    }

    /// Checks the text that is shown for the error of each case. `words` is the command line that the user typed.
    pub(crate) fn check<P: Parser>(words: &[&str], advice: impl Fn(&Cause) -> Option<String>, cases: &[Case]) {
        let (_, typed) = Typed::parse_from::<P>("program", words.iter().map(OsString::from)).unwrap();
        for Case { error, words, next } in cases {
            let said = said(&typed, error, &advice);
            for word in words.iter().chain([next]) {
                assert!(said.contains(word), "no {word:?} in: {said}");
            }
            for noise in ["Some(", "None", "Os {", "Err(", "  ", ";;", "; ;", "damaged", "PathBuf", "\n"] {
                assert!(!said.contains(noise), "{noise:?} in: {said}");
            }
            let advised = said.rsplit_once("; ").is_some_and(|(_, advice)| advice.len() > 8);
            assert!(next.is_empty() || advised, "nothing to type next: {said}");
        }
    }

    /// Checks that each variant of the error enum `name` occurs in one of the cases. `source` is the Rust source text
    /// of the enum.
    pub(crate) fn has_every_variant(source: &str, name: &str, cases: &[Case]) {
        let body = source.split_once(&format!("pub enum {name} {{\n")).unwrap().1.split_once("\n}\n").unwrap().0;
        let names = body
            .lines()
            .filter_map(|line| line.strip_prefix("    "))
            .map(|line| line.chars().take_while(char::is_ascii_alphanumeric).collect::<String>());
        let variants: BTreeSet<String> = names.filter(|name| name.starts_with(char::is_uppercase)).collect();
        let text = |case: &Case| format!("{:?}", case.error.chain().map(debug).collect::<Vec<_>>());
        let all: String = cases.iter().map(text).collect();
        assert!(!variants.is_empty());
        for variant in variants {
            let has = all.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == variant);
            assert!(has, "no case of {name}::{variant}: add one, with what to type next");
        }
    }

    fn debug(cause: &Cause) -> String {
        format!("{cause:?}")
    }
}
