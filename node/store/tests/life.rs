//! The life of contents in one store on the real file system: stored, read, replaced, deleted, and
//! all of it again after a restart.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use store::disk::FileSystem;
use store::{
    ChangeError, Describe, Geometry, How, NewContent, Outcome, Payload, ReadError, Reader, Store,
};
use wire::{Checksum, ContentId, Epoch, Lsn, ShardNo};

const NOW: u64 = 1_700_000_000_000;
const LOG: u64 = 0xfeed;
const SMALL: Geometry = Geometry {
    segment_bytes: 4 << 20,
    allocate_bytes: 1 << 20,
    reserve_bytes: 64 << 10,
};

fn id(n: u64) -> ContentId {
    ContentId::mint(ShardNo(1), NOW, n)
}

fn body(n: u64, length: usize) -> Bytes {
    let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(next).collect::<Vec<u8>>().into()
}

fn described(bytes: &Bytes) -> NewContent {
    NewContent {
        filename: "a.bin".to_owned(),
        content_type: "application/octet-stream".to_owned(),
        collection: None,
        attributes: None,
        size: bytes.len() as u64,
        checksum: Checksum(*blake3::hash(bytes).as_bytes()),
    }
}

struct Owner(Store);

impl Owner {
    fn open(dir: &Path, epoch: u64) -> Owner {
        let opened = Store::open_with(Arc::new(FileSystem), dir, LOG, SMALL);
        let mut store = opened.expect("opens").0;
        store.begin_epoch(Epoch(epoch), NOW).expect("leads");
        let mut owner = Owner(store);
        owner.commit();
        owner
    }

    fn commit(&mut self) {
        if let Some(job) = self.0.flush().expect("writes") {
            let synced = self.0.synced(job.run()).expect("syncs");
            self.0.commit_to(synced, &mut Vec::new());
        }
    }

    fn put(&mut self, n: u64, bytes: &Bytes, how: How) -> Result<Outcome, ChangeError> {
        self.0.put(
            id(n),
            described(bytes),
            how,
            Payload::new(bytes.clone()),
            NOW,
        )
    }

    fn put_chunks(&mut self, n: u64, bytes: &Bytes, how: How) -> Result<Outcome, ChangeError> {
        let mut upload = Lsn::ZERO;
        for (at, chunk) in bytes.chunks(1 << 20).enumerate() {
            let payload = Payload::new(bytes.slice_ref(chunk));
            if at == 0 {
                upload = self.0.first_chunk(id(n), &how, payload, NOW)?;
            } else {
                self.0.chunk(upload, (at as u64) << 20, payload, NOW)?;
            }
        }
        self.0.commit_upload(upload, described(bytes), how, NOW)
    }

    fn upkeep(&mut self, now_ms: u64) {
        loop {
            let chores = self.0.chores(now_ms);
            if chores.is_empty() {
                return;
            }
            for chore in chores {
                let done = chore.run(&mut |_| true);
                self.0.finish(done).expect("a chore succeeds");
            }
        }
    }
}

fn read(reader: &Reader, n: u64) -> Result<Vec<u8>, ReadError> {
    let open = reader.open(id(n))?;
    let mut all = Vec::new();
    while all.len() < open.content().size as usize {
        all.extend_from_slice(&open.read(all.len() as u64, 300_000)?);
    }
    Ok(all)
}

const UPDATE: How = How::Update { if_match: None };

// If this fails, nothing works.
#[test]
fn contents_live_through_restarts() {
    let dir = tempfile::tempdir().expect("a folder");
    let (small, large) = (body(1, 1000), body(2, (5 << 20) + 77));
    let mut owner = Owner::open(dir.path(), 1);
    owner.put(1, &small, How::Create).expect("stores");
    owner.put_chunks(2, &large, How::Create).expect("stores");
    owner.put(3, &small, How::Create).expect("stores");
    let reader = owner.0.reader();
    assert!(
        matches!(read(&reader, 1), Err(ReadError::NotFound)),
        "uncommitted, and visible"
    );
    owner.commit();
    assert_eq!(read(&reader, 1).expect("reads"), small);
    assert_eq!(read(&reader, 2).expect("reads"), large);
    owner.put_chunks(1, &large, UPDATE).expect("updates");
    owner.put(2, &small, UPDATE).expect("updates");
    owner.0.delete(id(3), None, NOW).expect("deletes");
    let change = Describe {
        filename: Some("b".to_owned()),
        ..Describe::default()
    };
    owner
        .0
        .describe(id(2), change, None, NOW)
        .expect("describes");
    owner.commit();
    for epoch in 2..5 {
        let reader = owner.0.reader();
        assert_eq!(read(&reader, 1).expect("reads"), large);
        assert_eq!(read(&reader, 2).expect("reads"), small);
        assert_eq!(reader.content(id(2)).expect("reads").filename, "b");
        assert_eq!(reader.content(id(2)).expect("reads").version, 2);
        assert!(matches!(read(&reader, 3), Err(ReadError::Deleted)));
        assert_eq!(owner.0.usage().contents, 2);
        owner.upkeep(NOW);
        drop(owner);
        owner = Owner::open(dir.path(), epoch);
    }
}

// If this fails, deleted space never comes back.
#[test]
fn space_comes_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut owner = Owner::open(dir.path(), 1);
    for n in 0..20_000 {
        owner.put(n, &body(n, 1000), How::Create).expect("stores");
    }
    let large = body(7, 20 << 20);
    owner
        .put_chunks(100_000, &large, How::Create)
        .expect("stores");
    owner.commit();
    let full = owner.0.usage().space;
    for n in (0..20_000).filter(|n| n % 100 != 0) {
        owner.0.delete(id(n), None, NOW).expect("deletes");
    }
    let open = owner.0.reader().open(id(100_000)).expect("opens");
    owner.0.delete(id(100_000), None, NOW).expect("deletes");
    owner.commit();
    owner.upkeep(NOW);
    assert_eq!(
        open.read(15 << 20, 1000).expect("reads on"),
        large[15 << 20..][..1000]
    );
    drop(open);
    owner.upkeep(NOW);
    let space = owner.0.usage().space;
    assert!(
        space.log - space.holes < full.log / 4,
        "{space:?} after {full:?}"
    );
    let week = NOW + wire::limits::DELETE_RECORD_LIFE_MS;
    owner.upkeep(week);
    drop(owner);
    let mut owner = Owner::open(dir.path(), 2);
    owner.upkeep(week);
    let reader = owner.0.reader();
    for n in 0..20_000 {
        match read(&reader, n) {
            Ok(bytes) if n % 100 == 0 => assert_eq!(bytes, body(n, 1000)),
            Err(ReadError::Deleted | ReadError::NotFound) if n % 100 != 0 => {}
            other => panic!("{n}: {other:?}"),
        }
    }
    assert_eq!(owner.0.usage().contents, 200);
}

// If this fails, a retried request stores a content twice, or over another.
#[test]
fn repeated_requests_are_told_from_conflicts() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut owner = Owner::open(dir.path(), 1);
    let (a, b) = (body(1, 100), body(2, 100));
    let hash = |bytes: &Bytes| Checksum(*blake3::hash(bytes).as_bytes());
    let first = owner.put(1, &a, How::Create).expect("stores");
    let again = owner.put(1, &a, How::Create).expect("the same again");
    assert!(!first.repeated && again.repeated && again.lsn == first.lsn);
    assert!(matches!(
        owner.put(1, &b, How::Create),
        Err(ChangeError::Conflict)
    ));
    let onto_a = How::Update {
        if_match: Some(hash(&a)),
    };
    assert_eq!(owner.put(1, &b, onto_a).expect("updates").version, 2);
    let again = owner.put(1, &b, onto_a).expect("the same again");
    assert!(again.repeated && again.version == 2);
    owner.commit();
    assert!(
        owner
            .put(1, &a, How::Create)
            .expect("the first again")
            .repeated
    );
    assert!(matches!(
        owner.put(1, &a, onto_a),
        Err(ChangeError::PreconditionFailed { current }) if current == hash(&b)
    ));
    assert!(!owner.0.delete(id(1), None, NOW).expect("deletes").repeated);
    assert!(
        owner
            .0
            .delete(id(1), None, NOW)
            .expect("the same again")
            .repeated
    );
    assert!(matches!(
        owner.put(1, &a, How::Create),
        Err(ChangeError::Deleted)
    ));
    assert!(matches!(
        owner.0.delete(id(2), None, NOW),
        Err(ChangeError::NotFound)
    ));
    let late = NOW + wire::limits::ID_AGE_MS_MAX + 1;
    let refused = owner
        .0
        .put(id(9), described(&a), How::Create, Payload::new(a), late);
    assert!(matches!(refused, Err(ChangeError::IdRefused(_))));
}
