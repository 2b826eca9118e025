//! Space comes back, and not while somebody reads it.

use store::ReadError;

use crate::stage::{Stage, body, read_all, segments, stage};

const MIB: usize = 1 << 20;

fn assert_accounts_balance(stage: &Stage) {
    let space = stage.store.usage().space;
    assert_eq!(
        space.live + space.dead + space.overhead,
        space.log - space.holes,
        "{space:?}"
    );
}

// If this fails, a download breaks off with zeros when its content is deleted meanwhile, or the
// space of deleted contents never comes back.
#[test]
fn a_reader_keeps_what_it_reads_until_it_lets_go_and_then_the_space_goes() {
    let mut stage = stage();
    let bytes = body(1, 10 * MIB);
    let id = stage.stored_in_chunks(&bytes, MIB);
    let open = stage.store.reader().open(id).expect("it is live");
    let first = open.read(0, 1000).expect("it is live");
    assert_eq!(first, bytes[..first.len()]);
    stage.delete(id);
    stage.settle();
    assert!(
        matches!(stage.read(id), Err(ReadError::Deleted)),
        "nobody else sees it"
    );
    stage.upkeep();
    assert_accounts_balance(&stage);
    assert!(stage.disk.used() > 10 * MIB as u64, "it is held");
    assert_eq!(read_all(&open).expect("it is held"), bytes);
    let used = stage.disk.used();
    drop(open);
    stage.upkeep();
    assert!(used - stage.disk.used() >= 10 * MIB as u64, "it is let go");
    assert_accounts_balance(&stage);
}

// If this fails, an update in the middle of a download gives a mixture of both versions.
#[test]
fn a_reader_of_an_old_version_reads_it_to_its_end() {
    let mut stage = stage();
    let old = body(1, 500_000);
    let id = stage.stored(&old);
    let open = stage.store.reader().open(id).expect("it is live");
    let new = body(2, 400_000);
    let update = store::How::Update { if_match: None };
    stage.try_put(id, &new, update).expect("there is room");
    stage.settle();
    stage.upkeep();
    assert_eq!(open.content().version, 1);
    assert_eq!(read_all(&open).expect("it is held"), old);
    assert_eq!(stage.read(id).expect("it is live"), new);
}

// If this fails, the space of many small deleted contents never comes back, or the neighbours of
// deleted contents are lost with them.
#[test]
fn segments_full_of_dead_small_records_are_rewritten() {
    let mut stage = stage();
    let mut ids = Vec::new();
    while segments(&stage.disk).len() < 4 {
        for _ in 0..20 {
            let seed = ids.len() as u64;
            ids.push(stage.append(&body(seed, 3_000)).0);
        }
        stage.settle();
    }
    for id in ids.iter().step_by(2) {
        stage.delete(*id);
    }
    stage.settle();
    let before = stage.disk.used();
    stage.upkeep();
    assert_accounts_balance(&stage);
    let freed = before - stage.disk.used();
    assert!(
        freed > 1_000_000,
        "{freed} bytes are given back of 3 MiB that were half dead"
    );
    assert!(stage.store.usage().space.compacted >= freed / 2);
    let check = |stage: &Stage| {
        for (number, id) in ids.iter().enumerate() {
            match stage.read(*id) {
                Ok(bytes) => assert_eq!(bytes, body(number as u64, 3_000)),
                Err(error) => {
                    assert!(
                        number % 2 == 0 && matches!(error, ReadError::Deleted),
                        "{error:?}"
                    );
                }
            }
        }
    };
    check(&stage);
    stage.restart();
    stage.begin(2);
    stage.settle();
    check(&stage);
    assert_accounts_balance(&stage);
}

// If this fails, every restart loses sight of space that was, or was not, given back.
#[test]
fn the_accounts_are_the_same_after_a_restart() {
    let mut stage = stage();
    let ids: Vec<_> = (0..30)
        .map(|n| stage.append(&body(n as u64, 40_000 + 9_000 * n)).0)
        .collect();
    stage.settle();
    for id in ids.iter().step_by(3) {
        stage.delete(*id);
    }
    stage.settle_known();
    stage.settle();
    stage.upkeep();
    let before = stage.store.usage();
    stage.restart();
    stage.begin(2);
    stage.settle();
    stage.upkeep();
    let after = stage.store.usage();
    assert_accounts_balance(&stage);
    assert_eq!(before.contents, after.contents);
    assert_eq!(
        before.space.holes, after.space.holes,
        "{:?} {:?}",
        before.space, after.space
    );
    assert_eq!(
        before.space.dead, after.space.dead,
        "{:?} {:?}",
        before.space, after.space
    );
}
