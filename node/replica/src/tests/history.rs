//! Where two logs leave each other.

use super::{at, log};
use wire::{Epoch, Lsn};

// If this fails, a replica takes another leader's records for its own history.
#[test]
fn a_position_is_in_the_history_or_not() {
    let log = log(&[(2, 1), (5, 3)], 6, 0);
    for (epoch, lsn) in [(0, 0), (2, 1), (2, 2), (5, 3), (5, 6)] {
        assert!(log.contains(at(epoch, lsn)), "({epoch}, {lsn})");
    }
    for (epoch, lsn) in [(1, 0), (1, 1), (5, 2), (2, 3), (5, 7), (6, 6)] {
        assert!(!log.contains(at(epoch, lsn)), "({epoch}, {lsn})");
    }
}

// If this fails, a leader tells a follower a wrong place to step back to.
#[test]
fn an_epoch_ends_where_the_next_begins() {
    let log = log(&[(2, 1), (5, 3)], 6, 0);
    assert_eq!(log.end_of(Epoch(1)), at(0, 0));
    assert_eq!(log.end_of(Epoch(2)), at(2, 2));
    assert_eq!(log.end_of(Epoch(4)), at(2, 2));
    assert_eq!(log.end_of(Epoch(5)), at(5, 6));
    assert_eq!(log.end_of(Epoch(9)), at(5, 6));
}

// If this fails, a follower keeps what its leader does not have, or cuts what both have.
#[test]
fn the_lower_end_of_the_last_common_epoch_is_cut_to() {
    let log = log(&[(2, 1), (5, 3)], 6, 0);
    assert_eq!(log.common_with(at(5, 4)), Lsn(4));
    assert_eq!(log.common_with(at(5, 9)), Lsn(6));
    assert_eq!(log.common_with(at(4, 9)), Lsn(2));
    assert_eq!(log.common_with(at(2, 1)), Lsn(1));
    assert_eq!(log.common_with(at(2, 8)), Lsn(2));
    assert_eq!(log.common_with(at(0, 0)), Lsn(0));
}

// If this fails, the epoch table misses an epoch, and a handshake lets a foreign log in.
#[test]
fn each_epoch_is_noted_once() {
    let mut log = log(&[(1, 1)], 1, 0);
    for position in [at(1, 2), at(4, 3), at(4, 4), at(6, 9)] {
        log.append(position);
    }
    let starts: Vec<(u64, u64)> = log
        .epochs
        .iter()
        .map(|start| (start.epoch.0, start.first.0))
        .collect();
    assert_eq!(starts, [(1, 1), (4, 3), (6, 9)]);
    assert_eq!(log.appended, at(6, 9));
}
