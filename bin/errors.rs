//! Shows errors for both programs and chooses their exit codes. README.md lists the codes.
//!
//! Errors of the libraries name a parameter, such as `chunk_samples`. [`report`] shows the flag: `--chunk-samples`.

use std::io::ErrorKind;

use tonic_base::{Error as BaseError, interrupt, printable, printable_lines, say};
use tonic_shard::Error as ShardError;

use crate::shared_advice::{Cause, shared_advice};
use crate::typed::Typed;

/// Exit code if all went well.
pub(crate) const DONE: u8 = 0;
/// Exit code if the operating system or the GPU reports an error, such as a missing file, a full disk or full GPU
/// memory.
pub(crate) const SYSTEM: u8 = 1;
/// Exit code for wrong arguments, or a request that cannot be carried out.
pub(crate) const USAGE: u8 = 2;
/// Exit code for a damaged, incomplete or incompatible set, run or model, and for sets that `diff` finds different.
pub(crate) const BAD_SET: u8 = 4;

/// Prints an error on stderr, with advice, and returns the exit code. For a closed output pipe (`| head`), prints
/// nothing and returns 0.
///
/// `code` and `advice` return the exit code and the advice for errors that only the calling program has. They return
/// `None` for errors that both programs have.
pub(crate) fn report(
    typed: &Typed,
    error: &anyhow::Error,
    code: impl Fn(&Cause) -> Option<u8>,
    advice: impl Fn(&Cause) -> Option<String>,
) -> u8 {
    if error.chain().any(is_broken_pipe) {
        return DONE;
    }
    say(&format!("{}: error: {}", typed.program, said(typed, error, advice)));
    self::code(error, code)
}

/// Returns the exit code for an error. `code` is a function of the calling program, as for [`report`].
pub(crate) fn code(error: &anyhow::Error, code: impl Fn(&Cause) -> Option<u8>) -> u8 {
    error.chain().find_map(|cause| code(cause).or_else(|| shared_code(cause))).unwrap_or(SYSTEM)
}

/// Returns the text of an error, followed by what to type next.
fn said(typed: &Typed, error: &anyhow::Error, advice: impl Fn(&Cause) -> Option<String>) -> String {
    let advice = error.chain().find_map(|cause| advice(cause).or_else(|| shared_advice(typed, cause)));
    let advice = advice.map_or(String::new(), |advice| format!("; {advice}"));
    format!("{}{}", printable(&text(typed, error)), printable_lines(&advice))
}

/// Returns the texts of an error and its causes in one line, without repeated texts.
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

fn is_broken_pipe(cause: &Cause) -> bool {
    cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// Checks of error texts, for the tests of both programs.
#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeSet;
    use std::ffi::OsString;

    use clap::Parser;

    use super::*;

    /// A test case: an error, words that its text must contain, and words that the advice must contain.
    pub(crate) struct Case {
        pub error: anyhow::Error,
        pub words: Vec<&'static str>,
        pub next: &'static str,
    }

    /// Makes a case. `next` is empty if the error needs no advice.
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

    /// Checks that each variant of the error enum `name` occurs in a case. `source` is the Rust source of the enum.
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
