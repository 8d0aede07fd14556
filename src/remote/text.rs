//! Texts of messages. Removes credentials from URLs and from errors of servers, so that messages can show them.

use std::error::Error;
use std::io::ErrorKind;

/// Text for the error message of an interrupted transfer: what stays.
pub(crate) const KEPT: &str = "what has arrived is kept";
/// Maximum number of characters of a server's error that a message shows.
const MOST: usize = 300;

/// Returns the text, with the user, password, query and fragment removed from every URL in it.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || "\"'<>()".contains(c)).unwrap_or(after.len());
        let url = &after[..end];
        let host_end = url.find(['/', '?', '#']).unwrap_or(url.len());
        let user = url[..host_end].rfind('@').map_or(0, |at| at + 1);
        let shown = &url[user..];
        out.push_str(&shown[..shown.find(['?', '#']).unwrap_or(shown.len())]);
        rest = &after[end..];
    }
    out.push_str(rest);
    out
}

/// Returns why a request failed, in one line without credentials. This is the answer of the server or, if there is
/// none, the innermost error, such as one of the connection.
pub(crate) fn reason(error: &dyn Error) -> String {
    let mut texts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(inner) = cause {
        texts.push(inner.to_string());
        cause = inner.source();
    }
    // The texts of outer errors repeat those of inner ones, with counts of retries and times before them.
    let answered = texts.iter().rev().find(|text| text.starts_with("Server returned")).cloned();
    let text = answered.unwrap_or_else(|| texts.pop().unwrap_or_default());
    if text.contains("URL scheme is not allowed") {
        return "plain HTTP is off; AWS_ALLOW_HTTP=true, or AZURE_ALLOW_HTTP=true, turns it on".into();
    }
    let line: String = plain(&text).split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

/// Converts an error of the object store to a kind of I/O error.
pub(crate) fn kind(error: &object_store::Error) -> ErrorKind {
    use object_store::Error::{AlreadyExists, NotFound, PermissionDenied, Unauthenticated};
    match error {
        NotFound { .. } => ErrorKind::NotFound,
        PermissionDenied { .. } | Unauthenticated { .. } => ErrorKind::PermissionDenied,
        AlreadyExists { .. } => ErrorKind::AlreadyExists,
        _ => {
            let mut cause: Option<&dyn Error> = Some(error);
            while let Some(inner) = cause {
                if let Some(io) = inner.downcast_ref::<std::io::Error>() {
                    return io.kind();
                }
                cause = inner.source();
            }
            ErrorKind::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_urls_are_left_out() {
        let text = "GET https://me:key@host/a?sig=x failed; see \"http://b/c#d\" and s3://k@bucket/x.";
        assert_eq!(plain(text), "GET https://host/a failed; see \"http://b/c\" and s3://bucket/x.");
    }
}
