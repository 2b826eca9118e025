//! The overlay of what is not committed yet, and the uploads that are open: each step, and its
//! undoing.

use wire::{ContentId, Epoch, Lsn};

use super::{Pending, PendingRecord, Upload, Uploads};
use crate::content::Content;
use crate::record::layout::Lengths;
use crate::record::{ChunkRef, Kind};
use crate::segment::entry::Entry;
use crate::stage::{NOW_MS, id, new_content};

fn entry(kind: Kind, lsn: u64, n: u64, upload: u64) -> Entry {
    Entry {
        lsn: Lsn(lsn),
        start: 8 * lsn,
        lengths: Lengths {
            metadata: 0,
            payload: 100 * lsn,
        },
        id: id(n).bytes(),
        upload: Lsn(upload),
        epoch: Epoch::ZERO,
        time_ms: NOW_MS,
        supersedes: Lsn::ZERO,
        kind,
    }
}

fn pending(entry: Entry, content: Option<Content>, ended: Vec<Upload>) -> PendingRecord {
    PendingRecord {
        entry,
        epoch: Epoch(1),
        segment: 1,
        content,
        ended,
    }
}

fn content(n: u64) -> Option<Content> {
    Some(Content::first(id(n), new_content(b"x"), NOW_MS))
}

/// Records of contents: (lsn, number of the content).
fn overlay(records: &[(u64, u64)]) -> Pending {
    let mut overlay = Pending::default();
    for &(lsn, n) in records {
        overlay.push(pending(entry(Kind::Put, lsn, n, 0), content(n), Vec::new()));
    }
    overlay
}

fn latest(overlay: &Pending, n: u64) -> Option<u64> {
    overlay.latest(id(n)).map(|record| record.entry.lsn.0)
}

// If this fails, an update is decided on a version that another one has replaced already.
#[test]
fn the_last_pending_record_of_an_id_decides() {
    let overlay = overlay(&[(4, 1), (5, 2), (7, 1), (9, 2), (10, 3)]);
    assert_eq!(latest(&overlay, 1), Some(7));
    assert_eq!(latest(&overlay, 2), Some(9));
    assert_eq!(latest(&overlay, 3), Some(10));
    assert_eq!(latest(&overlay, 4), None);
}

// If this fails, a committed record still decides as if it could be undone, or the next does not.
#[test]
fn committed_records_leave_in_order() {
    let mut overlay = overlay(&[(4, 1), (5, 2), (7, 1)]);
    let popped = |overlay: &mut Pending, commit| {
        overlay
            .pop_committed(Lsn(commit))
            .map(|record| record.entry.lsn.0)
    };
    assert_eq!(popped(&mut overlay, 3), None);
    assert_eq!(popped(&mut overlay, 6), Some(4));
    assert_eq!(latest(&overlay, 1), Some(7));
    assert_eq!(popped(&mut overlay, 6), Some(5));
    assert_eq!(latest(&overlay, 2), None);
    assert_eq!(popped(&mut overlay, 6), None, "7 is not committed");
    assert_eq!(popped(&mut overlay, 7), Some(7));
    assert_eq!(
        (latest(&overlay, 1), popped(&mut overlay, 99)),
        (None, None)
    );
}

// If this fails, what a truncation cut off goes on deciding.
#[test]
fn truncated_records_leave_from_the_end() {
    let mut overlay = overlay(&[(4, 1), (5, 2), (7, 1)]);
    let popped =
        |overlay: &mut Pending, lsn| overlay.pop_above(Lsn(lsn)).map(|record| record.entry.lsn.0);
    assert_eq!(popped(&mut overlay, 4), Some(7));
    assert_eq!(latest(&overlay, 1), Some(4));
    assert_eq!(popped(&mut overlay, 4), Some(5));
    assert_eq!(popped(&mut overlay, 4), None);
    assert_eq!((latest(&overlay, 1), latest(&overlay, 2)), (Some(4), None));
}

// If this fails, a chunk of an upload is taken for the content itself.
#[test]
fn records_without_a_content_decide_nothing() {
    let mut overlay = Pending::default();
    overlay.push(pending(entry(Kind::Chunk, 4, 1, 4), None, Vec::new()));
    assert_eq!(latest(&overlay, 1), None);
    overlay.push(pending(entry(Kind::Put, 5, 1, 0), content(1), Vec::new()));
    overlay.push(pending(entry(Kind::Abort, 6, 1, 4), None, Vec::new()));
    assert_eq!(latest(&overlay, 1), Some(5));
    assert!(overlay.pop_above(Lsn(5)).is_some());
    assert!(overlay.pop_committed(Lsn(4)).is_some());
    assert_eq!(latest(&overlay, 1), Some(5));
}

/// Uploads after these entries, and what each of them ended.
fn follow(entries: &[Entry]) -> (Uploads, Vec<Vec<Upload>>) {
    let mut uploads = Uploads::default();
    let ended = entries.iter().map(|entry| uploads.follow(entry)).collect();
    (uploads, ended)
}

fn names(uploads: &Uploads) -> Vec<u64> {
    uploads.names().map(|lsn| lsn.0).collect()
}

// If this fails, a large content is put together from the wrong parts, or in the wrong order.
#[test]
fn chunks_gather_under_the_lsn_of_the_first() {
    let chunks = [
        entry(Kind::Chunk, 3, 1, 3),
        entry(Kind::Chunk, 4, 2, 4),
        entry(Kind::Chunk, 5, 1, 3),
        entry(Kind::Put, 6, 3, 0),
        entry(Kind::Chunk, 7, 1, 3),
    ];
    let (uploads, ended) = follow(&chunks);
    assert!(ended.iter().all(Vec::is_empty));
    assert_eq!(names(&uploads), [3, 4]);
    let upload = uploads.get(Lsn(3)).expect("it is open");
    let chunk = |lsn, offset| ChunkRef {
        lsn: Lsn(lsn),
        offset,
    };
    assert_eq!(upload.chunks, [chunk(3, 0), chunk(5, 300), chunk(7, 800)]);
    assert_eq!((upload.bytes, upload.id), (1_500, id(1).bytes()));
    assert!(uploads.get(Lsn(5)).is_none(), "only the first names it");
}

// If this fails, two uploads of one id run at once, or none ever can.
#[test]
fn an_id_is_in_progress_unless_the_upload_is_ones_own() {
    let (uploads, _) = follow(&[entry(Kind::Chunk, 3, 1, 3)]);
    assert!(uploads.has(id(1), None));
    assert!(uploads.has(id(1), Some(Lsn(4))));
    assert!(!uploads.has(id(1), Some(Lsn(3))));
    assert!(!uploads.has(id(2), None));
}

// If this fails, an upload that ended can be added to, or one that did not cannot.
#[test]
fn commit_and_abort_end_one_upload_and_an_epoch_all() {
    let begun = [
        entry(Kind::Chunk, 3, 1, 3),
        entry(Kind::Chunk, 4, 2, 4),
        entry(Kind::Chunk, 5, 3, 5),
        entry(Kind::Chunk, 6, 4, 6),
    ];
    let (mut uploads, _) = follow(&begun);
    for (kind, lsn, n, upload) in [(Kind::Commit, 7, 1, 3), (Kind::Abort, 8, 3, 5)] {
        let ended = uploads.follow(&entry(kind, lsn, n, upload));
        assert_eq!(ended.len(), 1, "{kind:?}");
        assert_eq!(ended[0].first, Lsn(upload));
    }
    assert_eq!(names(&uploads), [4, 6]);
    let none = uploads.follow(&entry(Kind::Abort, 9, 3, 5));
    assert_eq!(none, Vec::new(), "it ended before");
    for kind in [Kind::Put, Kind::Describe, Kind::Delete] {
        assert_eq!(uploads.follow(&entry(kind, 10, 2, 0)), Vec::new());
    }
    let ended = uploads.follow(&entry(Kind::Epoch, 11, 0, 0));
    let firsts: Vec<u64> = ended.iter().map(|upload| upload.first.0).collect();
    assert_eq!((firsts, names(&uploads)), (vec![4, 6], Vec::new()));
}

// If this fails, a truncation leaves an upload with parts that are not in the log.
#[test]
fn undoing_leads_back_through_every_state() {
    let steps = [
        entry(Kind::Chunk, 3, 1, 3),
        entry(Kind::Chunk, 4, 2, 4),
        entry(Kind::Chunk, 5, 1, 3),
        entry(Kind::Commit, 6, 1, 3),
        entry(Kind::Chunk, 7, 2, 4),
        entry(Kind::Abort, 8, 2, 4),
        entry(Kind::Chunk, 9, 3, 9),
        entry(Kind::Put, 10, 4, 0),
        entry(Kind::Epoch, 11, 0, 0),
    ];
    let mut uploads = Uploads::default();
    let mut states = Vec::new();
    let mut records = Vec::new();
    for step in steps {
        states.push(format!("{uploads:?}"));
        let ended = uploads.follow(&step);
        records.push(pending(step, None, ended));
    }
    assert_eq!(names(&uploads), Vec::<u64>::new());
    for (record, state) in records.iter().zip(&states).rev() {
        uploads.undo(record);
        assert_eq!(&format!("{uploads:?}"), state, "{:?}", record.entry.kind);
    }
}

// If this fails, a rewriting drops the parts of an upload whose commit can still be undone.
#[test]
fn uploads_that_pending_records_end_are_told() {
    let (mut uploads, _) = follow(&[entry(Kind::Chunk, 3, 1, 3), entry(Kind::Chunk, 4, 2, 4)]);
    let mut overlay = Pending::default();
    let commit = entry(Kind::Commit, 5, 1, 3);
    let ended = uploads.follow(&commit);
    overlay.push(pending(commit, content(1), ended));
    let told: Vec<Lsn> = overlay.upload_names().collect();
    assert_eq!(told, [Lsn(3)]);
    overlay.pop_committed(Lsn(5)).expect("it is committed");
    assert_eq!(overlay.upload_names().count(), 0);
}

// If this fails, the overlay of a busy leader mixes contents up.
#[test]
fn many_ids_keep_their_own_order() {
    let records: Vec<(u64, u64)> = (1..=300).map(|lsn| (lsn, lsn % 7)).collect();
    let mut overlay = overlay(&records);
    for commit in 1..=290 {
        overlay.pop_committed(Lsn(commit)).expect("in order");
    }
    for n in 0..7 {
        let expected = records.iter().rev().find(|record| record.1 == n);
        assert_eq!(latest(&overlay, n), expected.map(|record| record.0));
    }
    let ids: Vec<ContentId> = (0..7).map(id).collect();
    assert!(ids.iter().all(|id| overlay.latest(*id).is_some()));
}
