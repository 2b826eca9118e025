//! One client of the foreground: it goes on as clients do when a request fails.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use tokio::time::{Instant, sleep};
use wire::content::{ContentItem, Receipt};
use wire::placement::{Place, Places};
use wire::{Checksum, ContentId, routes};

use super::{Board, Kind};
use crate::http::{self, Outcome};
use crate::torture::ledger::{Expectation, Version};

/// What is uploaded.
const BYTES: usize = 1024;

/// Places that a client asks for at once. They are used up within the few seconds that they are
/// good for.
const PLACES: usize = 16;

/// Contents that are read: small enough to be kept in memory here, large enough to be everywhere
/// there.
const KNOWN_MAX: usize = 10_000;

/// Between two attempts.
const BACK_OFF: Duration = Duration::from_millis(10);

/// How long a client waits for an answer before it tries again.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

pub(super) struct Client {
    pub(super) board: Arc<Board>,
    http: reqwest::Client,
    chance: StdRng,
    places: Vec<Place>,
    keep: Option<usize>,
    own: VecDeque<(ContentId, String)>,
}

impl Client {
    pub(super) fn new(board: &Arc<Board>, keep: Option<usize>) -> anyhow::Result<Self> {
        Ok(Client {
            board: Arc::clone(board),
            http: http::client()?,
            chance: StdRng::seed_from_u64(rand::random()),
            places: Vec::new(),
            keep,
            own: VecDeque::new(),
        })
    }

    /// Sends a request that was due at `due`, until it is done or all shall end.
    pub(super) async fn send(&mut self, kind: Kind, due: Instant) {
        if matches!(kind, Kind::Read | Kind::Question) && self.any().is_none() {
            return sleep(BACK_OFF).await;
        }
        let begun = (self.board.current.load(Ordering::Relaxed), due);
        let mut failures = 0;
        while !self.attempt(kind).await {
            failures += 1;
            if self.board.stop.load(Ordering::Relaxed) {
                return self.board.given_up(kind, begun, failures);
            }
            sleep(BACK_OFF).await;
        }
        self.board.done(kind, begun, failures);
        if kind == Kind::Upload {
            self.delete_old().await;
        }
    }

    async fn attempt(&mut self, kind: Kind) -> bool {
        match kind {
            Kind::Upload => self.upload().await.is_some(),
            Kind::Read => self.read().await.is_some(),
            Kind::Question => self.ask().await.is_some(),
            Kind::Delete => true,
        }
    }

    async fn upload(&mut self) -> Option<()> {
        if self.places.is_empty() {
            let dist = &self.board.dist;
            let url = format!("{dist}{}?size={BYTES}&count={PLACES}", routes::STORE);
            self.places = done(http::send::<Places>(self.http.get(url)).await)?.items;
        }
        let place = self.places.pop()?;
        let mut body = vec![0; BYTES];
        self.chance.fill_bytes(&mut body);
        let checksum = Checksum(*blake3::hash(&body).as_bytes());
        let url = format!("{}/{}", place.uri, place.id);
        let sent = self.http.put(url).timeout(ANSWER_TIME_MAX);
        let receipt = http::send::<Receipt>(sent.body(Bytes::from(body))).await;
        let node = place.uri.trim_end_matches(routes::STORE).to_owned();
        let receipt = done(receipt);
        if self.keep.is_none() {
            let is_there = receipt.is_some();
            self.board.note(place.id, (&node, checksum), is_there);
        }
        if receipt.is_none() {
            // What was said of places may not hold any more.
            self.places.clear();
            return None;
        }
        self.remember(place.id, node);
        Some(())
    }

    /// The first contents are for readers, and stay; some of the later ones are, if nothing is
    /// deleted.
    fn remember(&mut self, id: ContentId, node: String) {
        let mut known = self.board.known();
        if known.len() < KNOWN_MAX {
            known.push((id, node));
        } else if self.keep.is_some() {
            self.own.push_back((id, node));
        } else {
            known[self.chance.random_range(0..KNOWN_MAX)] = (id, node);
        }
    }

    async fn delete_old(&mut self) {
        if self.keep.is_none_or(|keep| self.own.len() <= keep) {
            return;
        }
        let Some((id, node)) = self.own.pop_front() else {
            return;
        };
        let begun = (self.board.current.load(Ordering::Relaxed), Instant::now());
        let request = self.http.delete(routes::delete(&node, id));
        let deleted = done(http::send::<Receipt>(request.timeout(ANSWER_TIME_MAX)).await);
        let failures = u64::from(deleted.is_none());
        self.board.done(Kind::Delete, begun, failures);
    }

    async fn read(&mut self) -> Option<()> {
        let (id, node) = self.any()?;
        let request = self.http.get(routes::retrieve(&node, id));
        let answer = request.timeout(ANSWER_TIME_MAX).send().await;
        let body = match answer.and_then(reqwest::Response::error_for_status) {
            Ok(answer) => answer.bytes().await,
            Err(error) => Err(error),
        };
        match body {
            Ok(body) if body.len() == BYTES => Some(()),
            _ => {
                self.find(id).await;
                None
            }
        }
    }

    async fn ask(&mut self) -> Option<()> {
        let (id, _) = self.any()?;
        self.item(id).await.map(|_| ())
    }

    /// Another node that has it, if the distributor knows one.
    async fn find(&mut self, id: ContentId) {
        let Some(item) = self.item(id).await.filter(|item| !item.uri.is_empty()) else {
            return;
        };
        let mut known = self.board.known();
        if let Some((_, node)) = known.iter_mut().find(|(known, _)| *known == id) {
            *node = item.uri;
        }
    }

    async fn item(&self, id: ContentId) -> Option<ContentItem> {
        let url = routes::content(&self.board.dist, id);
        done(http::send(self.http.get(url).timeout(ANSWER_TIME_MAX)).await)
    }

    fn any(&mut self) -> Option<(ContentId, String)> {
        let known = self.board.known();
        let place = self.chance.random_range(0..known.len().max(1));
        known.get(place).cloned()
    }
}

impl Board {
    /// What may be found of an upload, which was acknowledged or failed.
    fn note(&self, id: ContentId, (node, checksum): (&str, Checksum), is_there: bool) {
        let version = Version {
            number: 1,
            size: BYTES as u64,
            checksum,
        };
        let expected = Expectation {
            node: node.to_owned(),
            former: Vec::new(),
            certain: is_there.then_some(version),
            possible: (!is_there).then_some(Some(version)),
            sent: vec![version],
            touched: true,
        };
        let ledger = self.ledger.lock();
        let mut ledger = ledger.unwrap_or_else(std::sync::PoisonError::into_inner);
        ledger.contents.insert(id, expected);
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Vec<(ContentId, String)>> {
        self.known
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn done<T>(outcome: Outcome<T>) -> Option<T> {
    match outcome {
        Outcome::Done(value) => Some(value),
        Outcome::Refused(..) | Outcome::Unsent(_) | Outcome::Lost(_) => None,
    }
}
