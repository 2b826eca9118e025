//! Where the benchmark's requests go: places for uploads, asked for in batches, and the nodes.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::Mutex;
use wire::limits::PLACES_PER_REQUEST_MAX;
use wire::membership::NodesAnswer;
use wire::placement::{Place, Places as PlacesAnswer};
use wire::{Code, ContentId, ShardNo, routes};

use crate::api::leader_among;

use super::http::address::{Address, ParseAddressError};
use super::http::connection::{Body, Connection};
use super::{BenchError, Load, Stored, Target};

/// Places are good for a few seconds.
const PLACES_AGE_MAX: Duration = Duration::from_secs(3);

/// A batch that is used up faster than this is followed by a larger one.
const BATCH_TIME: Duration = Duration::from_millis(500);

/// The nodes that one thread talks to, by number.
#[derive(Debug, Default)]
pub(super) struct Nodes(RefCell<Vec<(String, Address)>>);

impl Nodes {
    /// The number of the node with this base URI.
    pub(super) fn number(&self, uri: &str) -> Result<usize, ParseAddressError> {
        let mut nodes = self.0.borrow_mut();
        if let Some(number) = nodes.iter().position(|(known, _)| known == uri) {
            return Ok(number);
        }
        nodes.push((uri.to_owned(), uri.parse()?));
        Ok(nodes.len() - 1)
    }

    /// A node's address.
    pub(super) fn address(&self, number: usize) -> Address {
        self.0.borrow()[number].1.clone()
    }

    /// Adds a node's path before every route to `head`.
    pub(super) fn write_prefix(&self, number: usize, head: &mut Vec<u8>) {
        head.extend_from_slice(self.0.borrow()[number].1.prefix.as_bytes());
    }

    /// A node's base URI.
    pub(super) fn uri(&self, number: usize) -> String {
        self.0.borrow()[number].0.clone()
    }

    /// Adds the header `Host` to `head`.
    pub(super) fn write_host(&self, number: usize, head: &mut Vec<u8>) {
        head.extend_from_slice(b"Host: ");
        head.extend_from_slice(self.0.borrow()[number].1.host.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
}

/// The places of one thread.
#[derive(Debug)]
pub(super) enum Places {
    /// Taken one by one, asked for in batches.
    Cluster {
        /// The node's number and a fresh id.
        ready: RefCell<VecDeque<(usize, ContentId)>>,
        /// Who is asked.
        distributor: Box<Mutex<Batches>>,
    },
    /// All at one server, under ids of one's own.
    Plain(String),
}

/// How many places are asked for at once.
#[derive(Debug)]
pub(super) struct Batches {
    asking: Asking,
    size: usize,
    asked: Instant,
}

impl Places {
    /// Nothing is asked for yet.
    pub(super) fn new(load: &Load, workers: usize) -> Result<Self, BenchError> {
        if let Target::Plain(uri) = &load.target {
            return Ok(Places::Plain(uri.clone()));
        }
        let (asking, asked) = (Asking::new(load)?, Instant::now());
        let size = (2 * workers).clamp(1, PLACES_PER_REQUEST_MAX);
        let distributor = Box::new(Mutex::new(Batches {
            asking,
            size,
            asked,
        }));
        Ok(Places::Cluster {
            ready: RefCell::default(),
            distributor,
        })
    }

    /// A place: the node's number and a fresh id.
    pub(super) async fn next(&self, nodes: &Nodes) -> Result<(usize, ContentId), BenchError> {
        let (ready, distributor) = match self {
            Places::Plain(uri) => return Ok((nodes.number(uri)?, fresh_id())),
            Places::Cluster { ready, distributor } => (ready, distributor),
        };
        loop {
            if let Some(place) = pop(ready) {
                return Ok(place);
            }
            let mut batches = distributor.lock().await;
            // Another worker may have brought a batch while this one waited for its turn.
            if ready.borrow().is_empty() {
                let brought = batches.bring(nodes).await?;
                ready.borrow_mut().extend(brought);
            }
        }
    }
}

fn pop(ready: &RefCell<VecDeque<(usize, ContentId)>>) -> Option<(usize, ContentId)> {
    ready.borrow_mut().pop_front()
}

/// An id as a distributor would mint it, for a server that knows no shards.
fn fresh_id() -> ContentId {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let ms = now.map_or(0, |since| since.as_millis());
    let ms = u64::try_from(ms).unwrap_or(u64::MAX);
    ContentId::mint(ShardNo(0), ms, rand::random())
}

impl Batches {
    async fn bring(&mut self, nodes: &Nodes) -> Result<Vec<(usize, ContentId)>, BenchError> {
        self.size = next_size(self.size, self.asked.elapsed());
        let path = format!("{}?count={}", routes::STORE, self.size);
        let answer: PlacesAnswer = self.asking.get("for places", &path).await?;
        self.asked = Instant::now();
        let place = |place: Place| {
            let base = place.uri.strip_suffix(routes::STORE).unwrap_or(&place.uri);
            Ok((nodes.number(base)?, place.id))
        };
        answer.items.into_iter().map(place).collect()
    }
}

/// The size of the next batch: doubled while batches last a shorter time than [`BATCH_TIME`],
/// halved when one outlives its places.
fn next_size(size: usize, lasted: Duration) -> usize {
    if lasted < BATCH_TIME {
        (size * 2).min(PLACES_PER_REQUEST_MAX)
    } else if lasted > PLACES_AGE_MAX {
        (size / 2).max(1)
    } else {
        size
    }
}

/// A connection to the distributor that is made anew when it broke.
#[derive(Debug)]
struct Asking {
    address: Address,
    authorization: String,
    connection: Option<Connection>,
    body: Body,
}

impl Asking {
    fn new(load: &Load) -> Result<Self, BenchError> {
        let (Target::Cluster(uri) | Target::Plain(uri)) = &load.target;
        let (address, authorization) = (uri.parse()?, authorization(load));
        Ok(Asking {
            address,
            authorization,
            connection: None,
            body: Body::default(),
        })
    }

    async fn get<T: serde::de::DeserializeOwned>(
        &mut self,
        what: &'static str,
        path: &str,
    ) -> Result<T, BenchError> {
        let failed = |source| BenchError::Exchange { what, source };
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(&self.address).await.map_err(failed)?,
        };
        let Address { host, prefix, .. } = &self.address;
        let authorization = &self.authorization;
        let head = format!("GET {prefix}{path} HTTP/1.1\r\nHost: {host}\r\n{authorization}\r\n");
        let body = self.body.keep();
        let head = connection
            .exchange(head.as_bytes(), &[], body)
            .await
            .map_err(failed)?;
        if !head.close {
            self.connection = Some(connection);
        }
        if head.status != 200 {
            let (word, code) = refusal(head.status, &self.body.kept);
            return Err(BenchError::Refused { what, word, code });
        }
        Ok(serde_json::from_slice(&self.body.kept)?)
    }
}

/// The header that carries the access key, with its line's end; nothing without a key.
pub(super) fn authorization(load: &Load) -> String {
    let key = load
        .access_key
        .as_deref()
        .filter(|key| key.bytes().all(|b| b.is_ascii_graphic()));
    key.map(|key| format!("Authorization: Bearer {key}\r\n"))
        .unwrap_or_default()
}

/// An error answer as a word, and as a code where it is one of ours.
pub(super) fn refusal(status: u16, body: &[u8]) -> (String, Option<Code>) {
    #[derive(serde::Deserialize)]
    struct Coded {
        code: String,
    }
    match serde_json::from_slice::<Coded>(body) {
        Ok(Coded { code }) => {
            let known = serde_json::from_value(serde_json::Value::String(code.clone())).ok();
            (code, known)
        }
        Err(_) => (format!("http_{status}"), None),
    }
}

/// See [`super::locate`]. On a plain server every content is in its folder.
pub(super) fn locate(load: &Load, ids: &[ContentId]) -> Result<Vec<Stored>, BenchError> {
    if let Target::Plain(uri) = &load.target {
        let stored = |&id: &ContentId| Stored {
            id,
            node: uri.clone(),
            expected: None,
        };
        return Ok(ids.iter().map(stored).collect());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let mut asking = Asking::new(load)?;
    let answer: NodesAnswer = runtime
        .map_err(BenchError::Runtime)?
        .block_on(asking.get("for the nodes", routes::NODES))?;
    let mut leaders = std::collections::HashMap::new();
    let mut contents = Vec::with_capacity(ids.len());
    for &id in ids {
        let shard = id.shard();
        let leader = leaders
            .entry(shard)
            .or_insert_with(|| leader_among(&answer, shard));
        let node = leader.clone().ok_or(BenchError::NoLeader(shard))?;
        contents.push(Stored {
            id,
            node,
            expected: None,
        });
    }
    Ok(contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, places grow stale before they are used, or asking for them takes over.
    #[test]
    fn batches_grow_with_speed_and_shrink_when_they_grow_old() {
        assert_eq!(next_size(32, Duration::from_millis(10)), 64);
        assert_eq!(next_size(900, Duration::ZERO), PLACES_PER_REQUEST_MAX);
        assert_eq!(next_size(64, Duration::from_secs(1)), 64);
        assert_eq!(next_size(64, Duration::from_secs(4)), 32);
        assert_eq!(next_size(1, Duration::from_secs(4)), 1);
    }

    // If this fails, the report counts errors without saying which.
    #[test]
    fn refusals_are_named() {
        let body = br#"{"status":"error","code":"storage_full","message":"m","request_id":"r"}"#;
        assert_eq!(
            refusal(507, body),
            ("storage_full".to_owned(), Some(Code::StorageFull))
        );
        assert_eq!(refusal(502, b"<html>"), ("http_502".to_owned(), None));
        let newer = br#"{"code":"unheard_of"}"#;
        assert_eq!(refusal(500, newer), ("unheard_of".to_owned(), None));
    }

    // If this fails, requests go to another node than the one that was meant.
    #[test]
    fn nodes_have_stable_numbers() {
        let nodes = Nodes::default();
        let numbers = ["http://a:1/store", "http://b:2/store", "http://a:1/store"]
            .map(|uri| nodes.number(uri).expect("an address"));
        assert_eq!(numbers, [0, 1, 0]);
        assert_eq!(nodes.address(1).socket, "b:2");
        assert!(nodes.number("https://c").is_err());
    }
}
