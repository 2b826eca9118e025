//! Records that are given up elsewhere while they are what is served here: this replica catches up.

use std::sync::mpsc;
use std::time::Duration;

use wire::{ContentId, Lsn};

use super::{catch_up, lsn, upkeep_of_what_can_be_read};
use crate::ReadError;
use crate::index::Place;
use crate::record::kind::Kind;
use crate::stage::{Stage, body, id};

/// Far more than a read takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// A follower that has contents, most of them deleted, in one segment; and its leader, who has as many again
/// behind them, and a new version of content 0 at last. The segment has an index file, or gets one later.
fn follower_and_leader(is_sealed: bool) -> (Stage, Stage, Lsn) {
    let mut follower = Stage::new();
    (0..20).for_each(|n| drop(follower.put(n, &body(n, 10_000))));
    if is_sealed {
        follower.fill(100, 2);
        follower.upkeep();
    }
    (1..18).for_each(|n| drop(follower.delete(n)));
    follower.settle_durably();
    let mut leader = follower.on(follower.disk.kill());
    leader.begin(2);
    leader.fill(200, 4);
    let update = leader.update(0, &body(7, 10_000)).lsn;
    leader.settle_durably();
    (follower, leader, update)
}

/// What is said of a content, if anything ever is.
fn version(stage: &Stage, content: ContentId) -> Result<u64, ReadError> {
    let (reader, (send, receive)) = (stage.store.reader(), mpsc::channel());
    std::thread::spawn(move || {
        let version = reader.content(content).map(|content| content.version);
        drop(send.send(version));
    });
    receive.recv_timeout(PATIENCE).expect("an answer")
}

fn assert_version_is_damaged(stage: &Stage) {
    let version = version(stage, id(0));
    assert!(
        matches!(version, Err(ReadError::Damaged { .. })),
        "{version:?}"
    );
}

// If this fails, each read of a content that others have replaced meanwhile takes a processor for ever, or
// says that there never was such a content.
#[test]
fn what_is_served_here_is_not_given_up_before_it_is_superseded_here() {
    for is_sealed in [true, false] {
        let (mut follower, leader, update) = follower_and_leader(is_sealed);
        follower.flip(lsn(0), 24);
        assert_version_is_damaged(&follower);
        assert!(!follower.store.settle(lsn(0)), "it is served here");
        let later = follower.store.positions().committed.next();
        assert!(!follower.store.settle(later), "it is not committed here");
        catch_up(&mut follower, &leader, update.previous());
        upkeep_of_what_can_be_read(&mut follower);
        assert_version_is_damaged(&follower);
        let mut restarted = follower.on(follower.disk.kill());
        assert_version_is_damaged(&restarted);
        for stage in [&mut follower, &mut restarted] {
            catch_up(stage, &leader, update);
            assert_eq!(version(stage, id(0)).expect("intact"), 2);
            assert!(stage.store.settle(lsn(0)), "it is superseded here");
            upkeep_of_what_can_be_read(stage);
            assert!(!stage.lsns().contains(&lsn(0).0), "{is_sealed}");
            assert_eq!(version(stage, id(0)).expect("intact"), 2);
        }
    }
}

// If this fails, each read of a content whose file is gone takes a processor for ever, even after there is
// another version.
#[test]
fn a_place_in_a_file_that_is_gone_is_damage_until_it_is_superseded() {
    let mut stage = Stage::new();
    stage.put(0, &body(0, 700));
    stage.settle();
    stage.update(0, &body(7, 700));
    let shared = std::sync::Arc::clone(&stage.store.shared);
    let name = id(0).bytes();
    let place = shared.index.find(&name).iter().next();
    let place = place.expect("it is live");
    let gone = Place::new(Kind::Put, 999, place.start());
    assert!(shared.index.relocate(&name, place, gone));
    assert_version_is_damaged(&stage);
    stage.settle();
    assert_eq!(version(&stage, id(0)).expect("intact"), 2);
    assert_eq!(shared.index.find(&name).iter().count(), 1);
    assert_eq!(stage.store.usage().contents, 1);
}
