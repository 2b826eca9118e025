//! Calls to any distributor: the one that answered last, then the others.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Serialize;
use serde::de::DeserializeOwned;
use service::current::Current;
use wire::{Code, ErrorBody, routes};

/// How long a connection to a distributor may take; another one is tried after it.
const CONNECT_TIME_MAX: Duration = Duration::from_millis(500);

/// The distributors that a node knows.
pub struct Distributors {
    urls: Current<Vec<String>>,
    current: AtomicUsize,
    /// How long an answer may take, in milliseconds.
    deadline_ms: AtomicU64,
    client: reqwest::Client,
}

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum NewError {
    /// The key has characters that no header can carry.
    #[error("CLUSTER_KEY has characters that a header cannot carry")]
    Key,
    /// The client's own parts.
    #[error("cannot make an HTTP client")]
    Client(#[from] reqwest::Error),
}

/// The headers by which a member of the cluster is known to the others: its key, if there is one.
///
/// # Errors
/// When the key cannot be a header.
pub(crate) fn key_headers(cluster_key: Option<&str>) -> Result<HeaderMap, NewError> {
    let mut headers = HeaderMap::new();
    if let Some(key) = cluster_key {
        let mut value = HeaderValue::from_str(key).map_err(|_| NewError::Key)?;
        value.set_sensitive(true);
        headers.insert(routes::CLUSTER_KEY_HEADER, value);
    }
    Ok(headers)
}

/// Why no distributor did what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// None is configured.
    #[error("no distributor is configured")]
    None,
    /// None could be reached in time, or its answer broke off.
    #[error("{url} does not answer")]
    Unreachable {
        /// The last that was tried.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// It refused.
    #[error("{url} answers {status}: {message}")]
    Refused {
        /// Which.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The code in the error's body, if there was one.
        code: Option<Code>,
        /// What it said.
        message: String,
    },
    /// Its answer is not of the form that was agreed.
    #[error("{url} answers something else than was agreed")]
    Form {
        /// Which.
        url: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The request cannot be written as JSON.
    #[error("a request cannot be written")]
    Request(#[source] serde_json::Error),
}

impl Distributors {
    /// A client for `urls` that waits `deadline` for each answer.
    ///
    /// # Errors
    /// When the key cannot be a header, or the client cannot be made.
    pub fn new(
        urls: Current<Vec<String>>,
        cluster_key: Option<&str>,
        deadline: Duration,
    ) -> Result<Self, NewError> {
        let mut headers = key_headers(cluster_key)?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if rustls::crypto::ring::default_provider()
            .install_default()
            .is_err()
        {
            tracing::trace!("a provider of cryptography is installed already");
        }
        let client = reqwest::Client::builder()
            .default_headers(headers)
            .connect_timeout(CONNECT_TIME_MAX)
            .tcp_nodelay(true)
            .no_proxy()
            .build()?;
        let distributors = Distributors {
            urls,
            current: AtomicUsize::new(0),
            deadline_ms: AtomicU64::new(0),
            client,
        };
        distributors.set_deadline(deadline);
        Ok(distributors)
    }

    /// How long each answer is waited for from now on.
    pub fn set_deadline(&self, deadline: Duration) {
        let millis = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        self.deadline_ms.store(millis, Ordering::Relaxed);
    }

    /// Posts `body` to the path that `route` makes of a base URI, at the distributor that answered
    /// last; if that one cannot be reached or is in trouble, at each of the others once.
    ///
    /// # Errors
    /// The last distributor's failure, or what one refused.
    pub async fn post<Q: Serialize, A: DeserializeOwned>(
        &self,
        route: impl Fn(&str) -> String,
        body: &Q,
    ) -> Result<A, CallError> {
        let body = serde_json::to_vec(body).map_err(CallError::Request)?;
        self.call(route, Some(body.into())).await
    }

    /// Posts `body` to every distributor, whatever each answers.
    ///
    /// # Errors
    /// When the body cannot be written.
    pub async fn post_to_all<Q: Serialize>(
        &self,
        route: impl Fn(&str) -> String,
        body: &Q,
    ) -> Result<(), CallError> {
        let body = bytes::Bytes::from(serde_json::to_vec(body).map_err(CallError::Request)?);
        let urls: Vec<String> = self.urls.get().iter().map(|url| route(url)).collect();
        let posts = urls.iter().map(|url| async {
            let posted = self.call_at::<serde_json::Value>(url, Some(body.clone()));
            if let Err(error) = posted.await {
                tracing::debug!(%error, "one distributor is not told");
            }
        });
        futures_util::future::join_all(posts).await;
        Ok(())
    }

    /// Gets what is at the path that `route` makes of a base URI, as [`Distributors::post`] posts.
    ///
    /// # Errors
    /// The last distributor's failure, or what one refused.
    pub async fn get<A: DeserializeOwned>(
        &self,
        route: impl Fn(&str) -> String,
    ) -> Result<A, CallError> {
        self.call(route, None).await
    }

    async fn call<A: DeserializeOwned>(
        &self,
        route: impl Fn(&str) -> String,
        body: Option<bytes::Bytes>,
    ) -> Result<A, CallError> {
        let mut failure = CallError::None;
        let urls = self.urls.get();
        for _ in 0..urls.len() {
            let turn = self.current.load(Ordering::Relaxed);
            let url = route(&urls[turn % urls.len()]);
            match self.call_at(&url, body.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    let elsewhere = error.may_go_better_elsewhere();
                    failure = error;
                    if !elsewhere {
                        break;
                    }
                    self.current.store(turn.wrapping_add(1), Ordering::Relaxed);
                }
            }
        }
        Err(failure)
    }

    async fn call_at<A: DeserializeOwned>(
        &self,
        url: &str,
        body: Option<bytes::Bytes>,
    ) -> Result<A, CallError> {
        let unreachable = |source| CallError::Unreachable {
            url: url.to_owned(),
            source,
        };
        let request = match body {
            Some(body) => self.client.post(url).body(body),
            None => self.client.get(url),
        };
        let deadline = Duration::from_millis(self.deadline_ms.load(Ordering::Relaxed));
        let sent = request.timeout(deadline).send();
        let response = sent.await.map_err(unreachable)?;
        let status = response.status();
        let bytes = response.bytes().await.map_err(unreachable)?;
        if status.is_success() {
            return serde_json::from_slice(&bytes).map_err(|source| CallError::Form {
                url: url.to_owned(),
                source,
            });
        }
        let said: Option<ErrorBody> = serde_json::from_slice(&bytes).ok();
        Err(CallError::Refused {
            url: url.to_owned(),
            status: status.as_u16(),
            code: said.as_ref().map(|said| said.code),
            message: said.map_or_else(|| "no reason given".to_owned(), |said| said.message),
        })
    }
}

impl CallError {
    /// The code that a distributor refused with.
    pub fn code(&self) -> Option<Code> {
        match self {
            CallError::Refused { code, .. } => *code,
            CallError::None
            | CallError::Unreachable { .. }
            | CallError::Form { .. }
            | CallError::Request(_) => None,
        }
    }

    fn may_go_better_elsewhere(&self) -> bool {
        match self {
            CallError::Unreachable { .. } | CallError::Form { .. } => true,
            CallError::Refused { status, .. } => *status >= 500,
            CallError::None | CallError::Request(_) => false,
        }
    }
}
