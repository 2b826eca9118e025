//! What a distributor knows of its cluster, and how it shows it.

use super::book::{Heard, Members};
use super::view::View;
use crate::catalog::Sighting;
use crate::placement::{Lack, OpenShard};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use uuid::Uuid;
use wire::membership::{Health, Heartbeat, ReplicaReport, ServiceRole};
use wire::shard::{Leader, Member, ShardRecord, ShardState};
use wire::stats::NodeStats;
use wire::{Epoch, Lsn, NodeName, Position, ShardNo};

const SESSION: Duration = Duration::from_secs(3);

fn name(text: &str) -> NodeName {
    text.parse().expect("a valid name")
}

/// The node of this number, which holds the replica of the same number.
fn heartbeat(number: u128) -> Heartbeat {
    let report = ReplicaReport {
        shard: ShardNo(1),
        replica: Uuid::from_u128(number),
        record_lineage: 0,
        record_version: 1,
        record_mark: None,
        record: None,
        end: Position::default(),
        committed: Lsn::ZERO,
        bytes: 0,
        contents: 0,
        damaged: 0,
        halted: false,
        complete: true,
        log: None,
    };
    Heartbeat {
        cluster: None,
        incarnation: Uuid::from_u128(100 + number),
        offer: Uuid::from_u128(200 + number),
        internal_url: format!("http://internal{number}"),
        public_url: format!("http://public{number}"),
        replicas: vec![report],
        map_version: 0,
        parting: false,
        linked: None,
    }
}

fn member(number: u128) -> Member {
    Member {
        node: name(&format!("node{number}")),
        replica: Uuid::from_u128(number),
    }
}

/// Shard 1, led by node1, with a second replica on node2.
fn record() -> ShardRecord {
    ShardRecord {
        shard: ShardNo(1),
        log: 1,
        epoch: Epoch(1),
        leader: Some(Leader {
            member: member(1),
            incarnation: Uuid::from_u128(101),
        }),
        in_sync: vec![member(2), member(1)],
        eligible: Vec::new(),
        replicas: vec![member(2), member(1)],
        min_in_sync: 1,
        degraded: false,
        state: ShardState::Open,
        lineage: 0,
        version: 1,
    }
}

/// A book that heard of both nodes, and both answer.
fn book(now: Instant) -> Members {
    let members = Members::new(SESSION);
    for number in [1, 2] {
        let node = name(&format!("node{number}"));
        members.hear(&node, &heartbeat(number), now);
        members.sampled(&node, Some(NodeStats::default()), now);
    }
    members.set_records(vec![record()]);
    members
}

fn sighting(number: u128, age: Duration, heartbeat: Option<Heartbeat>) -> Sighting {
    let role = if heartbeat.is_some() {
        ServiceRole::Node
    } else {
        ServiceRole::Distributor
    };
    let kind = if heartbeat.is_some() { "node" } else { "dist" };
    Sighting {
        name: name(&format!("{kind}{number}")),
        role,
        internal_url: format!("http://internal{number}"),
        public_url: format!("http://public{number}"),
        incarnation: Uuid::from_u128(100 + number),
        heartbeat,
        age,
    }
}

// If this fails, a client is sent to a follower although the leader is well, or to a node that is
// down.
#[test]
fn the_leader_comes_first_and_the_dead_not_at_all() {
    let now = Instant::now();
    let members = book(now);
    assert_eq!(
        members.public_urls(ShardNo(1), now),
        ["http://public1", "http://public2"]
    );
    members.sampled(&name("node1"), None, now);
    assert_eq!(members.public_urls(ShardNo(1), now), ["http://public2"]);
    assert!(members.public_urls(ShardNo(1), now + SESSION).is_empty());
    assert!(members.public_urls(ShardNo(2), now).is_empty());
    assert_eq!(
        members.internal_url(&name("node1")).as_deref(),
        Some("http://internal1")
    );
}

// If this fails, a reader is sent to a copy that lacks what was acknowledged.
#[test]
fn only_members_of_the_set_are_named() {
    let now = Instant::now();
    let members = book(now);
    members.set_record(ShardRecord {
        in_sync: vec![member(1)],
        ..record()
    });
    assert_eq!(members.public_urls(ShardNo(1), now), ["http://public1"]);
}

// If this fails, new contents are stored where no copy of them is kept, although others keep one.
#[test]
fn a_shard_without_its_copies_is_short_of_them() {
    let now = Instant::now();
    let members = book(now);
    let short = |record| {
        members.set_record(record);
        members.places(now).1[0].open[0].lack == Lack::Copies
    };
    assert!(!short(record()));
    let alone = ShardRecord {
        in_sync: vec![member(1)],
        min_in_sync: 2,
        ..record()
    };
    assert!(short(alone));
    assert!(short(ShardRecord {
        degraded: true,
        ..record()
    }));
}

// If this fails, uploads go to a shard that waits for a node that has just died, although others do not.
#[test]
fn a_shard_is_cut_when_one_of_its_members_says_so() {
    let now = Instant::now();
    let members = book(now);
    let hears = |number: u128, linked: Option<&[&str]>| {
        let said = Heartbeat {
            linked: linked.map(|names| names.iter().map(|text| name(text)).collect()),
            ..heartbeat(number)
        };
        members.hear(&name(&format!("node{number}")), &said, now);
        members.places(now).1[0].open[0].lack
    };
    assert_eq!(hears(1, Some(&["node2", "node3"])), Lack::Nothing);
    assert_eq!(hears(2, Some(&["node3"])), Lack::Link, "the leader died");
    assert_eq!(hears(2, Some(&["node1"])), Lack::Nothing);
    assert_eq!(hears(1, Some(&[])), Lack::Link, "the follower died");
    members.set_record(ShardRecord {
        in_sync: vec![member(1)],
        degraded: true,
        ..record()
    });
    assert_eq!(hears(1, Some(&[])), Lack::Copies, "it left the set");
    members.set_record(record());
    assert_eq!(hears(1, None), Lack::Nothing, "an earlier version");
}

// If this fails, uploads go to a shard that the node does not lead, or has not made.
#[test]
fn a_place_is_where_this_process_leads_an_open_shard_that_it_holds() {
    let now = Instant::now();
    let members = book(now);
    let open = |members: &Members| {
        let (places, loads) = members.places(now);
        let node1 = places.iter().position(|place| place.node == name("node1"));
        let open = &loads[node1.expect("a known node")].open;
        open.iter().map(|open| open.shard).collect::<Vec<_>>()
    };
    assert_eq!(open(&members), [ShardNo(1)]);
    let (places, loads) = members.places(now);
    assert_eq!(places[1].node, name("node2"));
    assert!(loads[1].open.is_empty(), "a follower");
    let of_leader = OpenShard {
        shard: ShardNo(1),
        lack: Lack::Nothing,
        others: vec![1],
    };
    assert_eq!(loads[0].open, [of_leader]);

    members.set_record(ShardRecord {
        state: ShardState::Closed,
        ..record()
    });
    assert_eq!(open(&members), []);
    let another_process = Leader {
        member: member(1),
        incarnation: Uuid::from_u128(999),
    };
    members.set_record(ShardRecord {
        leader: Some(another_process),
        ..record()
    });
    assert_eq!(open(&members), []);
    members.set_record(record());
    let not_made = Heartbeat {
        replicas: Vec::new(),
        ..heartbeat(1)
    };
    members.hear(&name("node1"), &not_made, now);
    assert_eq!(open(&members), []);
}

// If this fails, the controller is asked twice a second for nothing, or not when it matters.
#[test]
fn a_heartbeat_says_whether_there_is_something_to_decide() {
    let now = Instant::now();
    let members = Members::new(SESSION);
    let hear = |heartbeat: &Heartbeat| members.hear(&name("node1"), heartbeat, now);
    assert_eq!(
        hear(&heartbeat(1)),
        Heard {
            process: true,
            decide: true
        }
    );
    assert_eq!(
        hear(&heartbeat(1)),
        Heard {
            process: false,
            decide: false
        }
    );
    let mut changed = heartbeat(1);
    changed.offer = Uuid::from_u128(7);
    assert_eq!(
        hear(&changed),
        Heard {
            process: false,
            decide: true
        }
    );
    changed.replicas[0].record = Some(record());
    assert_eq!(
        hear(&changed),
        Heard {
            process: false,
            decide: true
        }
    );
    changed.incarnation = Uuid::from_u128(8);
    assert_eq!(
        hear(&changed),
        Heard {
            process: true,
            decide: true
        }
    );
}

// If this fails, nodes fetch the whole shard map with every heartbeat, or miss a change of it.
#[test]
fn the_map_has_another_version_exactly_when_it_differs() {
    let now = Instant::now();
    let members = book(now);
    let before = members.snapshot();
    members.hear(&name("node1"), &heartbeat(1), now);
    members.set_records(vec![record()]);
    assert_eq!(members.snapshot(), before);
    assert_eq!(
        book(now).snapshot().version,
        before.version,
        "as every distributor names it"
    );

    members.set_record(ShardRecord {
        version: 2,
        ..record()
    });
    let after = members.snapshot();
    assert_ne!(after.version, before.version);
    members.set_records(vec![record()]);
    assert_eq!(members.snapshot().version, before.version);
    let moved = Heartbeat {
        internal_url: "http://elsewhere".to_owned(),
        ..heartbeat(1)
    };
    members.hear(&name("node1"), &moved, now);
    assert_ne!(members.snapshot().version, before.version);
}

// If this fails, every restart of a node holds up new shards, or nothing does, and the copies of a new
// cluster pile up on whoever registers first.
#[test]
fn a_node_is_known_since_its_first_heartbeat() {
    let begun = Instant::now();
    let members = Members::new(SESSION);
    members.exchanged(Some(begun));
    members.hear(&name("node1"), &heartbeat(1), begun);
    let later = begun + Duration::from_millis(300);
    members.hear(&name("node1"), &heartbeat(1), later);
    let restarted = Heartbeat {
        incarnation: Uuid::from_u128(99),
        ..heartbeat(1)
    };
    members.hear(&name("node1"), &restarted, later);
    let seen = members.seen(later + Duration::from_millis(50));
    let seen = &seen[&name("node1")];
    assert_eq!((seen.known_ms, seen.silent_ms), (350, 50));
}

// If this fails, a distributor forgets nodes that speak to another one, or prefers old news.
#[test]
fn what_others_heard_counts_unless_it_is_older() {
    let now = Instant::now() + SESSION * 10;
    let members = Members::new(SESSION);
    let fresh = sighting(1, Duration::ZERO, Some(heartbeat(1)));
    assert_eq!(members.learn(vec![fresh], now), [name("node1")]);
    assert!(
        members.heard_here(now).is_empty(),
        "what others heard is not told again"
    );
    assert!(members.seen(now)[&name("node1")].alive);

    members.hear(&name("node1"), &heartbeat(1), now);
    assert_eq!(members.heard_here(now).len(), 1);
    let moved = Heartbeat {
        internal_url: "http://old".to_owned(),
        ..heartbeat(1)
    };
    let old = sighting(1, Duration::from_millis(1), Some(moved));
    assert!(members.learn(vec![old], now).is_empty());
    assert_eq!(
        members.internal_url(&name("node1")).as_deref(),
        Some("http://internal1")
    );

    let silent = sighting(2, SESSION, Some(heartbeat(2)));
    members.learn(
        vec![
            silent,
            sighting(7, SESSION, None),
            sighting(8, Duration::ZERO, None),
        ],
        now,
    );
    assert!(!members.seen(now)[&name("node2")].alive);
    let health: Vec<Health> = members
        .distributors(now)
        .into_iter()
        .map(|each| each.2)
        .collect();
    assert_eq!(health, [Health::Down, Health::Up]);
}

// If this fails, a thousand places that were asked for at once all go to one node.
#[test]
fn promises_are_remembered_until_statistics_show_them() {
    let now = Instant::now();
    let members = book(now);
    let promised = |members: &Members| {
        let (_, loads) = members.places(now);
        let promises = loads.iter().map(|load| load.promises.total().bytes);
        promises.collect::<Vec<_>>()
    };
    let nobody = || std::iter::empty();
    members.promise(&name("node2"), nobody(), 500);
    members.promise(&name("node2"), [&name("node1")].into_iter(), 500);
    members.promise(&name("node9"), nobody(), 500);
    assert_eq!(promised(&members), [500, 1000]);
    for _ in 0..2 {
        members.sampled(&name("node1"), Some(NodeStats::default()), now);
        members.sampled(&name("node2"), Some(NodeStats::default()), now);
    }
    assert_eq!(promised(&members), [0, 0]);
}

// If this fails, `GET /stats` shows numbers of a node that is down as if they were true.
#[test]
fn statistics_are_shown_of_nodes_that_answer() {
    let now = Instant::now();
    let members = book(now);
    let shown = |now| {
        members
            .nodes(now)
            .iter()
            .map(|node| node.stats.is_some())
            .collect::<Vec<_>>()
    };
    assert_eq!(shown(now), [true, true]);
    members.sampled(&name("node2"), None, now);
    assert_eq!(shown(now), [true, false]);
    assert_eq!(shown(now + SESSION), [false, false]);

    // What a node said before one lost answer is still what it last said.
    let second = Duration::from_secs(1);
    let said = |age_max| members.said(now + second, age_max).len();
    assert_eq!((said(2 * second), said(second)), (2, 0));
}

// If this fails, the board grows with every record of every shard, twice a second.
#[test]
fn records_are_not_told_on_the_board() {
    let now = Instant::now();
    let members = Members::new(SESSION);
    members.set_record(record());
    let mut first = heartbeat(1);
    first.replicas[0].record = Some(record());
    members.hear(&name("node1"), &first, now);
    let told = members.heard_here(now + Duration::from_secs(1)).remove(0);
    assert_eq!(told.age, Duration::from_secs(1));
    assert_eq!(
        told.heartbeat.expect("a heartbeat").replicas[0].record,
        None
    );
    let kept = &members.seen(now)[&name("node1")].heartbeat;
    assert_eq!(kept.replicas[0].record, Some(record()));
}

// If this fails, a register that was put back to a backup is never restored where nodes speak to another
// distributor than the controller.
#[test]
fn a_record_that_the_register_lost_is_told_on_the_board() {
    let now = Instant::now();
    let members = Members::new(SESSION);
    let told = || {
        let told = members.heard_here(now).remove(0);
        told.heartbeat.expect("a heartbeat").replicas[0]
            .record
            .clone()
    };
    let silent = heartbeat(1);
    let mut telling = silent.clone();
    telling.replicas[0].record = Some(record());
    members.hear(&name("node1"), &telling, now);
    assert_eq!(told(), Some(record()));
    // It is sent once; the board may be written later.
    members.hear(&name("node1"), &silent, now);
    assert_eq!(told(), Some(record()));
    let mut newer = silent.clone();
    newer.replicas[0].record_version = 2;
    members.hear(&name("node1"), &newer, now);
    assert_eq!(told(), None, "it is not this one's");
    members.hear(&name("node1"), &telling, now);
    members.set_record(record());
    assert_eq!(told(), None, "it is restored");
}

// If this fails, an operator cannot see which copy is behind, and by how much.
#[test]
fn a_view_tells_how_far_each_replica_is() {
    let now = Instant::now();
    let members = book(now);
    for (number, lsn, contents) in [(1, 9, 4), (2, 7, 3)] {
        let mut said = heartbeat(number);
        said.replicas[0].end.lsn = Lsn(lsn);
        said.replicas[0].contents = contents;
        said.replicas[0].bytes = 10;
        members.hear(&name(&format!("node{number}")), &said, now);
    }
    let third = Member {
        node: name("node3"),
        replica: Uuid::from_u128(3),
    };
    members.set_record(ShardRecord {
        in_sync: vec![member(1)],
        replicas: vec![third, member(2), member(1)],
        ..record()
    });
    let (records, seen) = (members.records(), members.seen(now));
    let view = View {
        records: &records,
        nodes: &seen,
    };
    let shard = view.shards(&BTreeSet::from([ShardNo(1)])).remove(0);
    assert!(shard.waits);
    let rows: Vec<_> = shard
        .replicas
        .iter()
        .map(|each| (each.node.as_str(), each.in_sync, each.progress.lag))
        .collect();
    let expected = [
        ("node1", true, Some(0)),
        ("node2", false, Some(2)),
        ("node3", false, None),
    ];
    assert_eq!(rows, expected, "the leader first");
    assert_eq!(
        (shard.contents, shard.bytes, view.contents()),
        (4, 10, 4),
        "counted once"
    );
    let on_second = view.replicas_on(&name("node2"));
    assert_eq!(on_second[0].progress.position, Some(Lsn(7)));
    assert_eq!(on_second[0].progress.bytes, 10);
}

// If this fails, a shard whose leader is gone looks empty.
#[test]
fn without_a_leader_the_member_with_the_most_tells() {
    let now = Instant::now();
    let members = book(now);
    let mut said = heartbeat(2);
    said.replicas[0].end.lsn = Lsn(7);
    said.replicas[0].contents = 3;
    members.hear(&name("node2"), &said, now);
    members.set_record(ShardRecord {
        leader: None,
        ..record()
    });
    let (records, seen) = (members.records(), members.seen(now));
    let view = View {
        records: &records,
        nodes: &seen,
    };
    assert_eq!(view.contents(), 3);
    assert_eq!(view.shards(&BTreeSet::new())[0].leader, None);
}

// If this fails, clients are sent to a node that is about to end, until it does not answer any more.
#[test]
fn nobody_is_sent_to_a_node_that_parts() {
    let now = Instant::now();
    let members = book(now);
    let parting = Heartbeat {
        parting: true,
        ..heartbeat(1)
    };
    members.hear(&name("node1"), &parting, now);
    assert_eq!(members.public_urls(ShardNo(1), now), ["http://public2"]);
    assert!(!members.places(now).1[0].up);
    assert!(members.seen(now)[&name("node1")].alive, "it is not dead");
}

// If this fails, a shard waits for another leader longer than a session.
#[test]
fn the_end_of_a_session_is_known_before() {
    let now = Instant::now();
    let members = book(now);
    let later = now + Duration::from_secs(1);
    members.hear(&name("node2"), &heartbeat(2), later);
    assert_eq!(members.next_silence(now), Some(now + SESSION));
    let first_is_silent = now + SESSION;
    assert_eq!(members.next_silence(first_is_silent), Some(later + SESSION));
    assert_eq!(members.next_silence(later + SESSION), None);
}

// If this fails, who is to lead hears of it only with its next heartbeat.
#[test]
fn a_changed_record_is_told_to_whoever_listens() {
    let members = book(Instant::now());
    let mut changes = members.changes();
    members.set_record(record());
    assert_eq!(changes.try_recv().expect("is told"), record());
}
