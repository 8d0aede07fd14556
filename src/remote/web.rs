//! The HTTP client for all servers. It does two things that the object stores' own clients do not: it sends the user,
//! the password and the query of a URL, and it waits as long as a busy server asks for in `Retry-After`.

use std::io::{Error as IoError, ErrorKind};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use url::Url;

use crate::text::hide;

/// Sends requests to servers. With each request, sends the user, the password and the query of the URL, if the URL has
/// them. `timeout` is the longest time to wait for a busy server.
#[derive(Clone, Debug)]
pub(crate) struct Web {
    /// The header with the user and the password.
    authorization: Option<HeaderValue>,
    /// The query, such as the signature of a shared folder.
    query: Option<String>,
    timeout: Duration,
}

impl Web {
    pub(crate) fn new(url: &Url, timeout: Duration) -> Web {
        let is_web = ["http", "https"].contains(&url.scheme());
        let has_user = is_web && (!url.username().is_empty() || url.password().is_some());
        // reqwest makes the header from the URL.
        let request = has_user.then(|| reqwest::Client::new().get(url.clone()).build().ok()).flatten();
        let authorization = request.and_then(|request| request.headers().get(AUTHORIZATION).cloned());
        let words = authorization.iter().flat_map(|value| value.to_str().into_iter().flat_map(|text| text.split(' ')));
        words.for_each(hide);
        let query = url.query().filter(|query| is_web && !query.is_empty()).map(String::from);
        Web { authorization, query, timeout }
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
    /// Sends a request. If the server is busy and says how long to wait, waits that long before it returns the answer.
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
            let response = self.client.execute(request).await?;
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
            Ok(response)
        })
    }
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
