//! One client: uploads, updates, deletes and reads its own contents, one after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::RequestBuilder;
use tokio::time::{Instant, sleep};
use wire::content::Receipt;
use wire::error::Retry;
use wire::membership::NodesAnswer;
use wire::placement::Place;
use wire::{Checksum, Code, ContentId, NodeName, routes};

use super::contended::Contended;
use super::failover::Failovers;
use super::ledger::{Expectation, Ledger, Made, State, Version};
use super::look::{self, Seen};
use crate::http::{self, Outcome};

/// A pause after a failure, so that a service that is away is not asked without end.
pub(super) const BACK_OFF: Duration = Duration::from_millis(20);

/// How long a client waits for an answer: it gives a leader up that stands still.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(4);

/// Contents that a client keeps, about: some 70 MiB.
const LIVE_MAX: usize = 250;

/// The chance that a client turns to what is everybody's, for some operations; so one in eight contents
/// is, and two or three clients are at the same one at any time.
const CONTEND: f64 = 1.0 / 16.0;

/// The chance that a client gives a change up after a failure.
const GIVE_UP: f64 = 0.01;

/// Changes by their outcome.
#[derive(Debug, Default)]
pub struct Counts {
    /// Acknowledged.
    pub acknowledged: u64,
    /// Without an answer.
    pub lost: u64,
    /// Reads that found what had been there a little before.
    pub behind: u64,
    /// Reads without an answer.
    pub unread: u64,
}

impl Counts {
    /// Adds those of another time.
    pub fn add(&mut self, other: &Counts) {
        self.acknowledged += other.acknowledged;
        self.lost += other.lost;
        self.behind += other.behind;
        self.unread += other.unread;
    }
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
    pub(super) failovers: Arc<Failovers>,
    contended: Option<Arc<Contended>>,
    distributors: Vec<String>,
    /// Which of them is asked.
    asked: usize,
}

/// What a change should make of a content.
struct Change {
    id: ContentId,
    before: State,
    after: State,
    body: Bytes,
}

impl Change {
    /// An upload, an update of a certain version, or a delete.
    fn request(&self, client: &reqwest::Client, node: &str) -> RequestBuilder {
        match (self.before, self.after) {
            (None, _) => client.put(routes::store(node, self.id)),
            (Some(_), None) => return client.delete(routes::delete(node, self.id)),
            (Some(before), Some(_)) => client
                .put(routes::update(node, self.id))
                .header("if-match", format!("\"{}\"", before.checksum.hex())),
        }
        .body(self.body.clone())
    }
}

impl Worker {
    /// A client of these distributors, whose choices `seed` decides; all its contents are its own.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(distributors: &[&str], seed: u64) -> anyhow::Result<Self> {
        Ok(Worker {
            ledger: Ledger::default(),
            counts: Counts::default(),
            violations: Vec::new(),
            client: http::blunt_client(ANSWER_TIME_MAX)?,
            failovers: Arc::default(),
            contended: None,
            chance: StdRng::seed_from_u64(seed),
            distributors: distributors.iter().map(|url| (*url).to_owned()).collect(),
            asked: seed as usize % distributors.len(),
        })
    }

    /// The same, which tells when shards take changes again, and shares some contents with others.
    pub fn beside(self, failovers: &Arc<Failovers>, contended: &Arc<Contended>) -> Self {
        Worker {
            failovers: Arc::clone(failovers),
            contended: Some(Arc::clone(contended)),
            ..self
        }
    }

    /// Works until told to stop, and gives itself back.
    pub async fn run(mut self, stop: Arc<AtomicBool>) -> Self {
        while !stop.load(Ordering::Relaxed) {
            if let Some(contended) = self.contended.clone()
                && self.chance.random_bool(CONTEND)
            {
                self.contend(&contended, &stop).await;
                continue;
            }
            let (count, known) = self.pick();
            // The more there is, the more is deleted, so that no disk fills up by itself.
            let crowd = usize::from(count > LIVE_MAX) * 65;
            let what = self.chance.random_range(0..100).max(crowd);
            match (what, known) {
                (45..65, Some((id, version))) => self.update(id, version, &stop).await,
                (65..80, Some((id, version))) => self.delete(id, version, &stop).await,
                (80.., Some((id, _))) => self.read(id).await,
                _ => self.upload(&stop).await,
            }
        }
        self
    }

    /// How many live contents there are whose state is certain, and one of them.
    fn pick(&mut self) -> (usize, Option<(ContentId, Version)>) {
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
        (count, live().nth(place))
    }

    async fn upload(&mut self, stop: &AtomicBool) {
        let bytes = self.bytes();
        let Some((id, node)) = self.place(bytes.size).await else {
            return;
        };
        let body = bytes.make();
        let change = Change {
            id,
            before: None,
            after: version_of(1, &body),
            body: body.into(),
        };
        self.change(change, node, stop).await;
    }

    /// An id for a new content, and the node to store it at.
    pub(super) async fn place(&mut self, size: u64) -> Option<(ContentId, String)> {
        let url = format!("{}{}?size={size}", self.distributor(), routes::STORE);
        match http::send::<Place>(self.client.get(url)).await {
            Outcome::Done(place) => {
                let node = place.uri.trim_end_matches(routes::STORE).to_owned();
                Some((place.id, node))
            }
            _ => {
                self.ask_another();
                sleep(BACK_OFF).await;
                None
            }
        }
    }

    fn distributor(&self) -> &str {
        &self.distributors[self.asked]
    }

    /// The next one is asked from now on.
    fn ask_another(&mut self) {
        self.asked = (self.asked + 1) % self.distributors.len();
    }

    async fn update(&mut self, id: ContentId, version: Version, stop: &AtomicBool) {
        let mut body = self.bytes().make();
        if body.is_empty() && version.size == 0 {
            // The next one of the same bytes could not be told from a repeated one.
            body.push(0);
        }
        let change = Change {
            id,
            before: Some(version),
            after: version_of(version.number + 1, &body),
            body: body.into(),
        };
        self.change(change, self.node(id), stop).await;
    }

    async fn delete(&mut self, id: ContentId, version: Version, stop: &AtomicBool) {
        let change = Change {
            id,
            before: Some(version),
            after: None,
            body: Bytes::new(),
        };
        self.change(change, self.node(id), stop).await;
    }

    async fn read(&mut self, id: ContentId) {
        let Some(expected) = self.ledger.contents.get(&id).cloned() else {
            return;
        };
        let sent = Instant::now();
        match look::around(&self.client, &expected.node, id).await {
            Seen::State(seen) if expected.allows(seen) => {}
            Seen::State(seen) if expected.allowed(seen, sent) => self.counts.behind += 1,
            Seen::State(seen) => {
                let why = format!("{id}: read {seen:?}, expected {expected:?}");
                self.violations.push(why);
            }
            Seen::Wrong(why) => self.violations.push(format!("{id}: {why}")),
            Seen::Damaged(_) | Seen::Away(_) | Seen::Elsewhere(_) => {
                self.counts.unread += 1;
                sleep(BACK_OFF).await;
                self.find(id).await;
            }
        }
    }

    /// Sends a change until it is acknowledged, or given up, and notes the outcome.
    async fn change(&mut self, change: Change, node: String, stop: &AtomicBool) {
        let id = change.id;
        self.note(&change, node);
        let (mut lost, mut tries) = (false, 0);
        loop {
            tries += 1;
            // Repeated or cut short, what is sent may lie there dead as well.
            self.ledger.supersede(change.after);
            let (sent, node) = (Instant::now(), self.node(id));
            match http::send::<Receipt>(change.request(&self.client, &node)).await {
                Outcome::Done(receipt) => {
                    self.failovers.acknowledged(id.shard(), sent);
                    return self.acknowledged(&change, &receipt);
                }
                Outcome::Refused(code, body) if code.retry() == Retry::Never => {
                    let (why, after) = (body.message, change.after);
                    let why = format!("{id}: try {tries} at {node}: {code:?} {why}; {after:?}");
                    return self.violations.push(why);
                }
                Outcome::Refused(Code::ShardClosed | Code::StorageFull, _) => break,
                Outcome::Refused(code, body) => {
                    lost |= code.may_have_changed();
                    self.counts.lost += u64::from(code.may_have_changed());
                    self.go_on(id, body.leader).await;
                }
                Outcome::Unsent(_) => self.go_on(id, None).await,
                Outcome::Lost(_) => {
                    self.counts.lost += 1;
                    lost = true;
                    self.go_on(id, None).await;
                }
            }
            if stop.load(Ordering::Relaxed) || self.chance.random_bool(GIVE_UP) {
                break;
            }
        }
        if let Some(expected) = self.ledger.contents.get_mut(&id).filter(|_| !lost) {
            expected.possible = None;
            expected
                .sent
                .retain(|version| Some(*version) != change.after);
        }
    }

    /// After a failure: the leader that was named, or that the distributor knows.
    async fn go_on(&mut self, id: ContentId, leader: Option<String>) {
        sleep(BACK_OFF).await;
        match (leader, self.ledger.contents.get_mut(&id)) {
            (Some(leader), Some(expected)) => expected.node = leader,
            _ => self.find(id).await,
        }
    }

    async fn find(&mut self, id: ContentId) {
        let found = self.whereabouts(id).await;
        let leader = found.and_then(|(leader, _)| leader);
        if let (Some(leader), Some(expected)) = (leader, self.ledger.contents.get_mut(&id)) {
            expected.node = leader;
        }
    }

    /// Where the leader of a content's shard is, and where all its copies are.
    pub(super) async fn whereabouts(
        &mut self,
        id: ContentId,
    ) -> Option<(Option<String>, Vec<String>)> {
        let asked = self
            .client
            .get(format!("{}{}", self.distributor(), routes::NODES));
        // A distributor that is away, too: then the same node is asked again.
        let Ok(answer) = http::json::<NodesAnswer>(asked).await else {
            self.ask_another();
            return None;
        };
        let shard = answer
            .shards
            .iter()
            .find(|entry| entry.shard == id.shard())?;
        let url = |name: &NodeName| Some(answer.nodes.get(name)?.public_url.clone());
        let copies = shard
            .replicas
            .iter()
            .filter_map(|replica| url(&replica.node));
        Some((shard.leader.as_ref().and_then(url), copies.collect()))
    }

    fn note(&mut self, change: &Change, node: String) {
        let known = self.ledger.contents.remove(&change.id);
        let mut expected = known.unwrap_or_default();
        let certain = expected.certain;
        expected.node = node;
        expected.possible = Some(change.after);
        expected.sent.extend(change.after);
        expected.touched = true;
        self.ledger.contents.insert(change.id, expected);
        self.ledger.supersede(certain);
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
            expected.become_certain(change.after);
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
    pub(super) fn bytes(&mut self) -> Made {
        let size = match self.chance.random_range(0..100) {
            0..5 => 0,
            5..75 => self.chance.random_range(1..16 * 1024),
            75..92 => self.chance.random_range(16 * 1024..512 * 1024),
            _ => self.chance.random_range(512 * 1024..5 * 1024 * 1024),
        };
        Made {
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
