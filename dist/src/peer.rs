//! Calls to storage nodes.
//!
//! It owns deadlines and keys of these calls; it must not know which node leads what.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use reqwest::{Method, StatusCode, header};
use service::access::Access;
use wire::content::ContentRow;
use wire::error::ErrorBody;
use wire::membership::NodesAnswer;
use wire::operation::Operation;
use wire::shard::ShardNews;
use wire::stats::NodeStats;
use wire::trace::TraceParent;
use wire::{ContentId, Lsn, ShardNo, routes};

/// A node that needs longer for its statistics is not used.
const STATS_TIME_MAX: Duration = Duration::from_secs(2);

/// News are old after that: the next heartbeat has them.
const NEWS_TIME_MAX: Duration = Duration::from_secs(1);

/// A change waits for a disk, and for its listing.
const CALL_TIME_MAX: Duration = Duration::from_secs(10);

/// What a node answers is small; more is not read.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Why there can be no calls.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NewError {
    /// The key cannot be sent.
    #[error("CLUSTER_KEY has characters that a header cannot carry")]
    Key,
    /// The system gives no randomness or no certificates.
    #[error(transparent)]
    Client(#[from] reqwest::Error),
}

/// Why a call brought no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// No connection: the node has not seen the call.
    #[error("no connection to {url}: {detail}")]
    Connect { url: String, detail: String },
    /// The connection was lost, or the answer came too late: the call may have been carried out.
    #[error("no answer from {url}: {detail}")]
    Lost { url: String, detail: String },
    /// The answer cannot be read.
    #[error("{url} answers with something unknown: {detail}")]
    Unreadable { url: String, detail: String },
}

/// A node's answer, to be passed on as it is.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) etag: Option<header::HeaderValue>,
    pub(crate) body: Bytes,
}

/// The names of the request that a call is made for: in logs, and in its own program's traces.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trail {
    pub(crate) request_id: String,
    pub(crate) trace: Option<TraceParent>,
    /// What tracing programs sent along with the trace.
    pub(crate) trace_state: Option<String>,
}

impl Trail {
    /// A call that no request caused.
    fn own(purpose: &str) -> Self {
        Trail {
            request_id: purpose.to_owned(),
            trace: None,
            trace_state: None,
        }
    }
}

/// What a change of one content is sent with.
pub(crate) struct Change {
    pub(crate) method: Method,
    pub(crate) url: String,
    pub(crate) if_match: Option<String>,
    pub(crate) trail: Trail,
    pub(crate) body: Option<Bytes>,
}

/// A request that is handed on with its body, or for the sake of its answer's.
pub(crate) struct Passed {
    pub(crate) method: Method,
    pub(crate) url: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) trail: Trail,
    pub(crate) body: Option<reqwest::Body>,
}

/// A client for calls to nodes.
pub(crate) struct Peer {
    client: reqwest::Client,
    cluster_key: Option<header::HeaderValue>,
    /// What clients send: without a cluster key, nodes take a distributor for one.
    access_key: Option<String>,
}

impl Peer {
    /// Makes the client.
    ///
    /// # Errors
    /// When the key cannot be a header, or the system gives no randomness or no certificates.
    pub(crate) fn new(access: &Access) -> Result<Self, NewError> {
        let cluster_key = access.cluster_key.as_deref().map(secret).transpose()?;
        // Another part of the process may have installed it already; then that one serves.
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        let client = reqwest::Client::builder()
            .connect_timeout(STATS_TIME_MAX)
            .tcp_nodelay(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Peer {
            client,
            cluster_key,
            access_key: access.access_key.clone(),
        })
    }

    /// A node's statistics, and how far its clock is ahead of ours, in seconds, if it tells.
    pub(crate) async fn stats(&self, base: &str) -> Result<(NodeStats, Option<f64>), CallError> {
        let url = format!("{base}{}", routes::STATS);
        let (asked, asked_at) = (Instant::now(), SystemTime::now());
        let request = self.request(Method::GET, &url, STATS_TIME_MAX, &Trail::own("stats"));
        let response = request.send().await.map_err(|error| name(&url, &error))?;
        let status = response.status();
        let date = response.headers().get(header::DATE);
        let date = date.and_then(|date| date.to_str().ok());
        let ahead_s = date.and_then(|date| ahead_s(date, asked_at, asked.elapsed()));
        let body = read(&url, response).await?;
        if status != StatusCode::OK {
            return Err(CallError::Unreadable {
                url,
                detail: status.to_string(),
            });
        }
        Ok((parse(&url, &body)?, ahead_s))
    }

    /// Tells a node of a newer shard record.
    pub(crate) async fn tell(&self, base: &str, news: &ShardNews) -> Result<(), CallError> {
        let url = routes::shard(base, news.record.shard);
        let request = self.request(Method::POST, &url, NEWS_TIME_MAX, &Trail::own("news"));
        let sent = request.json(news).send().await;
        let status = sent.map_err(|error| name(&url, &error))?.status();
        match status.is_success() {
            true => Ok(()),
            false => Err(CallError::Unreadable {
                url,
                detail: status.to_string(),
            }),
        }
    }

    /// Which cluster another distributor serves; none if it says so in no known way.
    pub(crate) async fn cluster(&self, base: &str) -> Result<NodesAnswer, CallError> {
        let url = format!("{base}{}", routes::NODES);
        let (_, body) = self
            .get(&url, STATS_TIME_MAX, &Trail::own("rebuild"))
            .await?;
        parse(&url, &body)
    }

    /// A content's metadata, from the node that leads its shard: the row, or the node's error.
    pub(crate) async fn info(
        &self,
        base: &str,
        id: ContentId,
        trail: &Trail,
    ) -> Result<Result<ContentRow, ErrorBody>, CallError> {
        let url = routes::info(base, id);
        let (status, body) = self.get(&url, CALL_TIME_MAX, trail).await?;
        if status == StatusCode::OK {
            parse(&url, &body).map(Ok)
        } else {
            parse(&url, &body).map(Err)
        }
    }

    /// A change, with the answer as it is.
    pub(crate) async fn change(&self, change: Change) -> Result<Answer, CallError> {
        let Change {
            method,
            url,
            if_match,
            trail,
            body,
        } = change;
        let mut request = self.request(method, &url, CALL_TIME_MAX, &trail);
        if let Some(if_match) = if_match {
            request = request.header(header::IF_MATCH, if_match);
        }
        if let Some(body) = body {
            request = request
                .header(header::CONTENT_TYPE, "application/json")
                .body(body);
        }
        let response = request.send().await.map_err(|error| name(&url, &error))?;
        let status = response.status();
        let etag = response.headers().get(header::ETAG).cloned();
        let body = read(&url, response).await?;
        Ok(Answer { status, etag, body })
    }

    /// Sends a request whose body or whose answer's body is as long as it is. What has no body has its
    /// answer's head by a deadline; an upload only a connection.
    pub(crate) async fn pass(&self, passed: Passed) -> Result<reqwest::Response, CallError> {
        let Passed {
            method,
            url,
            headers,
            trail,
            body,
        } = passed;
        let mut request = self.keyed(method, &url, &trail);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let Some(body) = body else {
            let sent = tokio::time::timeout(CALL_TIME_MAX, request.send()).await;
            let silent = |_| CallError::Lost {
                url: url.clone(),
                detail: "no answer in time".to_owned(),
            };
            return sent.map_err(silent)?.map_err(|error| name(&url, &error));
        };
        let sent = request.body(body).send().await;
        sent.map_err(|error| name(&url, &error))
    }

    /// What was committed in a shard after a position, from a node that holds it: so many
    /// operations at most.
    pub(crate) async fn log(
        &self,
        base: &str,
        (shard, after): (ShardNo, Lsn),
        limit: usize,
    ) -> Result<Vec<Operation>, CallError> {
        let url = format!(
            "{base}{}?shard={shard}&after={after}&limit={limit}",
            routes::LOG
        );
        let (status, body) = self.get(&url, STATS_TIME_MAX, &Trail::own("log")).await?;
        if status != StatusCode::OK {
            return Err(CallError::Unreadable {
                url,
                detail: status.to_string(),
            });
        }
        let lines = body.split(|byte| *byte == b'\n');
        lines
            .filter(|line| !line.is_empty())
            .map(|line| parse(&url, line))
            .collect()
    }

    async fn get(
        &self,
        url: &str,
        time_max: Duration,
        trail: &Trail,
    ) -> Result<(StatusCode, Bytes), CallError> {
        let request = self.request(Method::GET, url, time_max, trail);
        let response = request.send().await.map_err(|error| name(url, &error))?;
        let status = response.status();
        Ok((status, read(url, response).await?))
    }

    fn request(
        &self,
        method: Method,
        url: &str,
        time_max: Duration,
        trail: &Trail,
    ) -> reqwest::RequestBuilder {
        self.keyed(method, url, trail).timeout(time_max)
    }

    fn keyed(&self, method: Method, url: &str, trail: &Trail) -> reqwest::RequestBuilder {
        let mut request = self
            .client
            .request(method, url)
            .header(routes::REQUEST_ID_HEADER, &trail.request_id);
        if let Some(trace) = &trail.trace {
            request = request.header(routes::TRACE_HEADER, trace.to_string());
            if let Some(state) = &trail.trace_state {
                request = request.header(routes::TRACE_STATE_HEADER, state);
            }
        }
        if let Some(key) = &self.cluster_key {
            request = request.header(routes::CLUSTER_KEY_HEADER, key);
        }
        if let Some(key) = &self.access_key {
            request = request.bearer_auth(key);
        }
        request
    }
}

/// A key as a header that nobody prints.
fn secret(key: &str) -> Result<header::HeaderValue, NewError> {
    let mut value = header::HeaderValue::from_str(key).map_err(|_| NewError::Key)?;
    value.set_sensitive(true);
    Ok(value)
}

/// How far the clock that wrote this `Date` is ahead of ours, in seconds. It tells whole seconds,
/// half a second ago in the mean; the answer came half-way through the time that it took.
fn ahead_s(date: &str, asked_at: SystemTime, took: Duration) -> Option<f64> {
    let since_1970 = |time: SystemTime| time.duration_since(UNIX_EPOCH).ok();
    let its = since_1970(httpdate::parse_http_date(date).ok()?)?.as_secs_f64() + 0.5;
    let ours = since_1970(asked_at)?.as_secs_f64() + took.as_secs_f64() / 2.0;
    Some(its - ours)
}

async fn read(url: &str, mut response: reqwest::Response) -> Result<Bytes, CallError> {
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(|error| name(url, &error))? {
        if body.len() + part.len() > ANSWER_BYTES_MAX {
            let detail = format!("more than {ANSWER_BYTES_MAX} bytes");
            return Err(CallError::Unreadable {
                url: url.to_owned(),
                detail,
            });
        }
        body.extend_from_slice(&part);
    }
    Ok(body.into())
}

fn parse<T: serde::de::DeserializeOwned>(url: &str, body: &[u8]) -> Result<T, CallError> {
    serde_json::from_slice(body).map_err(|error| CallError::Unreadable {
        url: url.to_owned(),
        detail: error.to_string(),
    })
}

fn name(url: &str, error: &reqwest::Error) -> CallError {
    // The innermost cause is the system's own word, such as "connection refused".
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let (url, detail) = (url.to_owned(), cause.to_string());
    if error.is_connect() {
        CallError::Connect { url, detail }
    } else {
        CallError::Lost { url, detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a node whose clock is wrong is not seen before it refuses fresh ids.
    #[test]
    fn a_clock_is_read_from_an_answer() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        let same = UNIX_EPOCH + Duration::from_millis(784_111_777_000);
        let ahead = |asked_at| ahead_s(date, asked_at, Duration::from_millis(200));
        assert!(ahead(same).is_some_and(|ahead| (ahead - 0.4).abs() < 1e-6));
        let late = same + Duration::from_secs(90);
        assert!(ahead(late).is_some_and(|ahead| (ahead + 89.6).abs() < 1e-6));
        assert_eq!(ahead_s("yesterday", same, Duration::ZERO), None);
    }

    // If this fails, whatever prints a call prints the keys of the cluster.
    #[test]
    fn keys_of_a_call_are_marked_as_such() {
        let access = Access {
            cluster_key: Some("c".to_owned()),
            access_key: Some("k".to_owned()),
            ..Access::default()
        };
        let peer = Peer::new(&access).expect("a client");
        let call = peer.keyed(Method::GET, "http://node1/stats", &Trail::own("stats"));
        let call = call.build().expect("a call");
        for name in [routes::CLUSTER_KEY_HEADER, header::AUTHORIZATION.as_str()] {
            assert!(call.headers()[name].is_sensitive(), "{name}");
        }
    }
}
