//! The coordinator's contract: one suite for PostgreSQL and for SQLite.

use crate::support::Fresh;
use dist::coordinator::{Coordinator, CoordinatorError};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;
use wire::shard::{Leader, Member, ShardRecord, ShardState};
use wire::{Epoch, ShardNo};

crate::on_both_databases!(
    a_change_needs_the_version_it_was_made_from,
    of_many_changes_at_once_one_is_made,
    a_newer_record_restores_an_older_one,
    records_come_back_as_they_were,
    one_candidate_holds_the_office,
    an_office_whose_lease_ran_out_is_a_new_term,
    an_office_given_back_is_free_at_once,
);

const LONG: Duration = Duration::from_secs(60);

fn record(shard: u16, version: u64) -> ShardRecord {
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
        version,
    }
}

async fn changed(coordinator: &Arc<dyn Coordinator>, expected: u64, version: u64) -> bool {
    let answer = coordinator
        .change(expected, &record(1, version))
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
        .change(1, &record(1, 2))
        .await
        .expect("an answer");
    assert_eq!((answer.changed, answer.record.version), (false, 2));
    let backwards = coordinator.change(2, &record(1, 2)).await;
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
                .change(0, record)
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
