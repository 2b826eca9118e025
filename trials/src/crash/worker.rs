//! One client: uploads, updates, deletes and reads its own contents, one after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::RequestBuilder;
use tokio::time::sleep;
use wire::content::Receipt;
use wire::error::Retry;
use wire::placement::Place;
use wire::{Checksum, ContentId, routes};

use super::ledger::{Bytes, Expectation, Ledger, State, Version};
use super::verify::{self, Seen};
use crate::http::{self, Outcome};

/// A pause after a failure, so that a service that is away is not asked without end.
const BACK_OFF: Duration = Duration::from_millis(10);

/// Changes by their outcome.
#[derive(Debug, Default)]
pub struct Counts {
    /// Acknowledged.
    pub acknowledged: u64,
    /// Without an answer.
    pub lost: u64,
}

/// A client and what it knows.
pub struct Worker {
    /// What it has done.
    pub ledger: Ledger,
    /// How often.
    pub counts: Counts,
    /// What should not have happened.
    pub violations: Vec<String>,
    pub(super) client: reqwest::Client,
    pub(super) chance: StdRng,
    dist: String,
}

/// What a change should make of a content.
struct Change {
    id: ContentId,
    node: String,
    after: State,
}

impl Worker {
    /// A client of the distributor at `dist`, whose choices `seed` decides.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(dist: &str, seed: u64) -> anyhow::Result<Self> {
        Ok(Worker {
            ledger: Ledger::default(),
            counts: Counts::default(),
            violations: Vec::new(),
            client: http::client()?,
            chance: StdRng::seed_from_u64(seed),
            dist: dist.to_owned(),
        })
    }

    /// Works until told to stop, and gives itself back.
    pub async fn run(mut self, stop: Arc<AtomicBool>) -> Self {
        while !stop.load(Ordering::Relaxed) {
            let known = self.pick();
            match (self.chance.random_range(0..100), known) {
                (45..65, Some((id, version))) => self.update(id, version, &stop).await,
                (65..80, Some((id, _))) => self.delete(id, &stop).await,
                (80.., Some((id, _))) => self.read(id).await,
                _ => self.upload(&stop).await,
            }
        }
        self
    }

    /// A live content whose state is certain.
    fn pick(&mut self) -> Option<(ContentId, Version)> {
        let certain =
            |expected: &Expectation| expected.certain.filter(|_| expected.possible.is_none());
        let live = || {
            self.ledger
                .contents
                .iter()
                .filter_map(|(id, e)| Some((*id, certain(e)?)))
        };
        let count = live().count();
        let place = self.chance.random_range(0..count.max(1));
        live().nth(place)
    }

    async fn upload(&mut self, stop: &AtomicBool) {
        let bytes = self.bytes();
        let url = format!("{}{}?size={}", self.dist, routes::STORE, bytes.size);
        let place: Place = match http::send(self.client.get(url)).await {
            Outcome::Done(place) => place,
            _ => return sleep(BACK_OFF).await,
        };
        let body = bytes.make();
        let after = version_of(1, &body);
        let node = place.uri.trim_end_matches(routes::STORE).to_owned();
        let change = Change {
            id: place.id,
            node,
            after,
        };
        let request = self
            .client
            .put(format!("{}/{}", place.uri, place.id))
            .body(body);
        self.change(change, request, stop).await;
    }

    async fn update(&mut self, id: ContentId, version: Version, stop: &AtomicBool) {
        let node = self.node(id);
        let body = self.bytes().make();
        let after = version_of(version.number + 1, &body);
        let request = self
            .client
            .put(routes::update(&node, id))
            .header("if-match", format!("\"{}\"", version.checksum.hex()))
            .body(body);
        self.change(Change { id, node, after }, request, stop).await;
    }

    async fn delete(&mut self, id: ContentId, stop: &AtomicBool) {
        let node = self.node(id);
        let request = self.client.delete(routes::delete(&node, id));
        self.change(
            Change {
                id,
                node,
                after: None,
            },
            request,
            stop,
        )
        .await;
    }

    async fn read(&mut self, id: ContentId) {
        let Some(expected) = self.ledger.contents.get(&id).cloned() else {
            return;
        };
        match verify::look(&self.client, &expected.node, id).await {
            Seen::State(seen) if !expected.allows(seen) => {
                self.violations
                    .push(format!("{id}: read {seen:?}, expected {expected:?}"));
            }
            Seen::State(_) => {}
            Seen::Wrong(why) => self.violations.push(format!("{id}: {why}")),
            Seen::Away(_) => sleep(BACK_OFF).await,
        }
    }

    /// Sends a change, perhaps again and again while its answer is lost, and notes the outcome.
    async fn change(&mut self, change: Change, request: RequestBuilder, stop: &AtomicBool) {
        let id = change.id;
        let before = self
            .ledger
            .contents
            .get(&id)
            .and_then(|expected| expected.certain);
        self.note(&change, before);
        let mut lost = false;
        while let Some(again) = request.try_clone() {
            self.ledger.tried += 1;
            match http::send::<Receipt>(again).await {
                Outcome::Done(receipt) => return self.acknowledged(&change, &receipt),
                Outcome::Refused(code, why) if code.retry() == Retry::Never => {
                    self.violations
                        .push(format!("{id}: {code:?} {why}; {:?}", change.after));
                    return;
                }
                Outcome::Refused(code, _) if !code.may_have_changed() => {}
                Outcome::Refused(..) | Outcome::Lost(_) => {
                    self.counts.lost += 1;
                    lost = true;
                }
            }
            sleep(BACK_OFF).await;
            if stop.load(Ordering::Relaxed) || self.chance.random_bool(0.3) {
                break;
            }
        }
        if let Some(expected) = self.ledger.contents.get_mut(&id).filter(|_| !lost) {
            expected.possible = None;
        }
    }

    fn note(&mut self, change: &Change, certain: State) {
        let expected = Expectation {
            node: change.node.clone(),
            certain,
            possible: Some(change.after),
            touched: true,
        };
        self.ledger.contents.insert(change.id, expected);
        self.ledger.supersede(certain);
        // Repeated or cut short, what was sent may lie there dead as well.
        self.ledger.supersede(change.after);
    }

    fn acknowledged(&mut self, change: &Change, receipt: &Receipt) {
        self.counts.acknowledged += 1;
        if let Some(after) = change.after {
            let said = Version {
                number: receipt.version,
                size: receipt.size,
                checksum: receipt.checksum,
            };
            if said != after {
                let id = change.id;
                self.violations
                    .push(format!("{id}: receipt says {said:?}, sent was {after:?}"));
            }
        }
        if let Some(expected) = self.ledger.contents.get_mut(&change.id) {
            expected.certain = change.after;
            expected.possible = None;
        }
    }

    fn node(&self, id: ContentId) -> String {
        self.ledger
            .contents
            .get(&id)
            .map(|expected| expected.node.clone())
            .unwrap_or_default()
    }

    /// Mostly small, some of a few blocks, a few in chunks.
    fn bytes(&mut self) -> Bytes {
        let size = match self.chance.random_range(0..100) {
            0..5 => 0,
            5..75 => self.chance.random_range(1..16 * 1024),
            75..92 => self.chance.random_range(16 * 1024..512 * 1024),
            _ => self.chance.random_range(512 * 1024..5 * 1024 * 1024),
        };
        Bytes {
            seed: self.chance.random(),
            size,
        }
    }
}

fn version_of(number: u64, body: &[u8]) -> State {
    let checksum = Checksum(*blake3::hash(body).as_bytes());
    Some(Version {
        number,
        size: body.len() as u64,
        checksum,
    })
}
