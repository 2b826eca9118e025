//! The coordinator's contract: one suite for PostgreSQL, for SQLite and for ZooKeeper; and several
//! distributors before one coordinator.

use crate::support::fake_node::FakeNode;
use crate::support::{Fresh, Service, ask, at, fresh_path, row, upserts};
use dist::coordinator::{Coordinator, CoordinatorError};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;
use wire::shard::{Leader, Member, Revision, ShardRecord, ShardState};
use wire::{Epoch, Position, ShardNo};
use zktest::ZooKeeper;

crate::on_every_coordinator!(
    a_change_needs_the_version_it_was_made_from,
    of_many_changes_at_once_one_is_made,
    a_newer_record_restores_an_older_one,
    records_come_back_as_they_were,
    one_candidate_holds_the_office,
    an_office_whose_lease_ran_out_is_a_new_term,
    an_office_given_back_is_free_at_once,
);

const LONG: Duration = Duration::from_secs(60);

/// Of a record that was never restored.
pub(crate) fn revision(version: u64) -> Revision {
    Revision {
        lineage: 0,
        version,
    }
}

pub(crate) fn record(shard: u16, version: u64) -> ShardRecord {
    let node = "node1".parse().expect("a name");
    let member = Member {
        node,
        replica: Uuid::from_u128(u128::MAX),
    };
    ShardRecord {
        shard: ShardNo(shard),
        log: u64::MAX - 1,
        epoch: Epoch(3),
        leader: Some(Leader {
            member: member.clone(),
            incarnation: Uuid::from_u128(9),
        }),
        in_sync: vec![member.clone()],
        eligible: Vec::new(),
        replicas: vec![member],
        min_in_sync: 1,
        degraded: false,
        state: ShardState::Open,
        lineage: 0,
        version,
    }
}

async fn changed(coordinator: &Arc<dyn Coordinator>, expected: u64, version: u64) -> bool {
    let answer = coordinator
        .change(revision(expected), &record(1, version))
        .await
        .expect("an answer");
    answer.changed
}

// If this fails, two controllers give one shard to two leaders.
async fn a_change_needs_the_version_it_was_made_from(fresh: Fresh) {
    let coordinator = fresh.open().await.coordinator;
    assert!(changed(&coordinator, 0, 1).await);
    assert!(!changed(&coordinator, 0, 1).await, "it is there already");
    assert!(changed(&coordinator, 1, 2).await);
    let answer = coordinator
        .change(revision(1), &record(1, 2))
        .await
        .expect("an answer");
    assert_eq!((answer.changed, answer.record.version), (false, 2));
    let backwards = coordinator.change(revision(2), &record(1, 2)).await;
    assert!(
        matches!(backwards, Err(CoordinatorError::Order { .. })),
        "{backwards:?}"
    );
    assert_eq!(
        coordinator.records().await.expect("records"),
        [record(1, 2)]
    );
}

// If this fails, a race between distributors makes a change that nobody knows of.
async fn of_many_changes_at_once_one_is_made(fresh: Fresh) {
    let coordinator = fresh.open().await.coordinator;
    for expected in 0..10 {
        let all = (0..8).map(|_| changed(&coordinator, expected, expected + 1));
        let made = futures_util::future::join_all(all).await;
        assert_eq!(
            made.iter().filter(|made| **made).count(),
            1,
            "version {expected}"
        );
    }
}

// If this fails, a register from an old backup cannot be brought back to what nodes obey.
async fn a_newer_record_restores_an_older_one(fresh: Fresh) {
    let coordinator = fresh.open().await.coordinator;
    assert!(changed(&coordinator, 0, 7).await);
    assert!(changed(&coordinator, 7, 30).await);
    assert_eq!(
        coordinator.records().await.expect("records"),
        [record(1, 30)]
    );
    let mut restored = record(1, 9);
    restored.lineage = 1;
    let outcome = coordinator.change(revision(30), &restored).await;
    assert!(outcome.expect("an answer").changed);
    // Whoever goes on from the lineage before comes too late, whatever version it has.
    let mut onward = restored.clone();
    onward.version = 10;
    for (expected, next) in [(9, record(1, 10)), (9, onward.clone())] {
        let outcome = coordinator.change(revision(expected), &next).await;
        assert!(!outcome.expect("an answer").changed);
    }
    let outcome = coordinator.change(restored.revision(), &onward).await;
    assert!(outcome.expect("an answer").changed);
    let backwards = coordinator.change(onward.revision(), &record(1, 99)).await;
    assert!(
        matches!(backwards, Err(CoordinatorError::Order { .. })),
        "{backwards:?}"
    );
}

// If this fails, a node is told of another log, epoch or member than the one that was agreed.
async fn records_come_back_as_they_were(fresh: Fresh) {
    let coordinator = fresh.open().await.coordinator;
    let mut leaderless = record(65535, 1);
    leaderless.leader = None;
    leaderless.degraded = true;
    leaderless.state = ShardState::Closed;
    for record in [&leaderless, &record(2, 1)] {
        assert!(
            coordinator
                .change(revision(0), record)
                .await
                .expect("an answer")
                .changed
        );
    }
    assert_eq!(
        coordinator.records().await.expect("records"),
        [record(2, 1), leaderless]
    );
}

// If this fails, two distributors assign leaders at the same time.
async fn one_candidate_holds_the_office(fresh: Fresh) {
    let coordinator = fresh.open().await.coordinator;
    let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let term = coordinator
        .campaign(first, LONG)
        .await
        .expect("an answer")
        .expect("free");
    assert_eq!(
        coordinator.campaign(second, LONG).await.expect("an answer"),
        None
    );
    let kept = coordinator.campaign(first, LONG).await.expect("an answer");
    assert_eq!(kept, Some(term), "keeping the office is no new term");
    coordinator.resign(second).await.expect("an answer");
    assert_eq!(
        coordinator.campaign(second, LONG).await.expect("an answer"),
        None
    );
}

// If this fails, a controller that slept through its lease goes on as if nothing had happened.
async fn an_office_whose_lease_ran_out_is_a_new_term(fresh: Fresh) {
    let coordinator = fresh.open().await.coordinator;
    let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let take = async |candidate, lease| {
        coordinator
            .campaign(candidate, lease)
            .await
            .expect("an answer")
            .map(|term| term.number)
    };
    let begun = take(first, Duration::ZERO).await.expect("free");
    let again = take(first, Duration::ZERO).await.expect("free");
    assert!(
        again > begun,
        "the same candidate after its lease: {begun}, {again}"
    );
    let other = take(second, LONG).await.expect("free");
    assert!(other > again);
    assert_eq!(take(first, LONG).await, None);
}

// If this fails, a rolling restart waits a whole session for each distributor.
async fn an_office_given_back_is_free_at_once(fresh: Fresh) {
    let coordinator = fresh.open().await.coordinator;
    let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let term = coordinator
        .campaign(first, LONG)
        .await
        .expect("an answer")
        .expect("free");
    coordinator.resign(first).await.expect("an answer");
    let next = coordinator
        .campaign(second, LONG)
        .await
        .expect("an answer")
        .expect("free");
    assert!(next.number > term.number);
}

async fn named(name: &str, fresh: &Fresh) -> Service {
    let mut own = fresh.config();
    own.name = name.parse().expect("a name");
    Service::start(own).await
}

async fn controllers(all: &[&Service]) -> usize {
    let mut count = 0;
    for dist in all {
        let metrics = dist
            .request("GET", "/metrics")
            .send()
            .await
            .expect("an answer");
        let text = metrics.text().await.expect("text");
        count += usize::from(text.lines().any(|line| line == "acequia_dist_controller 1"));
    }
    count
}

/// Waits until two distributors say the same, and this of it is so. Each node speaks to its own one
/// meanwhile: whoever was silent for a session is not told of.
async fn told_alike(pairs: [(&FakeNode, &Service); 2], path: &str, is_so: impl Fn(&Value) -> bool) {
    let [(here, first), (there, second)] = pairs;
    first
        .until(async || {
            here.beat(first).await;
            there.beat(second).await;
            let told = first.json(path).await;
            is_so(&told) && told == second.json(path).await
        })
        .await;
}

#[tokio::test]
async fn distributors_on_postgres_know_the_same_and_one_decides() {
    they_know_the_same_and_one_decides(Fresh::postgres()).await;
}

#[tokio::test]
async fn distributors_on_zookeeper_know_the_same_and_one_decides() {
    let mut fresh = Fresh::postgres();
    fresh.coordinator = Some(fresh_path(ZooKeeper::shared()));
    they_know_the_same_and_one_decides(fresh).await;
}

// If this fails, a second distributor knows nothing of the nodes that speak to the first, or both
// make shards.
async fn they_know_the_same_and_one_decides(fresh: Fresh) {
    let first = named("dist", &fresh).await;
    let second = named("dist2", &fresh).await;
    let mut here = FakeNode::start("node1").await;
    let mut there = FakeNode::start("node2").await;
    here.join(&first).await;
    let mut shard = None;
    second
        .until(async || {
            here.beat(&first).await;
            there.obey(&second).await;
            shard = there.heartbeat.replicas.first().map(|report| report.shard);
            shard.is_some()
        })
        .await;
    assert_eq!(
        shard.map(|shard| shard.0),
        Some(2),
        "the controller heard of it from the board"
    );
    for dist in [&first, &second] {
        dist.until(async || {
            here.beat(&first).await;
            there.beat(&second).await;
            let nodes = dist.json("/nodes").await["nodes"].clone();
            ["dist", "dist2", "node1", "node2"]
                .iter()
                .all(|name| nodes[name]["health"] == "up")
                && dist.ask("GET", "/store").await.0 == 200
        })
        .await;
    }
    let pairs = [(&here, &first), (&there, &second)];
    let are_two = |all: &Value| all["shards"].as_array().map(Vec::len) == Some(2);
    told_alike(pairs, "/shards", are_two).await;
    first
        .until(async || {
            here.beat(&first).await;
            there.beat(&second).await;
            controllers(&[&first, &second]).await == 1
        })
        .await;

    // What one lists the other shows, and a batch that was sent to both is applied once.
    let part = upserts(1, Position::default(), at(1, 1), [row(1, 1)]);
    let both = tokio::join!(first.list(vec![part.clone()]), second.list(vec![part]));
    let applied = [both.0.1, both.1.1]
        .iter()
        .filter(|a| a["parts"][0]["applied"] == true)
        .count();
    assert_eq!(applied, 1);
    assert_eq!(
        second.list(vec![ask(1)]).await.1["parts"][0]["listed"]["lsn"],
        json!(1)
    );
    let place = json!([here.heartbeat.public_url]);
    let is_placed = |all: &Value| all["items"][0]["uris"] == place;
    told_alike(pairs, "/content", is_placed).await;

    // The office changes hands when its holder stops.
    first.stop().await;
    second
        .until(async || controllers(&[&second]).await == 1)
        .await;
    second.stop().await;
}
