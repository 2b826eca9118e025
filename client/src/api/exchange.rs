//! One HTTP exchange, and the repetition of harmless ones.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, LOCATION, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use wire::ErrorBody;

use super::error::RequestError;
use super::retry::{Attempts, Remedy};
use super::{Client, SMALL_EXCHANGE_MAX};

/// Redirects that one read follows: to the leader, and once more if it just changed.
const HOPS_MAX: usize = 4;

/// A distributor that has not answered for so long hangs, as far as those are concerned who know another one.
const HANGS_AFTER: Duration = Duration::from_secs(2);

/// What is read of an answer that is no JSON of ours, to show it.
const DETAIL_CHARS_MAX: usize = 200;

impl Client {
    /// A request with the access key.
    pub(super) fn request(&self, method: Method, url: &str) -> RequestBuilder {
        let request = self.http.request(method, url);
        match &self.authorization {
            Some(value) => request.header(AUTHORIZATION, value.clone()),
            None => request,
        }
    }

    /// The attempts of a call that begins now.
    pub(super) fn attempts(&self) -> Attempts<'_> {
        Attempts::new(&self.budget, self.patience)
    }

    /// Sends a request; an error answer becomes [`RequestError::Refused`].
    pub(super) async fn send(
        &self,
        request: RequestBuilder,
        url: &str,
    ) -> Result<Response, RequestError> {
        match request.send().await {
            Ok(response) if is_accepted(&response) => {
                self.budget.refund();
                Ok(response)
            }
            Ok(response) => Err(refusal(response, url).await),
            Err(source) => Err(lost(source, url)),
        }
    }

    /// Sends a read, following redirects with the access key.
    pub(super) async fn send_read(
        &self,
        url: &str,
        prepare: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, RequestError> {
        let mut at = url.to_owned();
        for _ in 0..HOPS_MAX {
            let response = self
                .send(prepare(self.request(Method::GET, &at)), &at)
                .await?;
            match redirection(&response) {
                Some(next) => at = next,
                None => return Ok(response),
            }
        }
        Err(RequestError::Foreign {
            url: url.to_owned(),
            status: 307,
            detail: format!("more than {HOPS_MAX} redirects"),
        })
    }

    /// Gets a distributor's JSON answer, asking again while that can help.
    pub(super) async fn get_json<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, RequestError> {
        self.retrying(|base| async move {
            let url = format!("{base}{path}");
            let prepare = |request: RequestBuilder| request.query(query).timeout(self.answer_max);
            read_json(self.send_read(&url, prepare).await?, &url).await
        })
        .await
    }

    /// Repeats what is asked of a distributor, given its base URI, and is safe to repeat, while that
    /// can help. Where there are several, each that is away, hangs, or cannot do it, is followed by the next
    /// at once; the last of them has all the time that the operation gives it.
    pub(super) async fn retrying<T, F>(
        &self,
        operation: impl Fn(String) -> F,
    ) -> Result<T, RequestError>
    where
        F: Future<Output = Result<T, RequestError>>,
    {
        let mut attempts = self.attempts();
        let mut left = 0;
        loop {
            let (turn, base) = self.endpoints.current();
            let asked = operation(base.to_string());
            let answer = match left + 1 < self.endpoints.count() {
                true => unless_it_hangs(asked, base.as_str()).await,
                false => asked.await,
            };
            let error = match answer {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            if error.is_of_one_distributor() {
                left += 1;
                self.endpoints.leave(turn);
                if left < self.endpoints.count() {
                    continue;
                }
            }
            left = 0;
            if error.remedy() == Remedy::GiveUp || !attempts.again(&error).await {
                return Err(error);
            }
        }
    }
}

async fn unless_it_hangs<T>(
    asked: impl Future<Output = Result<T, RequestError>>,
    url: &str,
) -> Result<T, RequestError> {
    let answer = tokio::time::timeout(HANGS_AFTER, asked).await;
    answer.unwrap_or_else(|_| {
        Err(RequestError::Stalled {
            url: url.to_owned(),
            after: HANGS_AFTER,
        })
    })
}

/// Reads a whole JSON answer.
pub(super) async fn read_json<T: DeserializeOwned>(
    response: Response,
    url: &str,
) -> Result<T, RequestError> {
    let status = response.status().as_u16();
    let bytes = response.bytes().await.map_err(|source| lost(source, url))?;
    serde_json::from_slice(&bytes).map_err(|error| foreign(url, status, &bytes, Some(error)))
}

/// Where an answer redirects to, as this service does it: with 307. What else redirects is another
/// program, a sign-on page for instance, and outside of TLS everybody reads the access key.
pub(super) fn redirection(response: &Response) -> Option<String> {
    if response.status() != StatusCode::TEMPORARY_REDIRECT {
        return None;
    }
    let from = response.url();
    let to = from.join(location(response)?).ok()?;
    let leaves_tls = from.scheme() == "https" && to.scheme() != "https";
    (!leaves_tls).then(|| to.into())
}

fn location(response: &Response) -> Option<&str> {
    response.headers().get(LOCATION)?.to_str().ok()
}

/// An error of the HTTP library, told apart by whether anything was sent.
pub(super) fn lost(source: reqwest::Error, url: &str) -> RequestError {
    let url = url.to_owned();
    if source.is_connect() || source.is_builder() {
        RequestError::Unreachable { url, source }
    } else {
        RequestError::Lost { url, source }
    }
}

fn is_accepted(response: &Response) -> bool {
    response.status().is_success() || redirection(response).is_some()
}

async fn refusal(response: Response, url: &str) -> RequestError {
    let status = response.status().as_u16();
    if response.status().is_redirection()
        && let Some(to) = location(&response)
    {
        let to = format!("a redirect to {to}");
        return foreign(url, status, to.as_bytes(), None);
    }
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse().ok())
        .map(Duration::from_secs);
    let bytes = match tokio::time::timeout(SMALL_EXCHANGE_MAX, response.bytes()).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(source)) => return lost(source, url),
        Err(_) => {
            return RequestError::Stalled {
                url: url.to_owned(),
                after: SMALL_EXCHANGE_MAX,
            };
        }
    };
    refused(url, status, &bytes, retry_after)
}

/// An error answer whose body was read.
pub(super) fn refused(
    url: &str,
    status: u16,
    body: &[u8],
    retry_after: Option<Duration>,
) -> RequestError {
    match serde_json::from_slice::<ErrorBody>(body) {
        Ok(error) => RequestError::Refused {
            url: url.to_owned(),
            body: Box::new(error),
            retry_after,
        },
        Err(_) => foreign(url, status, body, None),
    }
}

pub(super) fn foreign(
    url: &str,
    status: u16,
    body: &[u8],
    error: Option<serde_json::Error>,
) -> RequestError {
    let text = String::from_utf8_lossy(body);
    let shown: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(DETAIL_CHARS_MAX)
        .collect();
    let detail = match (error, shown.trim()) {
        (_, "") => "an empty body".to_owned(),
        (Some(error), shown) => format!("{error} in `{shown}`"),
        (None, shown) => format!("`{shown}`"),
    };
    RequestError::Foreign {
        url: url.to_owned(),
        status,
        detail,
    }
}
