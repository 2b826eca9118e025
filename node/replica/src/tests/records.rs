//! From one shard record to the next.

use super::{member, members, process, record};
use crate::Bugs;
use crate::record::{can_commit, degraded, grown, handed_over, shrunk, supersedes};

// If this fails, a leader alone acknowledges what dies with it.
#[test]
fn a_small_set_commits_only_when_degraded() {
    let mut small = record(1, 1, &[1]);
    assert!(!can_commit(&small));
    small.degraded = true;
    assert!(can_commit(&small));
    assert!(can_commit(&record(1, 1, &[1, 2])));
    small.degraded = false;
    small.min_in_sync = 1;
    assert!(can_commit(&small));
}

// If this fails, a member that misses something is elected.
#[test]
fn who_leaves_a_set_that_commits_is_not_eligible() {
    let next = shrunk(&record(4, 2, &[1, 2, 3]), &members(&[3]), Bugs::default());
    assert_eq!(next.in_sync, members(&[1, 2]));
    assert_eq!(next.eligible, []);
    assert_eq!((next.version, next.epoch.0), (5, 2));
}

// If this fails, a shard waits for a dead leader although a member has everything.
#[test]
fn who_leaves_a_set_that_stops_committing_stays_eligible() {
    let next = shrunk(
        &record(4, 2, &[1, 2, 3]),
        &members(&[2, 3]),
        Bugs::default(),
    );
    assert_eq!(next.in_sync, members(&[1]));
    assert_eq!(next.eligible, members(&[2, 3]));
    assert!(!next.degraded);
}

// If this fails, members are elected that miss what a degraded leader acknowledged.
#[test]
fn degrading_empties_eligible_in_the_same_change() {
    let mut before = record(4, 2, &[1]);
    before.eligible = members(&[2, 3]);
    let next = degraded(&before, Bugs::default());
    assert!(next.degraded);
    assert_eq!(next.eligible, []);
    assert_eq!(next.version, 5);
}

// If this fails, a shard stays degraded for ever, or members that miss something stay eligible.
#[test]
fn a_set_that_is_large_enough_is_not_degraded() {
    let mut before = record(4, 2, &[1]);
    before.degraded = true;
    let next = grown(&before, &member(2));
    assert_eq!(next.in_sync, members(&[1, 2]));
    assert!(!next.degraded);

    let mut before = record(4, 2, &[1]);
    before.eligible = members(&[2, 3]);
    let next = grown(&before, &member(2));
    assert_eq!(next.eligible, []);
}

// If this fails, a member is counted twice after it returned.
#[test]
fn who_joins_is_eligible_no_more() {
    let mut before = record(4, 2, &[1]);
    before.eligible = members(&[2, 3]);
    before.min_in_sync = 3;
    let next = grown(&before, &member(2));
    assert_eq!(next.in_sync, members(&[1, 2]));
    assert_eq!(next.eligible, members(&[3]));
}

// If this fails, two processes lead in one epoch after a handover.
#[test]
fn a_handover_is_a_new_epoch() {
    let next = handed_over(&record(4, 2, &[1, 2]), &member(2), process(2));
    assert_eq!((next.version, next.epoch.0), (5, 3));
    let leader = next.leader.expect("a leader");
    assert_eq!((leader.member, leader.incarnation), (member(2), process(2)));
    assert_eq!(next.in_sync, members(&[1, 2]));
}

// If this fails, a register that went back makes a node forget a later record.
#[test]
fn a_restored_record_does_not_hide_a_later_one() {
    let mine = record(7, 2, &[1]);
    assert!(supersedes(&record(8, 2, &[1]), &mine));
    assert!(!supersedes(&record(7, 3, &[1, 2]), &mine));
    let mut restored = record(9, 2, &[1, 2]);
    restored.lineage = 1;
    restored.leader = None;
    assert!(!supersedes(&restored, &mine));
    // Once someone was elected, everyone it names was heard: what it does not know is void.
    let mut elected = record(5, 3, &[1, 2]);
    elected.lineage = 1;
    assert!(supersedes(&elected, &mine));
    assert!(!supersedes(&mine, &elected));
}
