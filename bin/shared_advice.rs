//! What to type next after an error of the crates base, shard and report. Both programs can have these errors.

use std::borrow::Cow;
use std::error::Error;
use std::io::ErrorKind;
use std::path::Path;

use tonic_base::{Error as BaseError, printable};
use tonic_report::Error as ReportError;
use tonic_shard::{Error as ShardError, MANIFEST_FILE, MARKER, is_url};

use crate::quoted::{quoted, quoted_path};
use crate::typed::Typed;

/// An error, or one of its causes.
pub(crate) type Cause = dyn Error + 'static;

/// Returns what to type next after an error of the crates base, shard and report. `None` if there is no advice.
pub(crate) fn shared_advice(typed: &Typed, cause: &Cause) -> Option<String> {
    mismatch_advice(typed, cause).or_else(|| repair_advice(typed, cause).map(Cow::into_owned))
}

fn repair_advice(typed: &Typed, cause: &Cause) -> Option<Cow<'static, str>> {
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

/// Returns what to type next for [`ShardError::Mismatch`]. `None` for other errors.
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
                "tonic-prep pull --lock {file} DIR fetches the sets of the file; tonic-prep lock {file} {set} adds \
                 this one"
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

/// Returns the classes in the list `others` that are not in the list `classes`.
fn lacking<'a>(classes: &str, others: &'a str) -> Vec<&'a str> {
    others.split(", ").filter(|other| classes.split(", ").all(|class| class != *other)).collect()
}

/// Whether the file is the manifest of a set, or the marker of an unfinished set.
fn describes_a_set(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == MARKER || name == MANIFEST_FILE)
}
