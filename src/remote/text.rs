//! Removes credentials from URLs and from errors of servers, so that messages can show them.

use std::error::Error;
use std::io::ErrorKind;
use std::sync::{LazyLock, Mutex, PoisonError};

use url::form_urlencoded::parse;

/// Text for the error message of an interrupted transfer. It says what stays on disk.
pub const KEPT: &str = "what has arrived is kept";
/// Beginning of object_store's error text if the server has answered with an error status.
const ANSWERED: &str = "Server returned non-2xx status code: ";
/// A message shows at most this many characters of a server's error.
const MOST: usize = 300;

/// The secrets that this process knows.
static SECRETS: LazyLock<Mutex<Vec<String>>> = LazyLock::new(|| {
    let is_secret = |name: &str| {
        (name.starts_with("AWS_") || name.starts_with("AZURE_"))
            && ["KEY", "SECRET", "TOKEN", "PASSWORD", "SAS"].iter().any(|word| name.contains(word))
    };
    let variables = std::env::vars().filter(|(name, _)| is_secret(name));
    Mutex::new(variables.flat_map(|(_, value)| forms(&value)).collect())
});

/// Returns the texts to hide for a secret: the secret itself and, if the secret is the query of a URL, the values in
/// this query, encoded and decoded. Leaves out texts of fewer than 6 bytes, because they also occur in ordinary words.
fn forms(secret: &str) -> Vec<String> {
    let query = secret.trim_start_matches('?');
    let values = query.split('&').filter_map(|pair| Some(pair.split_once('=')?.1.to_string()));
    let decoded = parse(query.as_bytes()).map(|(_, value)| value.into_owned());
    let all = values.chain(decoded).chain([query.to_string()]);
    all.map(|form| form.trim().to_string()).filter(|form| form.len() >= 6).collect()
}

/// Keeps a secret, such as the password of a URL, out of the texts that [`plain`] returns.
pub(crate) fn hide(secret: &str) {
    SECRETS.lock().unwrap_or_else(PoisonError::into_inner).extend(forms(secret));
}

/// Returns the text without known secrets, and without user, password, query and fragment of the URLs in it.
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
    let secrets = SECRETS.lock().unwrap_or_else(PoisonError::into_inner);
    secrets.iter().fold(out, |out, secret| out.replace(secret, "***"))
}

/// Returns why a request failed, in one line without credentials. This is the server's answer. If the server has not
/// answered, it is the innermost error.
pub(crate) fn reason(error: &dyn Error) -> String {
    let mut texts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(inner) = cause {
        texts.push(inner.to_string());
        cause = inner.source();
    }
    // The text of an outer error repeats the text of the inner error, after the number and the time of retries.
    let answered = texts.iter().rev().find_map(|text| text.strip_prefix(ANSWERED));
    let text = match answered {
        Some(answer) => answer_of_server(answer),
        None => texts.pop().unwrap_or_default(),
    };
    if text.contains("URL scheme is not allowed") {
        return "plain HTTP is off; AWS_ALLOW_HTTP=true, or AZURE_ALLOW_HTTP=true, turns it on".into();
    }
    let line: String = plain(&text).split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

/// Returns the HTTP status of an answer, with an object store's error code and message if there are any.
fn answer_of_server(answer: &str) -> String {
    let (status, page) = answer.split_once(": ").unwrap_or((answer, ""));
    let field = |name: &str| Some(page.split_once(&format!("<{name}>"))?.1.split_once('<')?.0);
    let fields = [field("Code"), field("Message")];
    fields.iter().flatten().fold(format!("the server answered {status}"), |text, field| format!("{text}: {field}"))
}

/// Returns whether an error says that the bucket or container doesn't exist.
pub(crate) fn lacks_bucket(error: &object_store::Error) -> bool {
    let text = reason(error);
    ["NoSuchBucket", "ContainerNotFound"].iter().any(|code| text.contains(code))
}

/// Returns the kind of I/O error that is nearest to an error of the object store.
pub(crate) fn kind(error: &object_store::Error) -> ErrorKind {
    use object_store::Error::{AlreadyExists, NotFound, PermissionDenied, Unauthenticated};
    match error {
        NotFound { .. } => ErrorKind::NotFound,
        PermissionDenied { .. } | Unauthenticated { .. } => ErrorKind::PermissionDenied,
        AlreadyExists { .. } => ErrorKind::AlreadyExists,
        _ => {
            let mut cause: Option<&dyn Error> = Some(error);
            while let Some(inner) = cause {
                // The server says that the request itself is wrong, so the same request would be refused again.
                let text = inner.to_string();
                let is_refused = text.strip_prefix(ANSWERED).is_some_and(|status| status.starts_with(['3', '4']));
                if is_refused && !["408", "412", "429"].iter().any(|status| text[ANSWERED.len()..].starts_with(status))
                {
                    return ErrorKind::InvalidInput;
                }
                if inner.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_redirect) {
                    return ErrorKind::InvalidInput;
                }
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
