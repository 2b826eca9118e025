//! Single services, each asked once: what is wrong with one is to be seen, not to be gone around.

use std::time::{Duration, SystemTime};

use reqwest::header::DATE;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use wire::content::{ContentPage, ContentRow};
use wire::membership::NodesAnswer;
use wire::operation::Operation;
use wire::placement::Place;
use wire::stats::NodeStats;
use wire::{ContentId, Lsn, ShardNo, routes};

use super::Client;
use super::error::RequestError;
use super::exchange::{foreign, lost, read_json, redirection, refused};

/// How long a service may take: much longer than one that is well needs.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// A header tells whole seconds: the middle of one is half a second from both its ends.
const HALF_SECOND_MS: i64 = 500;

/// How far a service's clock is ahead of this machine's, as far as one exchange tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// In milliseconds; negative when it is behind.
    pub ahead_ms: i64,
    /// How wrong that may be, in milliseconds.
    pub uncertain_ms: i64,
}

/// What a node says of a content, from its own log.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// It has it so.
    Row(Box<ContentRow>),
    /// It sends readers there.
    Elsewhere(String),
}

/// Why a service is not ready.
#[derive(Debug, thiserror::Error)]
pub enum ReadyError {
    /// It says so itself.
    #[error("is not ready: {0}")]
    Unready(String),
    /// It refuses, or nobody answers.
    #[error(transparent)]
    Request(#[from] RequestError),
}

/// What a node that is not ready says.
#[derive(Deserialize)]
struct Unready {
    reason: String,
}

/// The part of an interface's description that is asked for.
#[derive(Deserialize)]
struct Description {
    info: Info,
}

#[derive(Deserialize)]
struct Info {
    version: String,
}

impl Clock {
    /// What an exchange tells whose answer was dated `date`.
    pub fn between(sent: SystemTime, date: SystemTime, received: SystemTime) -> Self {
        let ms = |time: SystemTime| {
            let since = time.duration_since(SystemTime::UNIX_EPOCH);
            since.map_or(0, |since| {
                i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
            })
        };
        let travel_ms = (ms(received) - ms(sent)).max(0);
        Clock {
            ahead_ms: ms(date) + HALF_SECOND_MS - (ms(sent) + travel_ms / 2),
            uncertain_ms: HALF_SECOND_MS + travel_ms / 2,
        }
    }
}

impl Client {
    /// The same client, whose calls give up sooner, also on a service that takes them and then says
    /// nothing: for one who wants to know what is, now. Calls with several services to ask may take
    /// this long with each.
    #[must_use]
    pub fn with_patience(&self, patience: Duration) -> Client {
        Client {
            patience,
            answer_max: patience,
            ..self.clone()
        }
    }

    /// Whether an access key goes with its requests.
    pub fn has_key(&self) -> bool {
        self.authorization.is_some()
    }

    /// Whether the process at `base` answers, and its clock, where its answer is dated.
    ///
    /// # Errors
    /// When nobody answers there, or somebody else does.
    pub async fn clock(&self, base: &str) -> Result<Option<Clock>, RequestError> {
        let url = format!("{base}{}", routes::HEALTH_LIVE);
        let sent = SystemTime::now();
        let request = self.request(Method::GET, &url).timeout(self.probe_max());
        let response = self.send(request, &url).await?;
        let received = SystemTime::now();
        let date = response
            .headers()
            .get(DATE)
            .and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| httpdate::parse_http_date(date).ok());
        // Another program may answer as well; ours says so in JSON.
        read_json::<serde_json::Value>(response, &url).await?;
        Ok(date.map(|date| Clock::between(sent, date, received)))
    }

    /// Whether the service at `base` can serve.
    ///
    /// # Errors
    /// When it cannot, and says why, or nobody answers.
    pub async fn ready(&self, base: &str) -> Result<(), ReadyError> {
        let url = format!("{base}{}", routes::HEALTH_READY);
        let request = self.request(Method::GET, &url).timeout(self.probe_max());
        let response = request.send().await.map_err(|source| lost(source, &url))?;
        let status = response.status();
        let sent = response.bytes().await;
        let body = sent.map_err(|source| lost(source, &url))?;
        if status == StatusCode::SERVICE_UNAVAILABLE
            && let Ok(unready) = serde_json::from_slice::<Unready>(&body)
        {
            return Err(ReadyError::Unready(unready.reason));
        }
        if status.is_success() {
            return match serde_json::from_slice::<serde_json::Value>(&body) {
                Ok(_) => Ok(()),
                Err(error) => Err(foreign(&url, status.as_u16(), &body, Some(error)).into()),
            };
        }
        Err(refused(&url, status.as_u16(), &body, None).into())
    }

    /// The version of the service at `base`.
    ///
    /// # Errors
    /// When it does not tell, or nobody answers.
    pub async fn version_of(&self, base: &str) -> Result<String, RequestError> {
        let description: Description = self.ask(base, routes::OPENAPI, &[]).await?;
        Ok(description.info.version)
    }

    /// What the distributor at `base` says of the cluster.
    ///
    /// # Errors
    /// When it refuses, or nobody answers.
    pub async fn nodes_of(&self, base: &str) -> Result<NodesAnswer, RequestError> {
        self.ask(base, routes::NODES, &[]).await
    }

    /// One content of the catalog, asked of the distributor at `base`: whether it can be read.
    ///
    /// # Errors
    /// When it cannot, or nobody answers.
    pub async fn catalog_of(&self, base: &str) -> Result<ContentPage, RequestError> {
        let limit = [("limit", "1".to_owned())];
        self.ask(base, routes::CONTENT, &limit).await
    }

    /// What the node at `base` says of itself.
    ///
    /// # Errors
    /// When it refuses, or nobody answers.
    pub async fn stats_of(&self, base: &str) -> Result<NodeStats, RequestError> {
        self.ask(base, routes::STATS, &[]).await
    }

    /// What the node at `base` has of a content, from its log alone: its bytes are not read.
    ///
    /// # Errors
    /// When it has none, or nobody answers.
    pub async fn told_of(&self, base: &str, id: ContentId) -> Result<Told, RequestError> {
        let url = routes::info(base, id);
        let request = self.request(Method::GET, &url).timeout(self.probe_max());
        let response = self.send(request, &url).await?;
        match redirection(&response) {
            Some(elsewhere) => Ok(Told::Elsewhere(elsewhere)),
            None => Ok(Told::Row(Box::new(read_json(response, &url).await?))),
        }
    }

    /// The operation at this place of a shard's log, as the node at `base` has it; none if there is no
    /// such operation any more.
    ///
    /// # Errors
    /// When it does not hold the shard, or nobody answers.
    pub async fn operation_at(
        &self,
        base: &str,
        shard: ShardNo,
        lsn: Lsn,
    ) -> Result<Option<Operation>, RequestError> {
        let url = format!("{base}{}", routes::LOG);
        let query = [
            ("shard", shard.to_string()),
            ("after", lsn.previous().to_string()),
            ("limit", "1".to_owned()),
        ];
        let request = self
            .request(Method::GET, &url)
            .query(&query)
            .timeout(self.probe_max());
        let response = self.send(request, &url).await?;
        let status = response.status().as_u16();
        let line = response
            .bytes()
            .await
            .map_err(|source| lost(source, &url))?;
        if line.is_empty() {
            return Ok(None);
        }
        let operation: Operation = serde_json::from_slice(&line)
            .map_err(|error| foreign(&url, status, &line, Some(error)))?;
        Ok(Some(operation).filter(|operation| operation.lsn == lsn))
    }

    /// Where an upload of `size` bytes would go now, and why.
    ///
    /// # Errors
    /// When it could go nowhere, or no distributor answers.
    pub async fn placement(&self, base: &str, size: u64) -> Result<Place, RequestError> {
        let query = [("size", size.to_string()), ("explain", "true".to_owned())];
        self.ask(base, routes::STORE, &query).await
    }

    /// How long one service may take.
    fn probe_max(&self) -> Duration {
        self.answer_max.min(ANSWER_MAX)
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        base: &str,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, RequestError> {
        let url = format!("{base}{path}");
        let request = self
            .request(Method::GET, &url)
            .query(query)
            .timeout(self.probe_max());
        read_json(self.send(request, &url).await?, &url).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, `client doctor` blames a clock that is right, or trusts one that is wrong.
    #[test]
    fn a_clock_is_compared_with_the_middle_of_the_exchange() {
        let at = |ms: u64| SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
        let clock = |sent, date, received| Clock::between(at(sent), at(date), at(received));
        let right = clock(10_400, 10_000, 10_600);
        assert_eq!((right.ahead_ms, right.uncertain_ms), (0, 600));
        let behind = clock(100_000, 40_000, 100_000);
        assert_eq!((behind.ahead_ms, behind.uncertain_ms), (-59_500, 500));
        // This machine's clock was set back meanwhile.
        assert_eq!(clock(20_000, 20_000, 10_000).uncertain_ms, 500);
    }
}
