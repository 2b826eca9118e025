//! A follower takes exactly its leader's records, in order, and nothing else.

mod catch_up;

use bytes::Bytes;
use store::stage::next_live;
use store::{DecodeRecordError, How, Record, ReplicateError};
use wire::{Epoch, Lsn};

use crate::stage::{LOG, Stage, bare_stage, body, contents, stage};

/// The bytes of a record as a frame carries them: head and payload, as docs/storage-format.md
/// draws them, without the padding between.
pub(crate) fn frame(stage: &Stage, lsn: Lsn) -> Bytes {
    let (path, start) = stage.find_record(lsn);
    let file = contents(&stage.disk, &path);
    let start = usize::try_from(start).expect("a small file");
    let metadata = u32::from_le_bytes(file[start + 112..start + 116].try_into().expect("4 bytes"));
    let payload = u64::from_le_bytes(file[start + 88..start + 96].try_into().expect("8 bytes"));
    let payload = usize::try_from(payload).expect("small");
    let head = 128 + 4 * payload.div_ceil(65_536) + metadata as usize;
    let align = if payload >= 65_536 { 4_096 } else { 8 };
    let at = (start + head).next_multiple_of(align);
    [&file[start..start + head], &file[at..at + payload]]
        .concat()
        .into()
}

fn record(stage: &Stage, lsn: u64) -> Record {
    Record::from_bytes(&frame(stage, Lsn(lsn)), LOG).expect("an intact record")
}

/// A leader with contents of all kinds, and an empty follower.
fn leader_and_follower() -> (Stage, Stage) {
    let mut leader = stage();
    let first = leader.stored(&body(1, 3_000));
    leader.stored_in_chunks(&body(2, 250_000), 100_000);
    let update = How::Update { if_match: None };
    leader
        .try_put(first, &body(3, 70_000), update)
        .expect("there is room");
    let gone = leader.stored(&body(4, 100));
    leader.delete(gone);
    leader.settle();
    (leader, bare_stage())
}

// If this fails, a mirror holds other contents than its original.
#[test]
fn a_follower_that_took_all_records_holds_the_same() {
    let (leader, mut follower) = leader_and_follower();
    let end = leader.store.positions();
    for lsn in 1..=end.appended.lsn.0 {
        assert_eq!(
            follower
                .store
                .replicate(record(&leader, lsn), Lsn(lsn))
                .expect("in order"),
            Lsn(lsn)
        );
        assert_eq!(frame(&leader, Lsn(lsn)), record(&leader, lsn).to_bytes());
    }
    follower.settle();
    follower.restart();
    assert_eq!(follower.store.positions().appended, end.appended);
    assert_eq!(follower.store.epochs(), leader.store.epochs());
    follower.store.commit_to(end.committed, &mut Vec::new());
    let mut walk = leader.store.reader().live(end.committed);
    let mut live = 0;
    while let Some(content) = next_live(&mut walk) {
        let copy = follower
            .store
            .reader()
            .content(content.id)
            .expect("it is mirrored");
        assert_eq!(copy, content);
        let read = |stage: &Stage| stage.read(content.id).expect("it is live");
        assert_eq!(read(&follower), read(&leader));
        live += 1;
    }
    assert_eq!((live, follower.store.usage().contents), (2, 2));
    for lsn in 1..=end.appended.lsn.0 {
        assert_eq!(
            frame(&leader, Lsn(lsn)),
            frame(&follower, Lsn(lsn)),
            "the same bytes"
        );
    }
}

// If this fails, a mirror stores what a broken network, or a deposed leader, sent.
#[test]
fn a_follower_refuses_what_does_not_follow() {
    let (leader, mut follower) = leader_and_follower();
    for lsn in 1..=3 {
        follower
            .store
            .replicate(record(&leader, lsn), Lsn(lsn))
            .expect("in order");
    }
    let again = follower.store.replicate(record(&leader, 3), Lsn(3));
    assert!(
        matches!(
            again,
            Err(ReplicateError::Order {
                found: Lsn(3),
                end: Lsn(3)
            })
        ),
        "{again:?}"
    );
    let chunk = (4..)
        .find(|lsn| record(&leader, *lsn).head.offset > 0)
        .expect("a second chunk");
    assert!(record(&leader, chunk + 1).head.offset > 0, "and a third");
    let gap = follower
        .store
        .replicate(record(&leader, chunk + 1), Lsn(chunk + 1));
    assert!(gap.is_err(), "a chunk without the one before it: {gap:?}");
    assert_eq!(
        follower.store.positions().appended.lsn,
        Lsn(3),
        "a refusal appends nothing"
    );

    let mut newer = bare_stage();
    newer.begin(7);
    newer.settle();
    let mut later = bare_stage();
    later
        .store
        .replicate(record(&newer, 1), Lsn(1))
        .expect("in order");
    let old = later.store.replicate(record(&leader, 2), Lsn(2));
    let deposed = ReplicateError::Epoch {
        found: Epoch(1),
        current: Epoch(7),
    };
    assert_eq!(
        old.expect_err("an older epoch").to_string(),
        deposed.to_string()
    );
}

// If this fails, a follower of a new leader keeps what only the old one had.
#[test]
fn a_follower_gives_up_what_a_new_leader_does_not_have() {
    let (leader, mut follower) = leader_and_follower();
    let end = leader.store.positions().appended.lsn.0;
    for lsn in 1..=end {
        follower
            .store
            .replicate(record(&leader, lsn), Lsn(lsn))
            .expect("in order");
    }
    follower.sync();
    follower.store.commit_to(Lsn(2), &mut Vec::new());
    follower
        .store
        .truncate_after(Lsn(2))
        .expect("a healthy disk");
    assert!(!follower.store.contains(leader.store.positions().appended));

    let mut other = bare_stage();
    other.now_ms += 1_000;
    for lsn in 1..=2 {
        other
            .store
            .replicate(record(&leader, lsn), Lsn(lsn))
            .expect("in order");
    }
    other.begin(5);
    let bytes = body(9, 5_000);
    let id = other.stored(&bytes);
    for lsn in 3..=other.store.positions().appended.lsn.0 {
        follower
            .store
            .replicate(record(&other, lsn), Lsn(lsn))
            .expect("in order");
    }
    follower.settle();
    follower.restart();
    follower
        .store
        .commit_to(other.store.positions().committed, &mut Vec::new());
    assert_eq!(follower.read(id).expect("committed"), bytes);
    assert!(follower.store.contains(other.store.positions().appended));
    assert_eq!(
        follower.store.usage().contents,
        other.store.usage().contents
    );
}

mod codec {
    //! Records as frames carry them.

    use super::*;
    use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

    fn example(len: usize, seed: u64) -> Bytes {
        let mut stage = stage();
        let (_, outcome) = stage.append(&body(seed, len));
        stage.sync();
        frame(&stage, outcome.lsn)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        // If this fails, a mirror cannot read what its leader sends.
        #[test]
        fn a_record_is_read_back_as_it_was(len in 0_usize..200_000, seed in any::<u64>()) {
            let bytes = example(len, seed);
            let record = Record::from_bytes(&bytes, LOG).expect("an intact record");
            prop_assert_eq!(record.to_bytes(), bytes);
            prop_assert_eq!(record.payload.bytes(), &body(seed, len));
        }

        // If this fails, a bit that flipped on the way is stored under a good checksum.
        #[test]
        fn no_flipped_bit_and_no_truncation_is_accepted(
            len in 0_usize..70_000, at in any::<u64>(), bit in 0_u8..8,
        ) {
            let bytes = example(len, 1);
            let at = (at % bytes.len() as u64) as usize;
            let mut flipped = bytes.to_vec();
            flipped[at] ^= 1 << bit;
            prop_assert!(Record::from_bytes(&flipped.into(), LOG).is_err(), "byte {}", at);
            prop_assert!(Record::from_bytes(&bytes.slice(..at), LOG).is_err(), "length {}", at);
            let longer = [&bytes[..], &[0]].concat();
            let is_length = matches!(
                Record::from_bytes(&longer.into(), LOG),
                Err(DecodeRecordError::Length { .. })
            );
            prop_assert!(is_length);
            prop_assert!(Record::from_bytes(&bytes, LOG ^ 1).is_err(), "another log's");
        }

        // If this fails, a hostile or broken peer crashes a node.
        #[test]
        fn any_bytes_are_read_or_refused(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..400), dressed in any::<bool>(),
        ) {
            if dressed && bytes.len() >= 128 {
                let kind = 1 + bytes[5] % 7;
                bytes[..8].copy_from_slice(&[b'A', b'q', b'R', b'c', 1, kind, 0, 0]);
                bytes[8..16].copy_from_slice(&LOG.to_le_bytes());
            }
            prop_assert!(Record::from_bytes(&bytes.into(), LOG).is_err());
        }
    }
}
