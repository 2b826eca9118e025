//! Commands about nodes and shards.

mod followed;
mod log;

use std::path::Path;

use serde_json::{Value, json};
use wire::Code;

use crate::command::run;
use crate::fake::{Fake, Fault};

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
        "1", "open", "4", "node1", "node1", "-", "7", "0", "3", "2.0", "KiB", "0", "ok",
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
        ran.out, "node1 still holds 2 shards, 2.0 KiB to copy\n",
        "{}",
        ran.err
    );
    let ran = run(&fake, here(), &["drain", "node1", "--undo"]);
    assert_eq!(ran.out, "node1 is not drained\n", "{}", ran.err);
    let ran = run(&fake, here(), &["drain", "node1"]);
    assert_eq!(ran.code, Some(3), "there is no such node: {}", ran.err);
}

// If this fails, somebody waits for a drain that cannot end, and does not learn what is missing.
#[test]
fn a_drain_that_cannot_end_says_why() {
    let fake = Fake::start();
    fake.drains_by(&[1, 1, 1, 0]);
    let ran = run(&fake, here(), &["drain", "node1"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let words = "node1: no other node can take 1 shard: add a node, or lower `copies`\n";
    assert_eq!(ran.err.matches(words).count(), 1, "once: {}", ran.err);
}

// If this fails, a wait of hours ends because statistics could not be had at one look, and an operator takes a
// node for emptied.
#[test]
fn a_wait_bears_statistics_that_cannot_be_had() {
    let fake = Fake::start();
    fake.drains_by(&[1, 1, 0]);
    fake.fail("GET /stats", Fault::Foreign(500, "out of order"));
    let ran = run(&fake, here(), &["drain", "node1"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "node1 is empty\n"));
    let told = "node1: cannot ask who has room for copies: ";
    assert_eq!(ran.err.matches(told).count(), 1, "{}", ran.err);
    let fake = Fake::start();
    fake.copies_by(&[0, 1024]);
    fake.fail("GET /stats", Fault::Foreign(500, "out of order"));
    let ran = run(&fake, here(), &["remove", "node1", "--force"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.err.contains(told), "{}", ran.err);
}

// If this fails, an operator thinks that all is mirrored again when the dead node is only forgotten.
#[test]
fn after_a_removal_by_force_the_copies_are_waited_for() {
    let fake = Fake::start();
    fake.copies_by(&[0, 1024]);
    let ran = run(&fake, here(), &["remove", "node1", "--force"]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (Some(0), "node1\n"),
        "{}",
        ran.err
    );
    assert!(
        ran.err.contains("node1: 1 shard, 2.0 KiB left\n"),
        "{}",
        ran.err
    );
    assert!(
        ran.err.ends_with("has all its copies again\n"),
        "{}",
        ran.err
    );
    assert_eq!(fake.seen("GET /nodes").len(), 4);
    let fake = Fake::start();
    fake.copies_by(&[0, 1024]);
    let ran = run(&fake, here(), &["remove", "node1", "--force", "--no-wait"]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (Some(0), "node1\n"),
        "{}",
        ran.err
    );
    assert_eq!(fake.seen("GET /nodes").len(), 0);
}

// If this fails, an operator reads JSON instead of the reason that a node gives, and restarts it for nothing.
#[test]
fn the_reason_of_a_node_that_is_not_ready_is_told() {
    let fake = Fake::start();
    let body = r#"{"status": "unready", "reason": "no shard is held yet"}"#;
    for _ in ["dist", "node1"] {
        fake.fail("GET /health/ready", Fault::Foreign(503, body));
    }
    let ran = run(&fake, here(), &["doctor"]);
    let told = "ready          node1: is not ready: no shard is held yet\n";
    assert!(ran.out.contains(told), "{}", ran.out);
    assert_eq!(ran.code, Some(1));
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

/// What a distributor says of nodes that hold so many KiB.
fn holding(loads: &[(&str, u64)], rebalancing: bool) -> &'static str {
    let node = |(name, kib): &(&str, u64)| {
        let held = json!({"shard": 1, "role": "leader", "state": "open", "bytes": kib * 1024});
        let node = json!({
            "host": "h", "port": 1, "public_url": "http://h", "role": "node", "health": "up",
            "shards": [held],
        });
        ((*name).to_owned(), node)
    };
    let nodes: serde_json::Map<String, Value> = loads.iter().map(node).collect();
    let cluster = "c9a646d3-9c61-4cb7-bfcd-ee2522c8f633";
    let answer = json!({"cluster": cluster, "nodes": nodes, "rebalancing": rebalancing});
    answer.to_string().leak()
}

/// What a distributor says of nodes that may hold so many KiB; nothing of those that have not told it.
fn with_room(rooms: &[(&str, Option<u64>)]) -> &'static str {
    let told = |kib: u64| wire::stats::NodeStats {
        max_storage: kib * 1024,
        ..Default::default()
    };
    let node = |(name, room): &(&str, Option<u64>)| ((*name).to_owned(), json!(room.map(told)));
    let nodes: serde_json::Map<String, Value> = rooms.iter().map(node).collect();
    let answer = json!({"nodes": nodes, "total": wire::stats::NodeStats::default()});
    answer.to_string().leak()
}

// If this fails, an operator is told that much is left to be moved where all nodes are equally full.
#[test]
fn what_is_to_be_moved_is_weighed_by_what_nodes_may_hold() {
    let fake = Fake::start();
    let rooms = with_room(&[("node1", Some(1000)), ("node2", Some(4000))]);
    let rebalanced = |loads: &[(&str, u64)]| {
        fake.fail("POST /rebalance", Fault::Foreign(200, holding(loads, true)));
        for _ in 0..2 {
            fake.fail("GET /stats", Fault::Foreign(200, rooms));
        }
        fake.fail("GET /nodes", Fault::Foreign(200, holding(loads, false)));
        let ran = run(&fake, here(), &["rebalance"]);
        fake.heal();
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        (ran.out, ran.err)
    };
    let (out, err) = rebalanced(&[("node1", 100), ("node2", 400)]);
    let told = "nothing is being moved: 100.0 KiB (10.0 %) to 400.0 KiB (10.0 %) a node\n";
    assert_eq!(out, told);
    assert!(err.contains("about 0 B to move"), "{err}");
    let (out, err) = rebalanced(&[("node1", 500), ("node2", 500)]);
    let told = "nothing is being moved: 500.0 KiB (12.5 %) to 500.0 KiB (50.0 %) a node\n";
    assert_eq!(out, told);
    assert!(err.contains("about 300.0 KiB to move"), "{err}");
}

// If this fails, an operator waits for hours for moves that do not begin, and does not learn why.
#[test]
fn a_rebalancing_that_stands_still_says_why() {
    let fake = Fake::start();
    let waiting = |nodes: &'static str, stats: &'static str| {
        fake.fail("POST /rebalance", Fault::Foreign(200, nodes));
        for _ in 0..2 {
            fake.fail("GET /nodes", Fault::Foreign(200, nodes));
            fake.fail("GET /stats", Fault::Foreign(200, stats));
        }
        let ran = run(&fake, here(), &["rebalance"]);
        fake.heal();
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        ran.err
    };
    let loads = [("node1", 1), ("node2", 2), ("node3", 3)];
    let rooms = [("node1", Some(100)), ("node2", Some(100)), ("node3", None)];
    let err = waiting(holding(&loads, true), with_room(&rooms));
    let told = "rebalance: nothing begins while node3 lives and has not told how much it may hold";
    assert_eq!(err.matches(told).count(), 1, "{err}");
    let mut outage: Value = serde_json::from_str(holding(&loads, true)).expect("JSON");
    outage["nodes"]["node1"]["health"] = "down".into();
    let replica = |node| json!({"node": node, "role": "follower", "in_sync": true});
    outage["shards"] = json!([{
        "shard": 1, "state": "open", "epoch": 4, "leader": "node2", "in_sync": ["node1", "node2"],
        "eligible": [], "min_in_sync": 1, "degraded": false, "bytes": 2048, "contents": 3,
        "replicas": [replica("node1"), replica("node2")],
    }]);
    let err = waiting(outage.to_string().leak(), with_room(&rooms));
    let told = "rebalance: nothing is copied while more than a third of the nodes";
    assert_eq!(err.matches(told).count(), 1, "{err}");
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
    let row = ran.out.lines().nth(1).expect("a row");
    let begins: Vec<&str> = row.split_whitespace().take(5).collect();
    assert_eq!(begins, ["1", "open", "4", "-", "node1"], "nobody leads it");
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
