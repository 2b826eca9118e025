//! Who answers for a content: this node, another one, or nobody at this moment.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use wire::limits::SESSION_DEFAULT;
use wire::membership::ShardMap;
use wire::shard::ShardRecord;
use wire::{ContentId, NodeName};

use crate::clock;
use crate::driver::table::{ReplicaView, Standing};
use crate::node::Node;

/// How long after its id was minted a content may be in a shard that this node has not heard of:
/// the shard map is half a second old at most, and clocks differ.
const SHARD_NEWS: Duration = Duration::from_secs(10);

/// How long a request waits for the end of a change of leaders: as long as a change that a leader
/// has taken waits for its set.
const UNSETTLED_TIME_MAX: Duration = Duration::from_secs(3);

/// How often it is looked whether the change is over.
const UNSETTLED_LOOK_EVERY: Duration = Duration::from_millis(5);

/// Why this node does not answer for a content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Misrouted {
    /// Another node leads its shard; the base URI for clients.
    Elsewhere(String),
    /// The shard has no leader that could be asked.
    NoLeader,
    /// There is no such shard.
    NoShard,
}

impl Node {
    /// Waits while it is not settled who leads the content's shard, if this node has a part in that:
    /// a request that was sent on at such a moment would go in circles, or to a node that is gone.
    pub(crate) async fn settled(&self, id: ContentId) {
        let shard = id.shard();
        let until = Instant::now() + UNSETTLED_TIME_MAX;
        loop {
            let replica = self.handle.table().replica(shard);
            let Some(replica) = replica.filter(|replica| replica.is_unsettled()) else {
                return;
            };
            if Instant::now() >= until {
                return;
            }
            if matches!(replica.standing, Standing::Leading | Standing::Elected) {
                self.handle.needs_commit(&replica);
            }
            sleep(UNSETTLED_LOOK_EVERY).await;
        }
    }

    /// As [`Node::route_read`], once it is settled who leads.
    pub(crate) async fn find_reader(&self, id: ContentId) -> Result<Arc<ReplicaView>, Misrouted> {
        if let Ok(replica) = self.route_read(id) {
            return Ok(replica);
        }
        self.settled(id).await;
        self.route_read(id)
    }

    /// As [`Node::route_write`], once it is settled who leads.
    pub(crate) async fn find_leader(&self, id: ContentId) -> Result<Arc<ReplicaView>, Misrouted> {
        if let Ok(replica) = self.route_write(id) {
            return Ok(replica);
        }
        self.settled(id).await;
        self.route_write(id)
    }

    /// The replica that serves reads of this content here.
    fn route_read(&self, id: ContentId) -> Result<Arc<ReplicaView>, Misrouted> {
        let shard = id.shard();
        match self.handle.table().replica(shard) {
            Some(replica) if replica.is_readable() && !replica.gauge.is_pending(id) => Ok(replica),
            Some(replica) if matches!(replica.standing, Standing::Leading | Standing::Elected) => {
                self.handle.needs_commit(&replica);
                Err(Misrouted::NoLeader)
            }
            _ => Err(self.misrouted(id)),
        }
    }

    /// The replica that takes changes of this content here.
    fn route_write(&self, id: ContentId) -> Result<Arc<ReplicaView>, Misrouted> {
        match self.handle.table().replica(id.shard()) {
            Some(replica) if replica.is_leading() => Ok(replica),
            Some(replica) if replica.standing == Standing::Poisoned => Err(Misrouted::NoLeader),
            _ => Err(self.misrouted(id)),
        }
    }

    /// The replica that takes this content here if it is a new one: also one whose leader is about
    /// to begin, since nothing of the content needs to be read first.
    pub(crate) async fn find_creator(&self, id: ContentId) -> Result<Arc<ReplicaView>, Misrouted> {
        match self.handle.table().replica(id.shard()) {
            Some(replica) if replica.standing == Standing::Elected => Ok(replica),
            _ => self.find_leader(id).await,
        }
    }

    /// Where else a content may be read whose copy here is damaged, or unknown here: any other
    /// member of the set that is not among those tried; the base URI for clients.
    pub(crate) fn other_copy(&self, id: ContentId, tried: &[&str]) -> Option<String> {
        let map = self.map.read().map;
        let record = map
            .shards
            .binary_search_by_key(&id.shard(), |record| record.shard);
        let record = &map.shards[record.ok()?];
        let leader = record.leader.iter().map(|leader| &leader.member);
        let members = leader.chain(&record.in_sync);
        let mut others = members
            .map(|member| &member.node)
            .filter(|name| **name != self.name && !tried.contains(&name.as_str()));
        let address = map.nodes.get(others.next()?)?;
        Some(address.public_url.clone())
    }

    /// Who answers for this content, if not this node.
    pub(crate) fn misrouted(&self, id: ContentId) -> Misrouted {
        let confirmed = self.map.read();
        let fresh = confirmed
            .at
            .is_some_and(|at| at.elapsed() < SESSION_DEFAULT);
        let age = Duration::from_millis(clock::now_ms().saturating_sub(id.time_ms()));
        let held = self.handle.table().replica(id.shard());
        let obeyed = held.as_ref().and_then(|replica| replica.record.as_ref());
        let known = (&*confirmed.map, obeyed);
        elsewhere(known, &self.name, id, fresh && age > SHARD_NEWS)
    }
}

/// Who answers for `id` by the map, or by the record that this node obeys, whichever is newer.
/// `complete` says that the map surely names its shard, if there is one.
fn elsewhere(
    (map, obeyed): (&ShardMap, Option<&ShardRecord>),
    me: &NodeName,
    id: ContentId,
    complete: bool,
) -> Misrouted {
    let found = map
        .shards
        .binary_search_by_key(&id.shard(), |record| record.shard);
    let mapped = found.ok().map(|index| &map.shards[index]);
    let newest = mapped.into_iter().chain(obeyed);
    let Some(record) = newest.max_by_key(|record| record.revision()) else {
        return if complete {
            Misrouted::NoShard
        } else {
            Misrouted::NoLeader
        };
    };
    let leader = record.leader.as_ref().map(|leader| &leader.member.node);
    match leader
        .filter(|leader| *leader != me)
        .and_then(|leader| map.nodes.get(leader))
    {
        Some(address) => Misrouted::Elsewhere(address.public_url.clone()),
        None => Misrouted::NoLeader,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;
    use wire::membership::NodeAddress;
    use wire::position::{Epoch, ShardNo};
    use wire::shard::{Leader, Member, ShardRecord, ShardState};

    fn name(text: &str) -> NodeName {
        text.parse().expect("a name")
    }

    fn record(shard: u16, leader: Option<&str>) -> ShardRecord {
        let member = |node: &str| Member {
            node: name(node),
            replica: Uuid::nil(),
        };
        ShardRecord {
            shard: ShardNo(shard),
            log: 1,
            epoch: Epoch(1),
            leader: leader.map(|node| Leader {
                member: member(node),
                incarnation: Uuid::nil(),
            }),
            in_sync: vec![],
            eligible: vec![],
            replicas: vec![],
            min_in_sync: 1,
            degraded: false,
            state: ShardState::Open,
            lineage: 0,
            version: 1,
        }
    }

    // If this fails, clients are sent in circles, or told that a content does not exist when
    // nobody could know.
    #[test]
    fn the_map_tells_who_answers() {
        let url = |text: &str| text.to_owned();
        let address = NodeAddress {
            internal_url: url("http://i"),
            public_url: url("http://p"),
        };
        let map = ShardMap {
            shards: vec![
                record(1, Some("node2")),
                record(2, Some("node1")),
                record(5, None),
            ],
            nodes: [(name("node2"), address)].into(),
        };
        let ask = |shard, complete| {
            elsewhere(
                (&map, None),
                &name("node1"),
                ContentId::mint(ShardNo(shard), 1, 1),
                complete,
            )
        };
        assert_eq!(ask(1, true), Misrouted::Elsewhere(url("http://p")));
        assert_eq!(
            ask(2, true),
            Misrouted::NoLeader,
            "elected, and not leading yet"
        );
        assert_eq!(ask(5, true), Misrouted::NoLeader);
        assert_eq!(ask(4, true), Misrouted::NoShard);
        assert_eq!(ask(4, false), Misrouted::NoLeader);
    }

    // If this fails, a node that has just handed a shard over sends its clients back to itself.
    #[test]
    fn what_is_obeyed_counts_before_an_older_map() {
        let address = |url: &str| NodeAddress {
            internal_url: String::new(),
            public_url: url.to_owned(),
        };
        let map = ShardMap {
            shards: vec![record(1, Some("node1"))],
            nodes: [
                (name("node2"), address("http://2")),
                (name("node3"), address("http://3")),
            ]
            .into(),
        };
        let id = ContentId::mint(ShardNo(1), 1, 1);
        let mut obeyed = record(1, Some("node2"));
        obeyed.version = 2;
        let ask = |obeyed: &ShardRecord| elsewhere((&map, Some(obeyed)), &name("node1"), id, true);
        assert_eq!(ask(&obeyed), Misrouted::Elsewhere("http://2".to_owned()));
        let older = ShardRecord {
            version: 0,
            ..record(1, Some("node3"))
        };
        assert_eq!(
            ask(&older),
            Misrouted::NoLeader,
            "the map says that it leads itself"
        );
    }
}
