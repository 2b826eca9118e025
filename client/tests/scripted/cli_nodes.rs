//! Commands about nodes and shards.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use client::api::{LeaderError, Leaderless, LogError};
use client::cli::failure::{Caused, Kind};
use serde_json::Value;
use wire::{Code, Lsn, ShardNo};

use crate::command::{binary, run, signal};
use crate::fake::{Fake, Fault};
use crate::patient_client;

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

// If this fails, nobody sees who holds a shard, or programs cannot read it.
#[test]
fn shards_are_shown() {
    let fake = Fake::start();
    let ran = run(&fake, here(), &["shards"]);
    let row: Vec<&str> = ran
        .out
        .lines()
        .nth(1)
        .expect("a row")
        .split_whitespace()
        .collect();
    let expected = [
        "1", "open", "4", "node1", "node1", "-", "0", "3", "2.0", "KiB", "0", "ok",
    ];
    assert_eq!(row, expected, "{}", ran.err);
    let ran = run(&fake, here(), &["shards", "--json"]);
    let line: Value = serde_json::from_str(ran.out.trim_end()).expect("one line of JSON");
    assert_eq!(line["replicas"][0]["position"], 7);
}

// If this fails, an operator switches off a node that still holds the only copy of something.
#[test]
fn draining_waits_until_nothing_is_left() {
    let fake = Fake::start();
    fake.drains_by(&[2, 1, 0]);
    let ran = run(&fake, here(), &["drain", "node1"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "node1 is empty\n"));
    assert!(
        ran.err.contains("node1: 2 shards, 2.0 KiB left"),
        "{}",
        ran.err
    );
    assert!(
        ran.err.contains("node1: 1 shard, 1.0 KiB left, about"),
        "{}",
        ran.err
    );
    assert_eq!(fake.seen("POST /nodes/node1/drain").len(), 1);
}

// If this fails, a script that only gives the order hangs, or an order cannot be taken back.
#[test]
fn draining_need_not_be_waited_for_and_can_be_undone() {
    let fake = Fake::start();
    fake.drains_by(&[2]);
    let ran = run(&fake, here(), &["drain", "node1", "--no-wait"]);
    assert_eq!(
        ran.out, "node1 still holds 2 shards, 2.0 KiB\n",
        "{}",
        ran.err
    );
    let ran = run(&fake, here(), &["drain", "node1", "--undo"]);
    assert_eq!(ran.out, "node1 is not drained\n", "{}", ran.err);
    let ran = run(&fake, here(), &["drain", "node1"]);
    assert_eq!(ran.code, Some(3), "there is no such node: {}", ran.err);
}

// If this fails, a node that holds something is removed, or one that is gone stays in every list.
#[test]
fn a_node_is_removed_unless_it_is_in_use() {
    let fake = Fake::start();
    fake.drains_by(&[1]);
    let ran = run(&fake, here(), &["remove", "node1"]);
    assert_eq!(ran.code, Some(7), "{}", ran.err);
    assert!(ran.err.contains("client drain"), "{}", ran.err);
    let fake = Fake::start();
    fake.fail(
        "DELETE /nodes/node1",
        Fault::Refuse(Code::CatalogUnavailable),
    );
    let ran = run(&fake, here(), &["remove", "node1", "--force"]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (Some(0), "node1\n"),
        "{}",
        ran.err
    );
    let seen = fake.seen("DELETE /nodes/node1");
    assert_eq!((seen.len(), seen[1].query.as_str()), (2, "force=true"));
}

// If this fails, an operator is told that a node is not there, which he has just removed.
#[test]
fn a_removal_whose_answer_was_lost_is_done() {
    let fake = Fake::start();
    fake.fail("DELETE /nodes/node1", Fault::DoAndDrop);
    fake.fail("DELETE /nodes/node1", Fault::Refuse(Code::NotFound));
    let ran = run(&fake, here(), &["remove", "node1"]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (Some(0), "node1\n"),
        "{}",
        ran.err
    );
    // Nothing was removed before that.
    fake.fail(
        "DELETE /nodes/node1",
        Fault::Refuse(Code::CatalogUnavailable),
    );
    fake.fail("DELETE /nodes/node1", Fault::Refuse(Code::NotFound));
    let ran = run(&fake, here(), &["remove", "node1", "--force"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(3), ""), "{}", ran.err);
}

// If this fails, an operator does not see when all is moved, or cannot stop it.
#[test]
fn rebalancing_is_waited_for_and_can_be_stopped() {
    let fake = Fake::start();
    fake.is_unequal_for(2);
    let ran = run(&fake, here(), &["rebalance"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(
        ran.out.starts_with("nothing is being moved: "),
        "{}",
        ran.out
    );
    assert!(
        ran.err.contains("to move, copies on their way: 0"),
        "{}",
        ran.err
    );
    assert_eq!(fake.seen("GET /nodes").len(), 2);
    fake.is_unequal_for(9);
    let ran = run(&fake, here(), &["rebalance", "--no-wait"]);
    assert!(
        ran.out.starts_with("replicas are being moved"),
        "{}",
        ran.err
    );
    let ran = run(&fake, here(), &["rebalance", "--undo"]);
    assert!(ran.out.starts_with("nothing is being moved"), "{}", ran.err);
    assert_eq!(fake.seen("DELETE /rebalance").len(), 1);
}

// If this fails, an operator does not learn that something waits for him, or that nothing does.
#[test]
fn what_waits_is_shown_with_its_copies() {
    let fake = Fake::start();
    let ran = run(&fake, here(), &["recover"]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (Some(0), "nothing waits\n"),
        "{}",
        ran.err
    );
    let ran = run(&fake, here(), &["recover", "--json"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), ""));
    let ran = run(&fake, here(), &["shards"]);
    assert!(!ran.err.contains("client recover"), "{}", ran.err);

    fake.waits();
    let ran = run(&fake, here(), &["recover"]);
    assert!(ran.out.contains("last led by node1"), "{}", ran.out);
    assert!(ran.out.contains("2+?") && ran.out.contains("behind"));
    assert!(ran.err.contains("client recover SHARD"), "{}", ran.err);
    let ran = run(&fake, here(), &["recover", "--json"]);
    let line: Value = serde_json::from_str(ran.out.trim_end()).expect("one line of JSON");
    assert_eq!(line["copies"][0]["loss"]["records"], 2);
    let ran = run(&fake, here(), &["shards"]);
    assert!(ran.out.contains("no leader"), "{}", ran.out);
    assert!(ran.err.contains("client recover"), "{}", ran.err);
}

// If this fails, a shard is given up without anybody's having said so, or cannot be by a script.
#[test]
fn a_copy_is_chosen_only_when_that_is_meant() {
    let fake = Fake::start();
    let chosen = |arguments: &[&str]| {
        let all: Vec<&str> = ["recover", "1", "--from"]
            .iter()
            .chain(arguments)
            .copied()
            .collect();
        run(&fake, here(), &all)
    };
    let asked = || fake.seen("POST /shards/1/recover").len();
    let ran = chosen(&["node2", "--yes"]);
    assert_eq!(ran.code, Some(7), "it waits for nobody: {}", ran.err);
    fake.waits();
    let before = asked();
    let ran = chosen(&["node2"]);
    assert_eq!(
        (ran.code, asked()),
        (Some(2), before),
        "nobody can be asked"
    );
    assert!(ran.err.contains("--yes"), "{}", ran.err);
    let ran = chosen(&["node3", "--yes"]);
    assert_eq!(ran.code, Some(7));
    assert!(ran.err.contains("--force"), "{}", ran.err);
    let ran = chosen(&["node2", "--yes"]);
    let told = "shard 1 is led by node2 in epoch 5, over node1; lost: at most 2 records that are \
                known of, maybe more\n";
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), told), "{}", ran.err);
    let ran = chosen(&["node3", "--yes", "--force", "--json"]);
    let line: Value = serde_json::from_str(ran.out.trim_end()).expect("one line of JSON");
    assert_eq!(line["node"], "node3");
    // A lost answer does not choose again.
    let before = asked();
    fake.fail("POST /shards/1/recover", Fault::DoAndDrop);
    assert_eq!(chosen(&["node2", "--yes"]).code, Some(4));
    assert_eq!(asked(), before + 1);
}

// If this fails, the log is told in part, twice, or not where the leader went.
#[test]
fn the_log_is_told_once_and_whole() {
    let fake = Fake::start();
    fake.logs(2500);
    fake.fail("GET /log", Fault::Drop);
    fake.fail("GET /log", Fault::Refuse(Code::NoLeader));
    let ran = run(&fake, here(), &["log"]);
    let lsns: Vec<u64> = ran
        .out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .map(|line| line["lsn"].as_u64().expect("a number"))
        .collect();
    assert_eq!(lsns, (1..=2500).collect::<Vec<u64>>(), "{}", ran.err);
    assert_eq!(ran.code, Some(0));
    let ran = run(&fake, here(), &["log", "--shard", "7"]);
    let told = "there is no shard 7";
    assert_eq!((ran.code, ran.out.as_str()), (Some(3), ""), "{}", ran.err);
    assert!(ran.err.contains(told), "{}", ran.err);
}

// If this fails, a log that nobody could tell looks like one in which nothing was done.
#[test]
fn a_distributor_that_knows_of_no_shard_tells_no_log() {
    let fake = Fake::start();
    let none = r#"{"cluster": "c9a646d3-9c61-4cb7-bfcd-ee2522c8f633", "nodes": {}, "shards": []}"#;
    fake.fail("GET /nodes", Fault::Foreign(200, none));
    let ran = run(&fake, here(), &["log"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(8), ""), "{}", ran.err);
    for told in ["knows of no shard yet", "hint: "] {
        assert!(ran.err.contains(told), "{}", ran.err);
    }
}

/// Shard 1 without a leader.
const LEADERLESS: &str = r#"{
    "cluster": "c9a646d3-9c61-4cb7-bfcd-ee2522c8f633", "nodes": {},
    "shards": [{
        "shard": 1, "state": "open", "epoch": 4, "leader": null, "in_sync": ["node1"],
        "eligible": [], "min_in_sync": 1, "degraded": false, "bytes": 0, "contents": 0,
        "replicas": []
    }]
}"#;

// If this fails, a log is told without a shard that had no leader for a moment, as if it were whole.
#[tokio::test]
async fn a_shard_that_nobody_leads_is_waited_for() {
    let fake = Fake::start();
    fake.logs(3);
    for _ in 0..3 {
        fake.fail("GET /nodes", Fault::Foreign(200, LEADERLESS));
    }
    let ran = run(&fake, here(), &["log"]);
    assert_eq!(
        (ran.code, ran.out.lines().count()),
        (Some(0), 3),
        "{}",
        ran.err
    );
    for _ in 0..100 {
        fake.fail("GET /nodes", Fault::Foreign(200, LEADERLESS));
    }
    let client = patient_client(&fake, None, Duration::from_millis(500));
    let error = client
        .log(None, Leaderless::Await)
        .next()
        .await
        .expect_err("nobody leads");
    let none = |error: &LogError| matches!(error, LogError::Leader(LeaderError::None(ShardNo(1))));
    assert!(none(&error), "{error}");
    assert_eq!(error.kind(), Kind::Unavailable);
    let mut followed = client.log(None, Leaderless::PassOver);
    assert_eq!(followed.next().await.expect("goes on"), None);
    fake.heal();
    let first = followed.next().await.expect("goes on").expect("a line");
    assert_eq!(first.lsn, Lsn(1));
}

// If this fails, whoever follows the log misses what is done from now on, or sees the old again.
#[test]
fn the_log_is_followed_from_where_it_was() {
    let fake = Fake::start();
    fake.logs(2);
    let mut child = binary(&fake, here(), &["log", "--follow"])
        .spawn()
        .expect("starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut next = || {
        let line = lines.next().expect("a line").expect("text");
        let line: Value = serde_json::from_str(&line).expect("JSON");
        line["lsn"].as_u64()
    };
    assert_eq!([next(), next()], [Some(1), Some(2)]);
    fake.logs(3);
    assert_eq!(next(), Some(3));
    signal(&child, "-INT");
    assert_eq!(child.wait().expect("ends").code(), Some(130));
}
