//! The command line as the user typed it. Errors and advice name its arguments, and never show credentials.

use std::borrow::Cow;
use std::ffi::OsString;
use std::sync::OnceLock;

use clap::parser::ValueSource;
use clap::{ArgMatches, Command, Parser};
use tonic_base::{printable, printable_lines};

/// The command line that the caller of `main` gave. If this is empty, the command line of the process is used.
pub(crate) static WORDS: OnceLock<Vec<OsString>> = OnceLock::new();

/// Returns the words of the command line, as they were typed.
pub(crate) fn words() -> Vec<OsString> {
    WORDS.get().cloned().unwrap_or_else(|| std::env::args_os().collect())
}

/// Returns the words of the command line, without the credentials in URLs.
pub(crate) fn typed_words() -> impl Iterator<Item = OsString> {
    words().into_iter().map(without_credentials)
}

/// Removes the credentials from a word that is a URL, or an option with a URL, such as `--train=URL`.
pub(crate) fn without_credentials(word: OsString) -> OsString {
    #[cfg(feature = "remote")]
    if let Some(text) = word.to_str()
        && let Some(scheme_end) = text.find("://")
    {
        let start = text[..scheme_end].rfind('=').map_or(0, |at| at + 1);
        return tonic_remote::without_credentials(&text[start..])
            .map_or(word.clone(), |url| format!("{}{url}", &text[..start]).into());
    }
    word
}

/// The subcommand that the user typed: the arguments that it accepts, and the arguments that the user gave.
pub(crate) struct Typed {
    pub(crate) program: &'static str,
    command: Command,
    matches: ArgMatches,
}

impl Typed {
    /// Parses the arguments of `program`. For `--help` and for invalid arguments, prints a text and ends the program.
    pub(crate) fn parse<P: Parser>(program: &'static str) -> (P, Typed) {
        Typed::parse_from(program, typed_words()).unwrap_or_else(|error| refuse(&error))
    }

    pub(crate) fn parse_from<P: Parser>(
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
    pub(crate) fn has(&self, id: &str) -> bool {
        self.command.get_arguments().any(|argument| argument.get_id() == id)
    }

    /// Whether the subcommand accepts the flag `flag`, and the user did not give it.
    pub(crate) fn lacks(&self, flag: &str) -> bool {
        self.has(flag) && self.matches.value_source(flag) != Some(ValueSource::CommandLine)
    }

    /// Replaces the names of parameters in an error or a note of a library by what the user types, such as
    /// `chunk_samples` by `--chunk-samples`. Only names in backticks are replaced.
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

    /// Returns what the user types for a parameter of a library, such as `--cache host` for `cache host`. Returns
    /// `name` if the subcommand has no such argument.
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

/// Prints clap's help or error, with invisible characters as escapes, and ends the program.
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
