//! Reading what is on the disk, whatever the cache still has.

use crate::ReadError;
use crate::stage::{Stage, body, id, read_all};

// If this fails, a copy is said to be intact while only the page cache is.
#[test]
fn what_rots_under_the_cache_is_found() {
    for (length, at) in [(1_000, 500), (100_000, 90_000), (300_000, 150_000)] {
        let mut stage = Stage::new();
        let bytes = body(1, length);
        if length > 200_000 {
            stage.upload(1, &bytes, 65_536);
        } else {
            stage.put(1, &bytes);
        }
        stage.settle_durably();
        let reader = stage.store.reader();
        let open = reader.open_from_disk(id(1)).expect("is intact");
        assert_eq!(read_all(&open).expect("is intact"), bytes);
        assert!(!reader.is_damaged(id(1)));

        let lsns = reader.needed(id(1)).expect("is intact");
        let lsn = lsns[if lsns.len() > 1 { 1 } else { 0 }];
        let (path, entry) = stage.place_of(lsn).expect("the record is there");
        let payload = entry.lengths.payload_start(entry.start);
        let at = if lsns.len() > 1 { 10 } else { at };
        stage
            .disk
            .rot_bit(&path, payload + at, 3)
            .expect("is there");
        let open = reader.open(id(1)).expect("the cache has it");
        assert_eq!(read_all(&open).expect("the cache has it"), bytes);
        let read = reader
            .open_from_disk(id(1))
            .and_then(|open| read_all(&open));
        assert!(matches!(read, Err(ReadError::Damaged { .. })), "{length}");
        assert!(reader.is_damaged(id(1)));
        assert_eq!(reader.damage_count(), 1);
    }
}
