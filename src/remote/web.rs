//! The HTTP client for all servers. Unlike the object stores' own clients, it sends the user, the password and the
//! query of a URL, obeys `Retry-After`, and refuses answers that are not the bytes that were asked for.

use std::io::{Error as IoError, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use reqwest::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    HeaderMap, HeaderName, HeaderValue, RANGE, RETRY_AFTER,
};
use reqwest::{Method, StatusCode};
use url::Url;

use crate::text::hide;

/// Maximum number of bytes to read from the body of an answer that is not a file, such as an error message.
const MOST: usize = 64 << 10;

/// Sends requests to servers, each with the user, the password and the query of the URL. `timeout` is the longest time
/// to wait for a busy server.
#[derive(Clone, Debug)]
pub(crate) struct Web {
    /// The header with the user and the password.
    authorization: Option<HeaderValue>,
    /// The query, such as the signature of a shared folder.
    query: Option<String>,
    timeout: Duration,
    /// Set when an answer says, in `Accept-Ranges`, that the server can send a range of a file.
    sends_ranges: Arc<AtomicBool>,
}

impl Web {
    pub(crate) fn new(url: &Url, timeout: Duration, sends_ranges: Arc<AtomicBool>) -> Web {
        let is_web = ["http", "https"].contains(&url.scheme());
        let has_user = is_web && (!url.username().is_empty() || url.password().is_some());
        // reqwest makes the header from the URL.
        let request = has_user.then(|| reqwest::Client::new().get(url.clone()).build().ok()).flatten();
        let authorization = request.and_then(|request| request.headers().get(AUTHORIZATION).cloned());
        let words = authorization.iter().flat_map(|value| value.to_str().into_iter().flat_map(|text| text.split(' ')));
        words.for_each(hide);
        let query = url.query().filter(|query| is_web && !query.is_empty()).map(String::from);
        Web { authorization, query, timeout, sends_ranges }
    }
}

impl HttpConnector for Web {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Client { client, web: self.clone() }))
    }
}

#[derive(Debug)]
struct Client {
    client: HttpClient,
    web: Web,
}

impl HttpService for Client {
    /// Sends a request. If the server is busy and says how long to wait, waits that long and then returns the answer.
    /// The caller then sends the request again.
    fn call<'a, 'async_trait>(
        &'a self,
        mut request: HttpRequest,
    ) -> BoxFuture<'async_trait, Result<HttpResponse, HttpError>>
    where
        'a: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            if let Some(value) = &self.web.authorization {
                request.headers_mut().insert(AUTHORIZATION, value.clone());
            }
            if let Some(query) = &self.web.query
                && let Ok(uri) = format!("{}?{query}", request.uri()).parse()
            {
                *request.uri_mut() = uri;
            }
            let is_get = *request.method() == Method::GET;
            if is_get {
                request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            }
            let range = request.headers().get(RANGE).cloned();
            let mut response = self.client.execute(request).await?;
            if is_get && response.status().is_success() {
                let status = response.status();
                if response.headers().get(ACCEPT_RANGES).is_some_and(|unit| unit == "bytes") {
                    self.web.sends_ranges.store(true, Ordering::Relaxed);
                }
                return match check(status, response.headers_mut(), range.as_ref().and_then(|range| range.to_str().ok()))
                {
                    Ok(()) => Ok(response),
                    Err((kind, text)) => Err(HttpError::new(HttpErrorKind::Unknown, IoError::new(kind, text))),
                };
            }
            if [429, 500, 502, 503, 504].contains(&response.status().as_u16())
                && let Some(pause) = retry_after(response.headers(), Utc::now())
            {
                let (status, seconds, timeout) = (response.status(), pause.as_secs(), self.web.timeout.as_secs());
                if pause > self.web.timeout {
                    let text = format!(
                        "the server answered {status}: it is to be asked again in {seconds} s, and `timeout` is {timeout} s"
                    );
                    return Err(HttpError::new(HttpErrorKind::Unknown, IoError::new(ErrorKind::ResourceBusy, text)));
                }
                tokio::time::sleep(pause).await;
            }
            Ok(self.shortened(response).await)
        })
    }
}

impl Client {
    /// Cuts the body of an answer to its first [`MOST`] bytes.
    async fn shortened(&self, response: HttpResponse) -> HttpResponse {
        let (parts, body) = response.into_parts();
        let (mut pieces, mut start) = (body.bytes_stream(), Vec::new());
        let read = async {
            while start.len() < MOST
                && let Some(Ok(piece)) = pieces.next().await
            {
                start.extend_from_slice(&piece[..piece.len().min(MOST - start.len())]);
            }
        };
        // The status says enough if the text does not arrive.
        let _ = tokio::time::timeout(self.web.timeout, read).await;
        HttpResponse::from_parts(parts, start.into())
    }
}

/// Checks that the answer to a GET request has the whole file, or the requested range of it. Otherwise, returns the
/// kind and the text of an error. Adds the header `Content-Length` if it is missing, because object_store needs it.
fn check(status: StatusCode, headers: &mut HeaderMap, range: Option<&str>) -> Result<(), (ErrorKind, String)> {
    let text =
        |name: HeaderName| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).to_lowercase());
    let wrong = |text: String| Err((ErrorKind::InvalidInput, text));
    if text(CONTENT_TYPE).is_some_and(|kind| kind.starts_with("text/html")) {
        let text = "expected the file, got an HTML page, such as one to log in";
        return Err((ErrorKind::PermissionDenied, text.into()));
    }
    let encoding = text(CONTENT_ENCODING).unwrap_or_default();
    let changes = |coding: &str| ["gzip", "x-gzip", "deflate", "compress", "br", "zstd"].contains(&coding.trim());
    if encoding.split(',').any(changes) {
        return wrong(format!(
            "expected the bytes of the file, got Content-Encoding {encoding:?}; turn off compression on the server"
        ));
    }
    let mut length = None;
    match (status, range) {
        (StatusCode::OK, _) => {}
        (StatusCode::PARTIAL_CONTENT, Some(asked)) => {
            let got = text(CONTENT_RANGE).unwrap_or_default();
            length = length_of(asked, &got);
            if length.is_none() {
                return wrong(format!("expected the range {asked}, got Content-Range {got:?}"));
            }
        }
        _ => return wrong(format!("expected the file, got the status {status}")),
    }
    if !headers.contains_key(CONTENT_LENGTH) {
        headers.insert(CONTENT_LENGTH, length.unwrap_or(u64::MAX).into());
        // If the body of an answer with an ETag breaks off, object_store requests the rest up to Content-Length. Here
        // this header can be u64::MAX, so the ETag is removed.
        headers.remove(ETAG);
    }
    Ok(())
}

/// Returns the number of bytes in the answer to a request for a range. `asked` is the header `Range` of the request.
/// `got` is the header `Content-Range` of the answer. `None` if `got` is another range. If the range reaches beyond the
/// end of the file, `got` must end there.
fn length_of(asked: &str, got: &str) -> Option<u64> {
    let bounds = |text: &str| {
        let (start, end) = text.split_once('-')?;
        Some((start.parse::<u64>().ok()?, end.parse::<u64>().ok()?))
    };
    let (start, end) = bounds(asked.strip_prefix("bytes=")?)?;
    let (got, size) = got.trim().strip_prefix("bytes ")?.split_once('/')?;
    let last = size.parse::<u64>().ok()?.checked_sub(1)?;
    (bounds(got)? == (start, end.min(last)) && start <= last).then(|| end.min(last) - start + 1)
}

/// Returns how long a server asks to wait: `Retry-After` has a number of seconds or a date.
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            let date = DateTime::parse_from_rfc2822(text).ok()?;
            Some(date.signed_duration_since(now).to_std().unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_asked_for() {
        for (got, length) in [
            ("bytes 10-19/100", Some(10)),
            ("bytes 10-14/15", Some(5)),
            ("bytes 10-14/100", None),
            ("bytes 11-20/100", None),
            ("bytes 10-19/15", None),
            ("bytes 10-19/10", None),
            ("bytes 10-19/*", None),
            ("bytes 10-18446744073709551615/18446744073709551615", None),
            ("bytes */100", None),
            ("bytes 10-19/0", None),
            ("", None),
        ] {
            assert_eq!(length_of("bytes=10-19", got), length, "{got}");
        }
        assert_eq!(length_of("bytes=0-18446744073709551615", "bytes 0-4/5"), Some(5));
    }

    #[test]
    fn pauses_are_seconds_or_dates() {
        let now = DateTime::parse_from_rfc2822("Sun, 06 Nov 1994 08:49:37 GMT").unwrap().to_utc();
        for (text, pause) in [
            ("7", Some(7)),
            ("Sun, 06 Nov 1994 08:50:07 GMT", Some(30)),
            ("Sun, 06 Nov 1994 08:49:30 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            assert_eq!(retry_after(&headers, now), pause.map(Duration::from_secs), "{text}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
