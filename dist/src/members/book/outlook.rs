//! What the controller looks at: nodes, changes of records, and the next end of a node's session.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::sync::broadcast;
use uuid::Uuid;
use wire::NodeName;
use wire::membership::Heartbeat;
use wire::shard::ShardRecord;
use wire::stats::NodeStats;

use super::Members;
use crate::controller::{Room, Seen};
use crate::placement;

/// What another distributor hears is here so often in a session at least: each exchanges six times in one,
/// and it takes one exchange there and one here.
const NEWS_PER_SESSION: u32 = 3;

/// With longer sessions nobody waits longer for what others may have heard.
const NEWS_AGE_MAX: Duration = Duration::from_secs(3);

impl Members {
    /// An exchange with the catalog, which began then, went well; or one did not.
    pub(crate) fn exchanged(&self, asked: Option<Instant>) {
        let mut state = self.write();
        state.exchanges_since = asked.map(|asked| state.exchanges_since.unwrap_or(asked));
    }

    /// For how long all who speak to any distributor have been heard without a break.
    pub(crate) fn listened(&self, now: Instant) -> Duration {
        let since = self.read().exchanges_since;
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// What the controller needs to know of nodes. Silent is who is not heard while somebody listens: after
    /// a night without power nobody has been away for hours. With other distributors a node counts as known when these
    /// would have told of whoever registered with them at that time.
    ///
    /// A node that shard records name and nobody remembers, as after a catalog was lost or put back from a backup,
    /// is silent since somebody listens: its copies are not made anew before it had the time to come back.
    pub(crate) fn seen(&self, now: Instant) -> BTreeMap<NodeName, Seen> {
        let listened = self.listened(now);
        let state = self.read();
        let others = state.distributors.values();
        let mut others = others.map(|each| now.saturating_duration_since(each.heard));
        let news_age = match others.any(|silent| silent < self.session) {
            true => (self.session / NEWS_PER_SESSION).min(NEWS_AGE_MAX),
            false => Duration::ZERO,
        };
        let seen = state.nodes.iter().map(|(name, node)| {
            let known = now.saturating_duration_since(node.known_since);
            let known = known.saturating_sub(news_age);
            let silent = now.saturating_duration_since(node.heard);
            (
                name.clone(),
                Seen {
                    heartbeat: node.heartbeat.clone(),
                    known_ms: in_ms(known),
                    alive: silent < self.session,
                    silent_ms: in_ms(silent.min(listened)),
                    room: node.stats.as_ref().and_then(|(stats, _)| room(stats)),
                },
            )
        });
        let mut seen: BTreeMap<NodeName, Seen> = seen.collect();
        let members = state.records.values().flat_map(|record| &record.replicas);
        let named = members.map(|member| &member.node);
        for name in named.filter(|name| !state.removed.contains_key(*name)) {
            if !seen.contains_key(name) {
                seen.insert(name.clone(), unheard(in_ms(listened)));
            }
        }
        seen
    }

    /// Records as the register answers them, from now on.
    pub(crate) fn changes(&self) -> broadcast::Receiver<ShardRecord> {
        self.changes.subscribe()
    }

    /// Waits until a process of a node is heard first, if none was since the last call.
    pub(crate) async fn registered(&self) {
        self.registered.notified().await;
    }

    /// When the first of the nodes that are heard would have been silent for a session.
    pub(crate) fn next_silence(&self, now: Instant) -> Option<Instant> {
        let state = self.read();
        let ends = state.nodes.values().map(|node| node.heard + self.session);
        ends.filter(|end| *end > now).min()
    }
}

/// How much more placement sends to a node: by what it last said, however long ago, as room goes slowly.
/// None of one that does not know itself.
fn room(stats: &NodeStats) -> Option<Room> {
    let total_bytes = placement::placed_max(stats);
    (total_bytes > 0).then(|| Room {
        free_bytes: placement::free(stats),
        total_bytes,
    })
}

/// A node that never said anything.
fn unheard(silent_ms: u64) -> Seen {
    Seen {
        heartbeat: Heartbeat {
            cluster: None,
            incarnation: Uuid::nil(),
            offer: Uuid::nil(),
            internal_url: String::new(),
            public_url: String::new(),
            replicas: Vec::new(),
            map_version: 0,
            parting: false,
            linked: None,
        },
        known_ms: u64::MAX,
        alive: false,
        silent_ms,
        room: None,
    }
}

fn in_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Board;
    use crate::catalog::Sighting;
    use std::collections::BTreeSet;
    use wire::membership::ServiceRole;
    use wire::shard::{Member, ShardState};
    use wire::{Epoch, ShardNo};

    const SESSION: Duration = Duration::from_secs(3);

    fn name(text: &str) -> NodeName {
        text.parse().expect("a valid name")
    }

    fn heartbeat() -> Heartbeat {
        Heartbeat {
            cluster: None,
            incarnation: Uuid::from_u128(1),
            offer: Uuid::from_u128(2),
            internal_url: "http://n".to_owned(),
            public_url: "http://n".to_owned(),
            replicas: Vec::new(),
            map_version: 0,
            parting: false,
            linked: None,
        }
    }

    /// A book that heard of one node.
    fn book(now: Instant) -> Members {
        let members = Members::new(SESSION);
        members.hear(&name("node1"), &heartbeat(), now);
        members
    }

    // If this fails, all copies of a node that starts a little later than the others after a power
    // failure are made anew at once.
    #[test]
    fn only_who_is_not_heard_by_somebody_who_listens_is_silent() {
        let now = Instant::now();
        let members = book(now);
        let minutes = |minutes: u64| now + Duration::from_secs(60 * minutes);
        let silent = |at: Instant| members.seen(at)[&name("node1")].silent_ms;
        assert_eq!(silent(minutes(20)), 0, "nobody listens");
        members.exchanged(Some(minutes(20)));
        members.exchanged(Some(minutes(21)));
        assert_eq!(silent(minutes(25)), 5 * 60_000);
        assert!(!members.seen(minutes(25))[&name("node1")].alive);
        members.exchanged(None);
        members.exchanged(Some(minutes(30)));
        assert_eq!(silent(minutes(31)), 60_000);
        members.hear(&name("node1"), &heartbeat(), minutes(31));
        assert_eq!(silent(minutes(31)), 0);
    }

    // If this fails, copies on a node that nobody remembers are made anew at once, or an operator who removed
    // it waits for that.
    #[test]
    fn who_holds_something_and_is_unknown_is_silent_since_somebody_listens() {
        let now = Instant::now();
        let members = book(now);
        let member = |number| Member {
            node: name(&format!("node{number}")),
            replica: Uuid::from_u128(number),
        };
        let members_of_it = vec![member(1), member(9)];
        members.set_records(vec![ShardRecord {
            shard: ShardNo(1),
            log: 1,
            epoch: Epoch(1),
            leader: None,
            in_sync: members_of_it.clone(),
            eligible: Vec::new(),
            replicas: members_of_it,
            min_in_sync: 2,
            degraded: false,
            state: ShardState::Open,
            lineage: 0,
            version: 1,
        }]);
        members.exchanged(Some(now));
        let later = now + Duration::from_secs(60);
        let seen = members.seen(later);
        let unknown = &seen[&name("node9")];
        assert_eq!((unknown.alive, unknown.silent_ms), (false, 60_000));
        assert_eq!(seen.len(), 2);
        let removed = BTreeMap::from([(name("node9"), Uuid::from_u128(99))]);
        members.set_orders(&Board {
            cluster: None,
            sightings: Vec::new(),
            draining: BTreeSet::new(),
            rebalancing: false,
            removed,
        });
        assert!(!members.seen(later).contains_key(&name("node9")));
        members.hear(&name("node9"), &heartbeat(), later);
        let silent = later + Duration::from_secs(60);
        let seen = &members.seen(silent)[&name("node9")];
        let is_back = "another process of it came, and was silent then";
        assert_eq!((seen.alive, seen.silent_ms), (false, 60_000), "{is_back}");
    }

    // If this fails, shards and copies are put on nodes that are full.
    #[test]
    fn the_controller_knows_the_room_that_placement_sees() {
        let now = Instant::now();
        let members = book(now);
        let room = |stats: NodeStats| {
            members.sampled(&name("node1"), Some(stats), now);
            members.seen(now)[&name("node1")].room
        };
        assert_eq!(members.seen(now)[&name("node1")].room, None);
        let stats = NodeStats {
            max_storage: 1_000,
            storage: 300,
            bytes_promised: 100,
            disk_free: 5_000,
            ..NodeStats::default()
        };
        let free = |free_bytes| {
            Some(Room {
                free_bytes,
                total_bytes: 900,
            })
        };
        assert_eq!(room(stats.clone()), free(500));
        let disk_free = 250;
        let disk = NodeStats { disk_free, ..stats };
        assert_eq!(room(disk.clone()), free(150));
        let storage = 950;
        assert_eq!(room(NodeStats { storage, ..disk }), free(0));
        members.sampled(&name("node1"), None, now);
        assert_eq!(members.seen(now)[&name("node1")].room, free(0), "not empty");
        assert_eq!(room(NodeStats::default()), None);
    }

    // If this fails, with several distributors the copies of a new cluster pile up on the nodes that speak
    // to the one in office.
    #[test]
    fn nodes_count_as_known_when_other_distributors_would_have_told() {
        let now = Instant::now();
        let members = book(now);
        let known_ms = |at: Instant| members.seen(at)[&name("node1")].known_ms;
        let later = now + Duration::from_millis(1_400);
        assert_eq!(known_ms(later), 1_400);
        let other = Sighting {
            name: name("dist2"),
            role: ServiceRole::Distributor,
            internal_url: "http://d".to_owned(),
            public_url: "http://d".to_owned(),
            incarnation: Uuid::from_u128(7),
            heartbeat: None,
            age: Duration::ZERO,
        };
        members.learn(vec![other], later);
        assert_eq!(known_ms(later), 400);
        assert_eq!(known_ms(later + SESSION), 4_400, "it is gone");
    }
}
