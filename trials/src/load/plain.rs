//! A user of a plain HTTP client, as curl is: a connection for each request, no retries but those
//! that an answer asks for (307 with `Location`, 421 with `leader`, 503 with `Retry-After`), and the
//! next distributor of its list where one cannot be reached.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use reqwest::header::RETRY_AFTER;
use reqwest::{Method, Response, StatusCode};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};
use wire::content::{ContentItem, Receipt};
use wire::placement::Place;
use wire::{ContentId, ErrorBody, routes};

use super::GoOn;
use super::tally::{Tally, whole};

/// Answers that ask for another attempt, for one request.
const ASKED_MAX: u32 = 20;

/// Contents that a user keeps.
const KEPT_MAX: usize = 50;

/// The user.
pub struct Plain {
    client: reqwest::Client,
    distributors: Vec<String>,
}

impl Plain {
    /// A user that knows these distributors.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(distributors: &[&str]) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(0)
            .timeout(Duration::from_secs(30))
            .build()?;
        let distributors = distributors.iter().map(|url| (*url).to_owned()).collect();
        Ok(Plain {
            client,
            distributors,
        })
    }

    /// Uploads, reads, updates and deletes, one after the other.
    pub async fn everything(self, seed: u64, tally: Arc<Tally>, go_on: GoOn) {
        let mut chance = StdRng::seed_from_u64(seed);
        let mut kept: Vec<ContentId> = Vec::new();
        while go_on.holds() {
            let one = chance.random_range(0..kept.len().max(1));
            let crowd = u32::from(kept.len() >= KEPT_MAX) * 80;
            let what = chance.random_range(0..100).max(crowd);
            let begun = Instant::now();
            match (what, kept.get(one).copied()) {
                (30..60, Some(id)) => {
                    tally.note("plain read", begun, self.read(id).await);
                }
                (60..80, Some(id)) => {
                    let bytes = bytes(&mut chance);
                    tally.note("plain update", begun, self.update(id, bytes).await);
                }
                (80.., Some(id)) => {
                    tally.note("plain delete", begun, self.delete(id).await);
                    kept.swap_remove(one);
                }
                _ => {
                    let stored = self.upload(bytes(&mut chance)).await;
                    kept.extend(tally.note("plain upload", begun, stored));
                }
            }
        }
    }

    async fn upload(&self, bytes: Vec<u8>) -> Result<ContentId, String> {
        let place: Place = self.ask(Method::GET, routes::STORE).await?;
        let url = format!("{}/{}", place.uri, place.id);
        let receipt: Receipt = json(self.send(Method::PUT, &url, &bytes).await?).await?;
        Ok(receipt.id)
    }

    async fn update(&self, id: ContentId, bytes: Vec<u8>) -> Result<(), String> {
        let item = self.item(id).await?;
        let url = routes::update(item.uri.trim_end_matches('/'), id);
        let _: Receipt = json(self.send(Method::PUT, &url, &bytes).await?).await?;
        Ok(())
    }

    async fn delete(&self, id: ContentId) -> Result<(), String> {
        let _: Receipt = self.ask(Method::DELETE, &routes::content("", id)).await?;
        Ok(())
    }

    async fn read(&self, id: ContentId) -> Result<(), String> {
        let item = self.item(id).await?;
        let answer = self.send(Method::GET, &item.url, &[]).await?;
        answer.bytes().await.map_err(|error| whole(&error))?;
        Ok(())
    }

    async fn item(&self, id: ContentId) -> Result<ContentItem, String> {
        self.ask(Method::GET, &routes::content("", id)).await
    }

    /// Asks the first distributor that can be reached.
    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str) -> Result<T, String> {
        let mut failure = "no distributor".to_owned();
        for base in &self.distributors {
            match self
                .send(method.clone(), &format!("{base}{path}"), &[])
                .await
            {
                Ok(answer) => return json(answer).await,
                Err(Failed { why, reached: true }) => return Err(why),
                Err(Failed { why, .. }) => failure = why,
            }
        }
        Err(failure)
    }

    /// Sends a request, again when the answer asks for it.
    async fn send(&self, method: Method, url: &str, bytes: &[u8]) -> Result<Response, Failed> {
        let mut at = url.to_owned();
        for _ in 0..ASKED_MAX {
            let request = self.client.request(method.clone(), &at);
            let request = match method {
                Method::PUT => request.body(bytes.to_vec()),
                _ => request,
            };
            let answer = request.send().await.map_err(|error| Failed {
                why: whole(&error),
                reached: !error.is_connect(),
            })?;
            if answer.status().is_success() {
                return Ok(answer);
            }
            let (status, url) = (answer.status(), answer.url().clone());
            let after = answer.headers().get(RETRY_AFTER).cloned();
            let said = answer.text().await;
            let said = said.map_err(|error| Failed::after_all(whole(&error)))?;
            let leader = serde_json::from_str::<ErrorBody>(&said).ok();
            let leader = leader.and_then(|body| body.leader);
            let after = after.and_then(|after| after.to_str().ok()?.parse().ok());
            match (status, leader, after) {
                (StatusCode::MISDIRECTED_REQUEST, Some(leader), _) => {
                    at = format!("{}{}", leader.trim_end_matches('/'), url.path());
                }
                (StatusCode::SERVICE_UNAVAILABLE, _, Some(seconds)) => {
                    sleep(Duration::from_secs(seconds)).await;
                }
                _ => {
                    let why = format!("{method} {url}: {status}: {said}");
                    return Err(Failed::after_all(why));
                }
            }
        }
        Err(Failed::after_all(format!(
            "{method} {url}: {ASKED_MAX} answers asked for another attempt"
        )))
    }
}

/// Why a request failed.
struct Failed {
    why: String,
    /// Whether somebody answered, or began to.
    reached: bool,
}

impl Failed {
    fn after_all(why: String) -> Self {
        Failed { why, reached: true }
    }
}

impl From<Failed> for String {
    fn from(failed: Failed) -> String {
        failed.why
    }
}

async fn json<T: DeserializeOwned>(answer: Response) -> Result<T, String> {
    let bytes = answer.bytes().await.map_err(|error| whole(&error))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| format!("{error} in {}", String::from_utf8_lossy(&bytes)))
}

fn bytes(chance: &mut StdRng) -> Vec<u8> {
    let mut bytes = vec![0; chance.random_range(0..128 * 1024)];
    chance.fill_bytes(&mut bytes);
    bytes
}
