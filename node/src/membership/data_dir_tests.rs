//! Tests of the data directory.

use super::*;
use std::convert::Infallible;
use wire::position::Epoch;
use wire::shard::ShardState;

fn node() -> NodeName {
    "node1".parse().expect("a name")
}

fn make(dir: &mut DataDir, shard: u16) -> Uuid {
    let offer = dir.identity().offer();
    dir.make_replica(new(shard, offer), |_| Ok::<_, Infallible>(()))
        .expect("makes");
    offer
}

fn new(shard: u16, replica: Uuid) -> NewReplica {
    NewReplica {
        shard: ShardNo(shard),
        replica,
        log: 9,
    }
}

fn record(shard: u16) -> ShardRecord {
    ShardRecord {
        shard: ShardNo(shard),
        log: 9,
        epoch: Epoch(1),
        leader: None,
        in_sync: vec![],
        eligible: vec![],
        replicas: vec![],
        min_in_sync: 1,
        degraded: false,
        state: ShardState::Open,
        lineage: 0,
        version: 4,
    }
}

// If this fails, two processes write into one log.
#[test]
fn a_second_process_is_refused() {
    let root = tempfile::tempdir().expect("a folder");
    let first = DataDir::open(root.path(), &node()).expect("opens");
    let error = DataDir::open(root.path(), &node()).expect_err("is locked");
    assert!(matches!(error, DataDirError::Locked(_)));
    drop(first);
    DataDir::open(root.path(), &node()).expect("opens again");
}

// If this fails, a replica obeys a record that it does not have after a restart, or all of them refuse theirs
// because one cannot be kept.
#[test]
fn of_records_that_are_kept_together_each_stands_for_itself() {
    let root = tempfile::tempdir().expect("a folder");
    let mut dir = DataDir::open(root.path(), &node()).expect("opens");
    let here = [1, 2, 3, 5, 6, 7, 8];
    for shard in here {
        make(&mut dir, shard);
    }
    for count in 0..=8 {
        let records: Vec<ShardRecord> = (1..=count).map(record).collect();
        let kept = dir.keep_records(&records);
        let kept: Vec<bool> = kept.iter().map(Result::is_ok).collect();
        let expected: Vec<bool> = (1..=count).map(|shard| here.contains(&shard)).collect();
        assert_eq!(kept, expected, "the fourth has no folder");
    }
    for held in dir.replicas().expect("lists") {
        let held = held.expect("reads");
        assert_eq!(held.record, Some(record(held.shard.0)));
    }
}

// If this fails, a restarted node does not know what it holds, or obeys an older record.
#[test]
fn replicas_and_records_are_found_again() {
    let root = tempfile::tempdir().expect("a folder");
    let mut dir = DataDir::open(root.path(), &node()).expect("opens");
    let (third, first) = (make(&mut dir, 3), make(&mut dir, 1));
    dir.keep_record(&record(3)).expect("writes");
    drop(dir);

    let dir = DataDir::open(root.path(), &node()).expect("opens");
    let held: Vec<HeldReplica> = dir
        .replicas()
        .expect("lists")
        .into_iter()
        .map(|held| held.expect("reads"))
        .collect();
    let expected = [
        HeldReplica {
            shard: ShardNo(1),
            replica: first,
            log: 9,
            log_dir: root.path().join("shards/1/log"),
            consistent_from: None,
            record: None,
        },
        HeldReplica {
            shard: ShardNo(3),
            replica: third,
            log: 9,
            log_dir: root.path().join("shards/3/log"),
            consistent_from: None,
            record: Some(record(3)),
        },
    ];
    assert_eq!(held, expected);
    assert!(root.path().join("shards/3/log").is_dir());
}

// If this fails, a crash while a replica is made leaves a shard that nobody can ever lead.
#[test]
fn an_unfinished_replica_leaves_its_offer_standing() {
    let root = tempfile::tempdir().expect("a folder");
    let mut dir = DataDir::open(root.path(), &node()).expect("opens");
    let offer = dir.identity().offer();
    let failed = dir.make_replica(new(1, offer), |_| Err("disk full"));
    assert!(matches!(failed, Err(MakeReplicaError::Log("disk full"))));
    drop(dir);

    let mut dir = DataDir::open(root.path(), &node()).expect("opens");
    assert!(dir.identity().offers.contains(&offer));
    assert!(dir.replicas().expect("lists").is_empty());
    dir.make_replica(new(1, offer), |_| Ok::<_, Infallible>(()))
        .expect("makes");
    assert!(!dir.identity().offers.contains(&offer));
}

// If this fails, a node whose disk refused one write offers what it never makes any more, until it is restarted.
#[test]
fn an_offer_whose_use_could_not_be_kept_stands() {
    let root = tempfile::tempdir().expect("a folder");
    let mut dir = DataDir::open(root.path(), &node()).expect("opens");
    let offer = dir.identity().offer();
    let spare = root.path().join("node.spare");
    std::fs::remove_file(&spare).expect("the next write's");
    std::fs::create_dir(&spare).expect("in its way");
    let make = |dir: &mut DataDir| {
        let made = dir.make_replica(new(1, offer), |_| Ok::<_, Infallible>(()));
        made.is_ok()
    };
    assert!(!make(&mut dir));
    assert_eq!(dir.identity().offer(), offer);
    std::fs::remove_dir(&spare).expect("out of its way");
    assert!(make(&mut dir));
    assert!(!dir.identity().offers.contains(&offer));
}

// If this fails, one unreadable file hides every shard of the node.
#[test]
fn a_broken_folder_hides_no_other() {
    let root = tempfile::tempdir().expect("a folder");
    let mut dir = DataDir::open(root.path(), &node()).expect("opens");
    make(&mut dir, 1);
    make(&mut dir, 2);
    fs::write(root.path().join("shards/1/replica.json"), "[").expect("writes");
    let replicas = dir.replicas().expect("lists");
    assert!(matches!(replicas[0], Err(DataDirError::Form { .. })));
    assert!(replicas[1].is_ok());
}

// If this fails, a node joins a second cluster with the data of the first.
#[test]
fn the_cluster_is_remembered() {
    let root = tempfile::tempdir().expect("a folder");
    let mut dir = DataDir::open(root.path(), &node()).expect("opens");
    assert_eq!(dir.identity().cluster, None);
    let cluster = Uuid::from_u128(1);
    dir.join_cluster(cluster).expect("writes");
    drop(dir);
    let dir = DataDir::open(root.path(), &node()).expect("opens");
    assert_eq!(dir.identity().cluster, Some(cluster));
}

// If this fails, a node never takes the new replica of a shard whose old one could not be opened: its
// folder stands in the way, at each heartbeat again, and the shard has a copy less for good.
#[test]
fn a_folder_that_nobody_holds_makes_way() {
    let root = tempfile::tempdir().expect("a folder");
    let mut dir = DataDir::open(root.path(), &node()).expect("opens");
    let first = make(&mut dir, 1);
    let mark = |text: &str| fs::write(root.path().join("shards/1/log/mark"), text);
    mark("first").expect("writes");
    // Its log could not be opened.
    make(&mut dir, 1);
    // Not even whose it was can be read.
    mark("second").expect("writes");
    fs::write(root.path().join("shards/1/replica.json"), "[").expect("writes");
    let third = make(&mut dir, 1);
    let held = dir.replicas().expect("lists").remove(0).expect("reads");
    assert_eq!(held.replica, third);
    let kept = |name: &str| {
        let path = root.path().join(QUARANTINE).join(name).join("log/mark");
        fs::read_to_string(path).expect("is kept")
    };
    assert_eq!(kept(&format!("1-{first}")), "first");
    assert_eq!(kept("1-unknown"), "second");
}
