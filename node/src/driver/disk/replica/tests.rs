//! Who copies, for whom changes wait, and whose chunks are taken.

use store::disk::FileSystem;
use store::{ChangeError, NewContent, Payload};
use tempfile::TempDir;
use tokio::sync::oneshot;
use wire::{Checksum, Epoch};

use super::*;

const SHARD: ShardNo = ShardNo(1);

fn member(node: &str, number: u128) -> Member {
    Member {
        node: node.parse().expect("a name"),
        replica: Uuid::from_u128(number),
    }
}

fn record(in_sync: Vec<Member>) -> ShardRecord {
    ShardRecord {
        shard: SHARD,
        log: 7,
        epoch: Epoch(1),
        leader: None,
        in_sync,
        eligible: Vec::new(),
        replicas: vec![member("node1", 1), member("node2", 2)],
        min_in_sync: 2,
        degraded: false,
        state: ShardState::Open,
        lineage: 0,
        version: 1,
    }
}

fn replica() -> (TempDir, Replica) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::create(Arc::new(FileSystem), folder.path(), 7).expect("makes a log");
    let nature = Nature {
        shard: SHARD,
        replica: Uuid::from_u128(1),
        log: 7,
        consistent_from: None,
    };
    let me = Me {
        name: "node1".parse().expect("a name"),
        incarnation: Uuid::from_u128(9),
    };
    (folder, Replica::new(&nature, store, &me, 1000))
}

// If this fails, every upload waits for the syncs of copies that are being made, or a member of the
// set is held to the rate of those.
#[test]
fn who_is_outside_of_the_set_copies() {
    let (_folder, mut replica) = replica();
    replica.standing = Standing::Following;
    assert!(replica.is_copying(), "nothing is known of the set");
    replica.record = Some(record(vec![member("node2", 2)]));
    assert!(replica.is_copying());
    assert!(replica.commits_with(&"node2".parse().expect("a name")));
    replica.record = Some(record(vec![member("node2", 2), member("node1", 5)]));
    assert!(
        replica.is_copying(),
        "an earlier replica of this node was in"
    );
    replica.record = Some(record(vec![member("node2", 2), member("node1", 1)]));
    assert!(!replica.is_copying());
    replica.standing = Standing::Leading;
    replica.record = Some(record(vec![member("node1", 1)]));
    assert!(!replica.is_copying());
    assert!(!replica.commits_with(&"node2".parse().expect("a name")));
}

/// Begins an upload as the leader of an epoch, whose first record is all that is before it.
fn begun(replica: &mut Replica, epoch: u64, id: ContentId) -> Position {
    replica.store.truncate_after(Lsn::ZERO).expect("cuts");
    let first = replica.store.begin_epoch(Epoch(epoch), 1);
    first.expect("begins");
    replica.standing = Standing::Leading;
    let upload = replica.first_chunk(id, How::Create, byte(), 1);
    upload.expect("is appended")
}

fn byte() -> Payload {
    Payload::new(vec![7].into())
}

/// Closes an upload of two bytes; gives why it is refused, if it is.
fn commit(replica: &mut Replica, upload: Position, id: ContentId) -> Option<ChangeFailure> {
    let new = NewContent {
        filename: "a".to_owned(),
        content_type: "a/b".to_owned(),
        collection: None,
        attributes: None,
        size: 2,
        checksum: Checksum(*blake3::hash(&[7, 7]).as_bytes()),
    };
    let (reply, mut answer) = oneshot::channel();
    let (how, wait) = (How::Create, Wait::Committed);
    let what = What::Commit { upload, new, how };
    let request = ChangeRequest {
        id,
        what,
        wait,
        reply,
    };
    replica.change(request, 1);
    answer.try_recv().ok().and_then(Result::err)
}

// If this fails, a leader that was deposed and leads again puts the rest of an old upload into another
// one, or ends that, or its disk thread.
#[test]
fn chunks_of_an_earlier_term_have_no_place() {
    let (_folder, mut replica) = replica();
    replica.record = Some(record(vec![member("node1", 1)]));
    let (first, second) = (ContentId::mint(SHARD, 1, 1), ContentId::mint(SHARD, 1, 2));
    let old = begun(&mut replica, 1, first);
    replica.break_upload(old);
    replica.lose();
    let new = begun(&mut replica, 2, second);
    assert_eq!(old.lsn, new.lsn, "the second took its place");

    let none = ChangeFailure::from(ChangeError::NoSuchUpload).to_string();
    let chunk = replica.chunk(old, 1, byte(), 1).expect_err("is refused");
    assert_eq!(chunk.to_string(), none);
    let refused = commit(&mut replica, old, first).expect("is refused");
    assert_eq!(refused.to_string(), none);
    replica.abort(old, 1).expect("has ended");
    replica.break_upload(old);

    replica.chunk(new, 1, byte(), 1).expect("goes on");
    assert!(commit(&mut replica, new, second).is_none(), "is appended");
}
