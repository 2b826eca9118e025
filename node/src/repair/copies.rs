//! Asking other replicas for what they have intact.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::{Client, Response, StatusCode};
use store::Record;
use wire::limits::CHUNK_BYTES_MAX;
use wire::shard::ShardRecord;
use wire::{ContentId, Lsn, NodeName, ShardNo, routes};

use crate::membership::distributors::{NewError, key_headers};
use crate::membership::heartbeat::Map;

/// How long a connection may take.
const CONNECT_TIME_MAX: Duration = Duration::from_millis(500);

/// How long an answer may take: the peer may have to read the heads of a whole segment first.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// The most that a peer may answer: the list of the chunks of the largest content takes 16 MiB as a
/// record, and four times that as numbers in JSON.
const ANSWER_BYTES_MAX: usize = 64 * CHUNK_BYTES_MAX;

/// Where other copies are, and the way to them.
pub(super) struct Copies {
    name: NodeName,
    map: Map,
    client: Client,
}

/// A node that has a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Copy {
    pub(super) node: NodeName,
    url: String,
}

/// Why a copy could not be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// No other replica is in sync.
    #[error("there is no other copy")]
    Alone,
    /// It has none: compacted, or damaged there too.
    #[error("{0} does not have it")]
    Absent(NodeName),
    /// Nothing needs it there any more.
    #[error("{0} has dropped it")]
    Dropped(NodeName),
    /// It answers that it cannot give it.
    #[error("{node} answers {status}")]
    Refused { node: NodeName, status: StatusCode },
    /// It did not answer.
    #[error("{node} does not answer")]
    Silent {
        node: NodeName,
        #[source]
        source: reqwest::Error,
    },
    /// Its answer is not what was asked for.
    #[error("{node} answers something else: {what}")]
    Wrong { node: NodeName, what: String },
}

impl FetchError {
    /// Whether this is for good: nobody will have it later either.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, FetchError::Absent(_) | FetchError::Dropped(_))
    }
}

impl Copies {
    pub(super) fn new(
        name: NodeName,
        map: Map,
        cluster_key: Option<&str>,
    ) -> Result<Copies, NewError> {
        let client = Client::builder()
            .default_headers(key_headers(cluster_key)?)
            .connect_timeout(CONNECT_TIME_MAX)
            .timeout(ANSWER_TIME_MAX)
            .tcp_nodelay(true)
            .no_proxy()
            .build()?;
        Ok(Copies { name, map, client })
    }

    /// The other nodes that have all that is committed in a shard, its leader first.
    pub(super) fn of(&self, shard: ShardNo) -> Vec<Copy> {
        let map = self.map.read().map;
        let found = map
            .shards
            .binary_search_by_key(&shard, |record| record.shard);
        let members = found.map_or_else(
            |_| Vec::new(),
            |index| others(&map.shards[index], &self.name),
        );
        let located = members.into_iter().filter_map(|node| {
            let url = map.nodes.get(&node)?.internal_url.clone();
            Some(Copy { node, url })
        });
        located.collect()
    }

    /// A record as another replica has it, verified.
    pub(super) async fn record(
        &self,
        copy: &Copy,
        (shard, log): (ShardNo, u64),
        lsn: Lsn,
    ) -> Result<Record, FetchError> {
        let url = routes::record(&copy.url, shard, lsn);
        let bytes = self.get(copy, &url).await?;
        let record = Record::from_bytes(&bytes, log).map_err(|error| wrong(copy, &error))?;
        if record.head.lsn == lsn {
            Ok(record)
        } else {
            Err(wrong(copy, &format!("record {}", record.head.lsn)))
        }
    }

    /// The records that a content needs, as another replica knows them.
    pub(super) async fn needed(&self, copy: &Copy, id: ContentId) -> Result<Vec<Lsn>, FetchError> {
        let bytes = self.get(copy, &routes::needed(&copy.url, id)).await?;
        serde_json::from_slice(&bytes).map_err(|error| wrong(copy, &error))
    }

    async fn get(&self, copy: &Copy, url: &str) -> Result<Bytes, FetchError> {
        let silent = |source| FetchError::Silent {
            node: copy.node.clone(),
            source,
        };
        let answer = self.client.get(url).send().await.map_err(silent)?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(FetchError::Absent(copy.node.clone())),
            StatusCode::GONE => return Err(FetchError::Dropped(copy.node.clone())),
            status => {
                let node = copy.node.clone();
                return Err(FetchError::Refused { node, status });
            }
        }
        read(answer).await.map_err(silent)?.ok_or_else(|| {
            let what = format!("more than {ANSWER_BYTES_MAX} bytes");
            wrong(copy, &what)
        })
    }
}

/// The whole body; none when it is too long.
async fn read(mut answer: Response) -> Result<Option<Bytes>, reqwest::Error> {
    let mut body = BytesMut::new();
    while let Some(piece) = answer.chunk().await? {
        if body.len() + piece.len() > ANSWER_BYTES_MAX {
            return Ok(None);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Some(body.freeze()))
}

fn wrong(copy: &Copy, what: &dyn std::fmt::Display) -> FetchError {
    FetchError::Wrong {
        node: copy.node.clone(),
        what: what.to_string(),
    }
}

/// The other members of a shard's set, its leader first.
fn others(record: &ShardRecord, me: &NodeName) -> Vec<NodeName> {
    let leader = record.leader.as_ref().map(|leader| &leader.member.node);
    let mut nodes: Vec<NodeName> = record
        .in_sync
        .iter()
        .map(|member| &member.node)
        .filter(|node| *node != me)
        .cloned()
        .collect();
    nodes.sort_by_key(|node| Some(node) != leader);
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;
    use wire::Epoch;
    use wire::shard::{Leader, Member, ShardState};

    // If this fails, a damaged copy is mended from one that misses records, or from itself.
    #[test]
    fn other_members_of_the_set_are_asked_the_leader_first() {
        let name = |text: &str| text.parse::<NodeName>().expect("a name");
        let member = |node: &str| Member {
            node: name(node),
            replica: Uuid::nil(),
        };
        let record = ShardRecord {
            shard: ShardNo(1),
            log: 1,
            epoch: Epoch(1),
            leader: Some(Leader {
                member: member("node3"),
                incarnation: Uuid::nil(),
            }),
            in_sync: ["node1", "node2", "node3"].map(member).into(),
            eligible: vec![],
            replicas: ["node1", "node2", "node3", "node4"].map(member).into(),
            min_in_sync: 2,
            degraded: false,
            state: ShardState::Open,
            lineage: 0,
            version: 1,
        };
        assert_eq!(
            others(&record, &name("node1")),
            ["node3", "node2"].map(name)
        );
        assert_eq!(
            others(&record, &name("node3")),
            ["node1", "node2"].map(name)
        );
    }
}
