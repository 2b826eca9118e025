//! What is the coordinator's in ZooKeeper alone: sessions, hand-overs between processes, addresses.

use crate::coordinator::{record, revision};
use crate::support::chaos_proxy::ChaosProxy;
use crate::support::{CLUSTER, SESSION, coordinator, fresh_path};
use dist::coordinator::open_zookeeper;
use dist::coordinator::{Coordinator, CoordinatorError, ZooKeeperAddress, ZooKeeperError};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use uuid::Uuid;
use zktest::ZooKeeper;

const FIRST: Uuid = Uuid::from_u128(1);
const SECOND: Uuid = Uuid::from_u128(2);

/// An address of the shared server, and the same through a proxy.
async fn proxied() -> (ChaosProxy, ZooKeeperAddress, ZooKeeperAddress) {
    let direct = fresh_path(ZooKeeper::shared());
    let proxy = ChaosProxy::before(ZooKeeper::shared().port()).await;
    let through = proxy.through(&direct.to_string());
    (proxy, direct, through.parse().expect("an address"))
}

async fn campaign(coordinator: &Arc<dyn Coordinator>, candidate: Uuid) -> Option<u64> {
    let term = coordinator.campaign(candidate, SESSION).await;
    term.expect("an answer").map(|term| term.number)
}

/// Asks until there is an answer that will do.
async fn until<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let answer = tokio::time::timeout(Duration::from_secs(20), wait).await;
    answer.expect("it holds in time")
}

// If this fails, a controller that is cut off decides on beside its successor, or the cluster has
// none for ever.
#[tokio::test]
async fn a_session_that_expires_ends_the_office() {
    let (mut proxy, direct, through) = proxied().await;
    let near = coordinator(&direct, SESSION).await;
    let far = coordinator(&through, SESSION).await;
    let asked = Instant::now();
    let first = campaign(&far, FIRST).await.expect("free");
    assert_eq!(campaign(&near, SECOND).await, None);

    proxy.stall();
    let second = until(async || campaign(&near, SECOND).await).await;
    assert!(asked.elapsed() >= SESSION, "its lease was not over yet");
    assert!(second > first);
    let cut_off = far.campaign(FIRST, SESSION).await;
    assert!(
        matches!(cut_off, Err(CoordinatorError::Unavailable(_))),
        "{cut_off:?}"
    );

    // It comes back in a session of its own, and finds that it is not in office any more.
    proxy.restore().await;
    let back = until(async || {
        let kept = campaign(&near, SECOND).await;
        assert_eq!(kept, Some(second));
        far.campaign(FIRST, SESSION).await.ok()
    });
    assert_eq!(back.await, None);
    near.resign(SECOND).await.expect("an answer");
    let third = until(async || campaign(&far, FIRST).await).await;
    assert!(third > second);
}

// If this fails, an office is held for ever by a process that lost interest in it.
#[tokio::test]
async fn a_lease_that_ran_out_frees_the_office_for_other_processes() {
    let address = fresh_path(ZooKeeper::shared());
    let (holder, other) = (
        coordinator(&address, Duration::from_secs(60)).await,
        coordinator(&address, SESSION).await,
    );
    let lease = Duration::from_millis(300);
    let asked = Instant::now();
    let first = holder.campaign(FIRST, lease).await.expect("an answer");
    let second = until(async || campaign(&other, SECOND).await).await;
    assert!(asked.elapsed() >= lease);
    assert!(Some(second) > first.map(|term| term.number));
}

/// Who is in office, by the word of those who campaign: nobody, or one.
#[derive(Default)]
struct Witness {
    holder: AtomicU64,
    last_term: AtomicU64,
}

impl Witness {
    fn enters(&self, candidate: u64, term: u64) {
        let before = self.holder.swap(candidate, Ordering::SeqCst);
        assert_eq!(before, 0, "{candidate} took the office of {before}");
        let last = self.last_term.swap(term, Ordering::SeqCst);
        assert!(term > last, "term {term} follows {last}");
    }

    fn leaves(&self, candidate: u64) {
        let before = self.holder.swap(0, Ordering::SeqCst);
        assert_eq!(before, candidate);
    }
}

/// Takes the office so often, and leaves it now by a word, now by silence.
async fn take_turns(address: &ZooKeeperAddress, witness: &Witness, candidate: u64, turns: usize) {
    let coordinator = coordinator(address, SESSION).await;
    let (id, lease) = (
        Uuid::from_u128(candidate.into()),
        Duration::from_millis(150),
    );
    let mut taken = 0;
    while taken < turns {
        let asked = Instant::now();
        let Some(term) = coordinator.campaign(id, lease).await.expect("an answer") else {
            tokio::task::yield_now().await;
            continue;
        };
        // As a controller counts it: an answer that came too late is worth nothing.
        let until = asked + lease;
        if Instant::now() >= until {
            continue;
        }
        witness.enters(candidate, term.number);
        taken += 1;
        if taken % 4 == 0 {
            tokio::time::sleep_until((until - Duration::from_millis(5)).into()).await;
            witness.leaves(candidate);
            tokio::time::sleep(Duration::from_millis(20)).await;
        } else {
            tokio::task::yield_now().await;
            witness.leaves(candidate);
            coordinator.resign(id).await.expect("an answer");
        }
    }
}

// If this fails, two controllers decide at the same time.
#[tokio::test]
async fn the_office_changes_hands_and_never_has_two() {
    let address = fresh_path(ZooKeeper::shared());
    let witness = Witness::default();
    tokio::join!(
        take_turns(&address, &witness, 1, 60),
        take_turns(&address, &witness, 2, 60),
        take_turns(&address, &witness, 3, 60),
    );
    assert!(witness.last_term.load(Ordering::SeqCst) >= 180);
}

// If this fails, two distributors change one record from the same version, or one of them goes on
// with an old one.
#[tokio::test]
async fn of_two_writers_one_wins_and_both_see_it() {
    let address = fresh_path(ZooKeeper::shared());
    let one = coordinator(&address, SESSION).await;
    let other = coordinator(&address, SESSION).await;
    for expected in 0..30 {
        let next = record(1, expected + 1);
        let (mut theirs, beside) = (next.clone(), record(2, expected + 1));
        theirs.degraded = true;
        let (first, second) = tokio::join!(
            one.change(revision(expected), &next),
            other.change(revision(expected), &theirs)
        );
        let (first, second) = (first.expect("an answer"), second.expect("an answer"));
        assert_ne!(first.changed, second.changed, "version {expected}");
        assert_eq!(first.record, second.record);
        let changed = one
            .change(revision(expected), &beside)
            .await
            .expect("an answer")
            .changed;
        assert!(changed);
        for coordinator in [&one, &other] {
            let records = coordinator.records().await.expect("records");
            assert_eq!(records, [first.record.clone(), beside.clone()]);
        }
    }
}

// If this fails, a change whose answer was lost is made twice, or half.
#[tokio::test]
async fn a_change_without_an_answer_is_made_once_or_not_at_all() {
    let (proxy, direct, through) = proxied().await;
    let near = coordinator(&direct, SESSION).await;
    let far = coordinator(&through, SESSION).await;
    let mut lost = 0;
    let mut version = 0;
    while lost < 10 {
        proxy.swallow_next_answer();
        let outcome = far.change(revision(version), &record(1, version + 1)).await;
        // A ping's answer may have been the one that was swallowed.
        match &outcome {
            Ok(answer) => assert!(answer.changed, "nobody else changes it"),
            Err(CoordinatorError::Unavailable(_)) => lost += 1,
            Err(error) => panic!("{error}"),
        }
        let there = near.records().await.expect("records");
        let found = there.first().map_or(0, |record| record.version);
        assert!(
            found == version || found == version + 1,
            "{version}: {found}"
        );
        assert!(
            outcome.is_err() || found == version + 1,
            "{version}: {found}"
        );
        assert!(there.is_empty() || there == [record(1, found)]);
        version = found;
        let seen = until(async || far.records().await.ok()).await;
        assert_eq!(seen, there);
    }
}

// If this fails, two clusters under one path take each other's shards for their own.
#[tokio::test]
async fn a_path_serves_one_cluster() {
    let address = fresh_path(ZooKeeper::shared());
    coordinator(&address, SESSION).await;
    coordinator(&address, SESSION).await;
    let ours = Uuid::from_u128(8);
    let opened = open_zookeeper(&address, SESSION, ours).await;
    let Err(ZooKeeperError::Foreign { its, .. }) = opened else {
        panic!("it is another cluster's");
    };
    assert_eq!(its, CLUSTER.to_string());
}

// If this fails, a lease goes on after ZooKeeper has given the office to somebody else.
#[tokio::test]
async fn a_session_shorter_than_a_lease_is_refused() {
    let address = fresh_path(ZooKeeper::shared());
    let opened = open_zookeeper(&address, Duration::from_secs(3600), CLUSTER).await;
    assert!(matches!(opened, Err(ZooKeeperError::ShortSession { .. })));
    let short = coordinator(&address, SESSION).await;
    let campaigned = short.campaign(FIRST, Duration::from_secs(60)).await;
    assert!(
        matches!(campaigned, Err(CoordinatorError::Failed(_))),
        "{campaigned:?}"
    );
}

// If this fails, a password is asked for and everybody may change the records all the same.
#[tokio::test]
async fn a_password_keeps_others_out() {
    let port = ZooKeeper::shared().port();
    let address = |login: &str| -> ZooKeeperAddress {
        let url = format!("zookeeper://{login}127.0.0.1:{port}/guarded/records");
        url.parse().expect("an address")
    };
    let with = coordinator(&address("cdn:p%40ss@"), SESSION).await;
    assert!(
        with.change(revision(0), &record(1, 1))
            .await
            .expect("an answer")
            .changed
    );
    assert!(campaign(&with, FIRST).await.is_some());
    for login in ["", "cdn:wrong@"] {
        let opened = open_zookeeper(&address(login), SESSION, CLUSTER).await;
        let Err(error @ ZooKeeperError::Refused { .. }) = opened else {
            panic!("`{login}` opens it");
        };
        assert!(!error.to_string().contains("wrong"), "{error}");
    }
}
