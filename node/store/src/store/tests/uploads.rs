//! Uploads in chunks: what they come to when they are closed, and what ends them before.

use wire::Lsn;

use super::{onto, said};
use crate::stage::{Stage, UPDATE, body, hash, id};
use crate::{ChangeError, How, Payload, ReadError};

const CHUNK: usize = 66_000;

/// Uploads these bytes, and says what it comes to.
fn uploaded(stage: &mut Stage, n: u64, seed: u64, how: How) -> String {
    let bytes = body(seed, 198_000);
    match stage.begin_upload(n, &bytes, CHUNK, how) {
        Ok(upload) => said(&stage.close_upload(upload, &bytes, how)),
        Err(error) => said(&Err(error)),
    }
}

fn dead(stage: &Stage) -> u64 {
    stage.store.usage().space.dead
}

// If this fails, large contents come back with other bytes, or not at all.
#[test]
fn a_content_in_chunks_is_the_bytes_of_its_chunks() {
    let mut stage = Stage::new();
    for (n, length) in [(1, 198_000), (2, CHUNK), (3, CHUNK + 1), (4, 3)] {
        stage.upload(n, &body(n, length), CHUNK);
    }
    stage.settle_durably();
    for _ in 0..2 {
        for (n, length) in [(1, 198_000), (2, CHUNK), (3, CHUNK + 1), (4, 3)] {
            assert_eq!(stage.read(n).expect("stored"), body(n, length));
            let content = stage.store.reader().content(id(n)).expect("stored");
            assert_eq!((content.size, content.version), (length as u64, 1));
        }
        assert_eq!(stage.store.usage().contents, 4);
        stage.restart();
    }
}

// If this fails, a retried large upload is stored twice, or its space is lost.
#[test]
fn a_repeated_upload_is_aborted_and_gets_the_first_receipt() {
    let mut stage = Stage::new();
    let first = stage.upload(1, &body(1, 198_000), CHUNK);
    stage.settle();
    let bytes = body(1, 198_000);
    let upload = stage
        .begin_upload(1, &bytes, CHUNK, How::Create)
        .expect("only its hash tells");
    let again = stage
        .close_upload(upload, &bytes, How::Create)
        .expect("same");
    assert!(again.repeated);
    assert_eq!((again.lsn, again.version), (first.lsn, 1));
    assert_eq!(again.checksum, hash(&bytes));
    assert!(stage.store.uploads.get(upload).is_none(), "it is ended");
    let before = dead(&stage);
    stage.settle();
    assert!(dead(&stage) >= before + 198_000, "its chunks are dead");
    assert_eq!(stage.read(1).expect("the first"), bytes);
}

// If this fails, an upload that may not be closed holds its space for ever.
#[test]
fn an_upload_that_is_refused_at_its_end_is_aborted() {
    let mut stage = Stage::new();
    assert_eq!(uploaded(&mut stage, 1, 1, How::Create), "v1");
    assert_eq!(uploaded(&mut stage, 1, 2, How::Create), "conflict");
    let of_first = onto(hash(&body(1, 198_000)));
    let late = body(3, 198_000);
    let upload = stage
        .begin_upload(1, &late, CHUNK, of_first)
        .expect("current");
    assert_eq!(uploaded(&mut stage, 1, 2, of_first), "v2");
    let refused = stage.close_upload(upload, &late, of_first);
    assert_eq!(said(&refused), "precondition");
    let deleted = stage.begin_upload(1, &late, CHUNK, UPDATE).expect("live");
    stage.delete(1);
    assert_eq!(said(&stage.close_upload(deleted, &late, UPDATE)), "deleted");
    assert_eq!(stage.store.uploads.names().count(), 0);
    stage.settle();
    stage.upkeep();
    let space = stage.store.usage().space;
    assert!(space.live + space.dead < 20_000, "{space:?}");
    stage.assert_accounts();
}

// If this fails, a retry of a large update makes a third version, or is refused.
#[test]
fn a_repeated_update_in_chunks_gets_the_first_receipt() {
    let mut stage = Stage::new();
    assert_eq!(uploaded(&mut stage, 1, 1, How::Create), "v1");
    let how = onto(hash(&body(1, 198_000)));
    assert_eq!(uploaded(&mut stage, 1, 2, how), "v2");
    assert_eq!(uploaded(&mut stage, 1, 2, how), "again v2");
    assert_eq!(uploaded(&mut stage, 1, 3, how), "precondition");
    assert_eq!(uploaded(&mut stage, 1, 3, UPDATE), "v3");
}

// If this fails, two clients upload one new id at once, and one of them loses bytes.
#[test]
fn one_upload_of_a_new_id_runs_at_a_time() {
    let mut stage = Stage::new();
    let bytes = body(1, 198_000);
    let upload = stage.begin_upload(1, &bytes, CHUNK, How::Create);
    let upload = upload.expect("new");
    let second = stage.begin_upload(1, &bytes, CHUNK, How::Create);
    assert!(matches!(second, Err(ChangeError::InProgress)));
    let put = stage.try_put(1, &body(1, 100), How::Create);
    assert_eq!(said(&put), "in progress");
    assert_eq!(uploaded(&mut stage, 2, 2, How::Create), "v1", "another id");
    let closed = stage.close_upload(upload, &bytes, How::Create);
    assert_eq!(said(&closed), "v1", "its own upload is in nobody's way");
    assert_eq!(uploaded(&mut stage, 1, 1, How::Create), "again v1");
}

// If this fails, an aborted upload blocks its id, or leaves half a content.
#[test]
fn an_aborted_upload_leaves_nothing() {
    let mut stage = Stage::new();
    let bytes = body(1, 198_000);
    let upload = stage.begin_upload(1, &bytes, CHUNK, How::Create);
    let upload = upload.expect("new");
    stage.settle();
    assert!(matches!(stage.read(1), Err(ReadError::NotFound)));
    stage
        .store
        .abort(upload, stage.now_ms)
        .expect("there is room");
    let end = stage.store.positions().appended;
    stage
        .store
        .abort(upload, stage.now_ms)
        .expect("nothing to do");
    assert_eq!(stage.store.positions().appended, end);
    stage.settle();
    assert!(dead(&stage) >= 198_000);
    stage.upkeep();
    assert!(stage.store.usage().space.holes >= 196_608);
    let closed = stage.close_upload(upload, &bytes, How::Create);
    assert_eq!(said(&closed), "no upload");
    let chunk = stage.store.chunk(upload, 198_000, Payload::empty(), 0);
    assert!(matches!(chunk, Err(ChangeError::NoSuchUpload)));
    assert_eq!(uploaded(&mut stage, 1, 3, How::Create), "v1");
}

// If this fails, an upload that began under another leader is closed over records it never saw.
#[test]
fn a_new_epoch_ends_every_open_upload() {
    let mut stage = Stage::new();
    let bytes = body(1, 198_000);
    let uploads: Vec<Lsn> = (1..4)
        .map(|n| stage.begin_upload(n, &bytes, CHUNK, How::Create))
        .collect::<Result<_, _>>()
        .expect("new");
    stage.begin(2);
    for upload in uploads {
        let closed = stage.close_upload(upload, &bytes, How::Create);
        assert_eq!(said(&closed), "no upload");
    }
    stage.settle();
    stage.upkeep();
    let space = stage.store.usage().space;
    assert!(space.live + space.dead < 20_000, "{space:?}");
    assert_eq!(uploaded(&mut stage, 2, 2, How::Create), "v1");
}

// If this fails, an upload loses a part, or has one twice.
#[test]
#[should_panic(expected = "chunks follow each other")]
fn a_chunk_belongs_behind_the_one_before() {
    let mut stage = Stage::new();
    let begun = stage.begin_upload(1, &body(1, 1_000), 1_000, How::Create);
    let payload = Payload::new(body(2, 10));
    let chunk = stage
        .store
        .chunk(begun.expect("new"), 999, payload, stage.now_ms);
    panic!("it was taken: {}", chunk.is_ok());
}

// If this fails, a content is shorter than its receipt says.
#[test]
#[should_panic(expected = "the chunks are the whole content")]
fn an_upload_is_closed_with_all_its_bytes() {
    let mut stage = Stage::new();
    let begun = stage.begin_upload(1, &body(1, 1_000), 1_000, How::Create);
    let upload = begun.expect("new");
    let closed = stage.close_upload(upload, &body(1, 1_001), How::Create);
    panic!("it was closed: {}", closed.is_ok());
}

// If this fails, an upload that many others run beside gets parts of theirs.
#[test]
fn uploads_that_run_beside_each_other_keep_apart() {
    let mut stage = Stage::new();
    let bodies: Vec<_> = (0..5).map(|n| body(n, 100_000)).collect();
    let mut uploads = [Lsn::ZERO; 5];
    for (round, from) in (0..100_000).step_by(9_000).enumerate() {
        for (n, bytes) in bodies.iter().enumerate() {
            let part = bytes.slice(from..bytes.len().min(from + 9_000));
            let payload = Payload::new(part);
            if round == 0 {
                let how = How::Create;
                let first = stage
                    .store
                    .first_chunk(id(n as u64), &how, payload, stage.now_ms);
                uploads[n] = first.expect("new");
            } else {
                let chunk = stage
                    .store
                    .chunk(uploads[n], from as u64, payload, stage.now_ms);
                chunk.expect("there is room");
            }
        }
    }
    for (n, bytes) in bodies.iter().enumerate().rev() {
        let closed = stage.close_upload(uploads[n], bytes, How::Create);
        assert_eq!(said(&closed), "v1");
    }
    stage.settle();
    for (n, bytes) in bodies.iter().enumerate() {
        assert_eq!(&stage.read(n as u64).expect("stored"), bytes);
    }
}
