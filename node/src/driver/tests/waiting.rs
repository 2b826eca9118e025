//! Changes that wait, and readers that do.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use store::{ChangeError, How, Payload};
use uuid::Uuid;
use wire::shard::{Member, ShardRecord};
use wire::{ContentId, ShardNo};

use super::{Rig, SHARD, leading, mint};
use crate::clock;
use crate::driver::command::ChangeFailure;
use crate::driver::disk::PARKED_MAX;
use crate::driver::table::{CHUNKS_OF_SHARD_MAX, Standing};

const CHUNK: usize = 1 << 20;

fn chunk() -> Payload {
    Payload::new(vec![7; CHUNK].into())
}

impl Rig {
    /// Waits until another shard than the first stands so.
    pub(super) async fn until_other(&self, shard: ShardNo, standing: Standing) {
        let begun = Instant::now();
        let table = self.handle().table();
        while table.replica(shard).map(|replica| replica.standing) != Some(standing) {
            assert!(begun.elapsed() < Duration::from_secs(10), "in vain");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Has a change wait for the disk while something else is done.
    async fn while_syncing<T>(&self, rest: impl AsyncFnOnce() -> T) -> T {
        self.faults.hold();
        let rest = async {
            let begun = Instant::now();
            while self.faults.waiting() == 0 {
                assert!(begun.elapsed() < Duration::from_secs(10), "in vain");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            rest().await
        };
        let (synced, done) = tokio::join!(self.put(mint(1), How::Create), rest);
        synced.expect("is committed");
        done
    }
}

// If this fails, some hundred readers who wait for a leader fill the queue of the disk thread within a
// moment, and every upload to every other shard is refused.
#[tokio::test]
async fn readers_who_wait_take_no_room_from_changes() {
    let (rig, _) = leading().await;
    let replica = rig.handle().table().replica(SHARD).expect("is led here");
    let change = async || {
        for _ in 0..10_000 {
            rig.handle().needs_commit(&replica);
        }
        let release = async { rig.faults.release() };
        tokio::join!(rig.put(mint(2), How::Create), release).0
    };
    let changed = rig.while_syncing(change).await;
    changed.expect("there is room for it");
    rig.stop();
}

// If this fails, an upload of which a chunk was refused while many changes waited ends the disk thread
// with its next chunk.
#[tokio::test]
async fn a_chunk_behind_a_refused_one_is_refused() {
    let (rig, _) = leading().await;
    let handle = rig.handle();
    let id = mint(1);
    let upload = handle.first_chunk(id, How::Create, chunk()).await;
    let upload = upload.expect("is appended");
    // Nobody can take over: for as long as it is tried, changes wait.
    handle.hand_over().await;
    let waiting = join_all((0..PARKED_MAX as u64).map(|n| rig.put(mint(10 + n), How::Create)));
    let rest = async {
        let second = handle.chunk(SHARD, upload, CHUNK as u64, chunk()).await;
        let second = second.expect("is sent").appended().await;
        assert!(matches!(second, Err(ChangeFailure::Busy)), "{second:?}");
    };
    let (waited, ()) = tokio::join!(waiting, rest);
    for one in waited {
        one.expect("is committed when the handover is over");
    }
    let third = handle.chunk(SHARD, upload, 2 * CHUNK as u64, chunk()).await;
    let third = third.expect("is sent").appended().await;
    let refused = ChangeFailure::Refused(ChangeError::NoSuchUpload);
    assert_eq!(
        third.expect_err("has no place").to_string(),
        refused.to_string()
    );
    handle.abandon(SHARD, upload);
    let begun = Instant::now();
    while let Err(error) = rig.put(id, How::Create).await {
        let running = ChangeFailure::Refused(ChangeError::InProgress);
        assert_eq!(error.to_string(), running.to_string());
        assert!(begun.elapsed() < Duration::from_secs(10), "never ended");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    rig.stop();
}

// If this fails, one follower that pauses keeps the large uploads to every shard of the node waiting, also
// those to shards that it does not follow.
#[tokio::test]
async fn a_shard_whose_chunks_are_held_back_takes_no_room_from_another() {
    const OTHER: ShardNo = ShardNo(2);
    let (rig, _) = leading().await;
    rig.obey(&ShardRecord {
        shard: OTHER,
        log: 8,
        version: 2,
        ..rig.first_record()
    });
    let handle = rig.handle();
    rig.until_other(OTHER, Standing::Leading).await;
    // What a follower that is far behind comes to.
    let replica = handle.table().replica(SHARD).expect("is led here");
    let all = u32::try_from(CHUNKS_OF_SHARD_MAX).expect("a few");
    let room = replica.gauge.chunk_room();
    let held = room.acquire_many_owned(all).await;
    let held = held.expect("nobody uploads");
    // More than the node has room for.
    let waiting = (0..40).map(|n| handle.first_chunk(mint(n), How::Create, chunk()));
    let mut waiting: FuturesUnordered<_> = waiting.collect();
    assert!(futures_util::poll!(waiting.next()).is_pending());
    for number in 0..2 * u64::from(all) {
        let id = ContentId::mint(OTHER, clock::now_ms(), number);
        let upload = handle.first_chunk(id, How::Create, chunk());
        let upload = tokio::time::timeout(Duration::from_secs(10), upload).await;
        upload.expect("has room").expect("is appended");
    }
    assert!(futures_util::poll!(waiting.next()).is_pending());
    drop(held);
    while let Some(appended) = waiting.next().await {
        appended.expect("is appended");
    }
    drop(waiting);
    rig.stop();
}

// If this fails, two shards that cannot commit for a moment keep the large uploads to every other shard
// of the node waiting.
#[tokio::test]
async fn shards_whose_chunks_wait_for_them_take_no_room_from_another() {
    let (rig, _) = leading().await;
    let handle = rig.handle();
    // Neither has a set that can commit its epoch's first record.
    let stuck = [ShardNo(2), ShardNo(3)];
    for shard in stuck {
        rig.obey(&ShardRecord {
            shard,
            log: shard.0.into(),
            min_in_sync: 2,
            version: 2,
            ..rig.first_record()
        });
        rig.until_other(shard, Standing::Elected).await;
    }
    let id = |shard, n| ContentId::mint(shard, clock::now_ms(), n);
    let uploads = stuck
        .into_iter()
        .flat_map(|shard| (0..40).map(move |n| id(shard, n)));
    let uploads = uploads.map(|id| handle.first_chunk(id, How::Create, chunk()));
    let mut waiting: FuturesUnordered<_> = uploads.collect();
    assert!(futures_util::poll!(waiting.next()).is_pending());
    for number in 0..40 {
        let upload = handle.first_chunk(mint(number), How::Create, chunk());
        let upload = tokio::time::timeout(Duration::from_secs(2), upload).await;
        upload.expect("has room").expect("is appended");
    }
    assert!(futures_util::poll!(waiting.next()).is_pending());
    let refused = waiting.next().await.expect("one of them");
    assert!(matches!(refused, Err(ChangeFailure::NotLed)), "{refused:?}");
    drop(waiting);
    rig.stop();
}

// If this fails, the chunks of an uploader that left keep others of its shard waiting for as long as a
// follower is behind.
#[tokio::test]
async fn chunks_that_are_held_back_take_no_room_when_their_uploader_left() {
    let (rig, record) = leading().await;
    let mut all = record.replicas.clone();
    all.push(Member {
        node: "node2".parse().expect("a name"),
        replica: Uuid::from_u128(2),
    });
    // The other one never says anything.
    rig.obey(&ShardRecord {
        in_sync: all.clone(),
        replicas: all,
        version: 2,
        ..record
    });
    let handle = rig.handle();
    let replica = handle.table().replica(SHARD).expect("is led here");
    let upload = handle.first_chunk(mint(1), How::Create, chunk()).await;
    let upload = upload.expect("is appended");
    let mut held = None;
    for n in 1..40 {
        let chunk = handle.chunk(SHARD, upload, n * CHUNK as u64, chunk()).await;
        let mut appended = Box::pin(chunk.expect("is sent").appended());
        if (tokio::time::timeout(Duration::from_secs(1), &mut appended).await).is_err() {
            held = Some(appended);
            break;
        }
    }
    let room = replica.gauge.chunk_room();
    assert_eq!(room.available_permits(), CHUNKS_OF_SHARD_MAX - 1);
    drop(held.expect("is held back"));
    let begun = Instant::now();
    while room.available_permits() < CHUNKS_OF_SHARD_MAX {
        assert!(begun.elapsed() < Duration::from_secs(10), "in vain");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    rig.stop();
}
