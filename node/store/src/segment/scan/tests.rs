//! What a scan makes of each sort of bytes that a crash, or rot, can leave in a segment.

use std::sync::Arc;

use bytes::Bytes;
use wire::{Epoch, Lsn};

use super::{DecodeHeadError, Found, Scan, Suspect};
use crate::disk::{Disk, File};
use crate::record::{Head, Kind, Payload, Record};
use crate::segment::entry::Entry;
use crate::segment::header::SEGMENT_HEADER_BYTES;
use crate::stage::{LOG, body, dir, empty_disk};

/// A segment file that records are laid into, one behind the other.
struct Tape {
    file: Arc<dyn File>,
    entries: Vec<Entry>,
    end: u64,
}

fn record(lsn: u64, payload: Bytes) -> Record {
    let head = Head {
        kind: Kind::Put,
        log: LOG,
        lsn: Lsn(lsn),
        epoch: Epoch(1),
        commit: Lsn(lsn.saturating_sub(1)),
        id: [lsn as u8; 16],
        version: 1,
        upload: Lsn::ZERO,
        offset: 0,
        size: payload.len() as u64,
        payload_bytes: 0,
        time_ms: 5,
        supersedes: Lsn(lsn / 2),
        metadata_bytes: 0,
    };
    Record::new(head, b"its metadata", Payload::new(payload))
}

impl Tape {
    fn new() -> Tape {
        let disk = empty_disk();
        let file = disk.create(&dir().join("tape")).expect("a new name");
        Tape {
            file,
            entries: Vec::new(),
            end: SEGMENT_HEADER_BYTES,
        }
    }

    /// Small records of these lsns, one behind the other.
    fn with(lsns: &[u64]) -> Tape {
        let mut tape = Tape::new();
        for &lsn in lsns {
            tape.lay(&record(lsn, body(lsn, 500)));
        }
        tape
    }

    fn lay(&mut self, record: &Record) {
        let entry = Entry::new(&record.head, self.end);
        self.write(&record.head_bytes, self.end);
        let payload_at = entry.lengths.payload_start(self.end);
        self.write(record.payload.bytes(), payload_at);
        self.end = entry.end();
        let length = self.file.len().expect("a healthy disk").max(self.end);
        self.file.set_len(length).expect("a healthy disk");
        self.entries.push(entry);
    }

    fn write(&self, bytes: &[u8], at: u64) {
        self.file.write_at(bytes, at).expect("a healthy disk");
    }

    /// Inverts bits of a record's header.
    fn flip(&self, record: usize, at: u64, bits: u8) {
        let mut byte = [0];
        let at = self.entries[record].start + at;
        self.file.read_at(&mut byte, at).expect("a healthy disk");
        self.write(&[byte[0] ^ bits], at);
    }

    fn scan(&self) -> Scan<'_> {
        Scan::new(&*self.file, LOG, SEGMENT_HEADER_BYTES).expect("a healthy disk")
    }

    /// The lsns up to the first thing that is no record, and that thing.
    fn walk(&self) -> (Vec<u64>, Found) {
        let mut scan = self.scan();
        let mut lsns = Vec::new();
        loop {
            match scan.next().expect("a healthy disk") {
                Found::Record { entry, head } => {
                    assert_eq!(entry, self.entries[lsns.len()]);
                    assert_eq!(entry.lsn, head.lsn);
                    lsns.push(entry.lsn.0);
                }
                other => return (lsns, other),
            }
        }
    }

    /// Where a scan goes on behind this record, damaged, and what it suspects on the way.
    fn behind(&self, record: usize, after: u64) -> (Option<(u64, Lsn)>, Vec<Suspect>) {
        let mut suspects = Vec::new();
        let start = self.entries[record].start;
        let next = self.scan().resynchronise(start, Lsn(after), &mut suspects);
        (next.expect("a healthy disk"), suspects)
    }
}

// If this fails, a restart does not find the contents that are there.
#[test]
fn records_are_found_one_behind_the_other_up_to_the_files_end() {
    let mut tape = Tape::with(&[1, 2, 5]);
    tape.lay(&record(6, body(6, 400_000)));
    tape.lay(&record(7, Bytes::new()));
    let (lsns, end) = tape.walk();
    assert_eq!(lsns, [1, 2, 5, 6, 7]);
    assert!(matches!(end, Found::End));
    assert_eq!(tape.entries[3].lengths.payload_start(0) % 4096, 0);
}

// If this fails, space that was reserved ahead is taken for damage, or damage for reserved space.
#[test]
fn only_zeros_up_to_the_end_are_the_end() {
    let tape = Tape::with(&[1, 2]);
    for length in [1, 7, 127, 128, 4096, 600_000] {
        tape.file.set_len(tape.end + length).expect("healthy");
        assert!(matches!(tape.walk().1, Found::End), "{length} zeros");
    }
    tape.write(&[1], tape.end + 599_999);
    let (lsns, end) = tape.walk();
    assert_eq!(lsns, [1, 2]);
    assert!(matches!(end, Found::Damage(DecodeHeadError::Zeros)));
}

// If this fails, a record that a crash cut short is served.
#[test]
fn a_record_that_the_file_ends_in_is_damage() {
    let tape = Tape::with(&[1, 2, 3]);
    let last = tape.entries[2];
    let payload_end = last.lengths.payload_start(last.start) + last.lengths.payload;
    for length in [last.start + 1, last.start + 130, payload_end - 1] {
        tape.file.set_len(length).expect("a healthy disk");
        let (lsns, end) = tape.walk();
        assert_eq!(lsns, [1, 2]);
        assert!(matches!(end, Found::Damage(_)), "cut at {length}: {end:?}");
    }
}

// If this fails, one damaged header takes everything behind it along.
#[test]
fn a_scan_goes_on_behind_damage_at_the_next_intact_record() {
    let tape = Tape::with(&[1, 2, 3, 4]);
    tape.flip(1, 24, 1);
    let (lsns, end) = tape.walk();
    assert_eq!(lsns, [1]);
    assert!(matches!(end, Found::Damage(DecodeHeadError::Checksum)));
    let mut scan = tape.scan();
    let next = scan.resynchronise(tape.entries[1].start, Lsn(1), &mut Vec::new());
    let third = tape.entries[2];
    assert_eq!(next.expect("healthy"), Some((third.start, third.lsn)));
    assert_eq!(scan.position(), third.start);
    let Found::Record { entry, .. } = scan.next().expect("healthy") else {
        panic!("the third record is intact");
    };
    assert_eq!(entry, third);
}

// If this fails, records that a truncation had cut come back behind damage.
#[test]
fn a_scan_does_not_go_on_at_a_stale_record() {
    let mut tape = Tape::with(&[4, 5, 2, 3]);
    tape.flip(1, 24, 1);
    assert_eq!(tape.behind(1, 4).0, None);
    tape.lay(&record(9, body(9, 10)));
    let last = tape.entries[4];
    assert_eq!(tape.behind(1, 4).0, Some((last.start, Lsn(9))));
}

// If this fails, damage in an update's header lets the version before it be served.
#[test]
fn a_damaged_header_says_whose_it_seems_to_be() {
    let tape = Tape::with(&[10, 11, 12]);
    tape.flip(1, 24, 1);
    let suspect = Suspect {
        start: tape.entries[1].start,
        end: tape.entries[1].end(),
        lsn: Lsn(11),
        id: [11; 16],
        supersedes: Lsn(5),
    };
    assert_eq!(tape.behind(1, 10).1, [suspect]);
    tape.flip(1, 0, 0xff);
    assert_eq!(tape.behind(1, 10).1, [suspect], "the log's id is enough");
    tape.flip(1, 8, 0xff);
    assert_eq!(
        tape.behind(1, 10).1,
        [],
        "nothing tells that it is a header"
    );
    tape.flip(1, 0, 0xff);
    assert_eq!(tape.behind(1, 10).1, [suspect], "the magic is enough");
}

// If this fails, of two damaged records only the first one's content is held back.
#[test]
fn every_damaged_header_on_the_way_is_suspected() {
    let tape = Tape::with(&[10, 11, 12, 13]);
    tape.flip(1, 24, 1);
    tape.flip(2, 124, 1);
    let (next, suspects) = tape.behind(1, 10);
    assert_eq!(next, Some((tape.entries[3].start, Lsn(13))));
    let ids: Vec<u8> = suspects.iter().map(|suspect| suspect.id[0]).collect();
    assert_eq!(ids, [11, 12]);
}

// If this fails, an old program takes a newer log's records for damage and writes over them, or
// takes damage for a newer version and does not start.
#[test]
fn a_later_version_is_told_from_a_damaged_byte() {
    let tape = Tape::with(&[1, 2, 3]);
    for (at, bits) in [(4, 0x02), (5, 0x08), (6, 0x01), (7, 0x40)] {
        tape.flip(1, at, bits);
        let (_, end) = tape.walk();
        assert!(
            matches!(end, Found::Damage(DecodeHeadError::Checksum)),
            "byte {at}: {end:?}"
        );
        tape.flip(1, at, bits);
    }
    let mut newer = record(2, body(2, 500)).head_bytes.to_vec();
    newer[5] = 8;
    let sum = crate::checksum::crc32c(&[&newer[..124], &newer[128..]].concat());
    newer[124..128].copy_from_slice(&sum.to_le_bytes());
    tape.write(&newer, tape.entries[1].start);
    let (lsns, end) = tape.walk();
    assert_eq!(lsns, [1]);
    assert!(matches!(
        end,
        Found::Damage(DecodeHeadError::Unknown { kind: 8, .. })
    ));
}

// If this fails, what a newer program stored behind a damaged record is passed over, and cut off.
#[test]
fn a_scan_goes_on_behind_damage_at_a_later_versions_record() {
    let tape = Tape::with(&[1, 2, 3, 4]);
    tape.flip(1, 24, 1);
    let mut later = record(3, body(3, 500)).head_bytes.to_vec();
    later[6] = 1;
    let sum = crate::checksum::crc32c(&[&later[..124], &later[128..]].concat());
    later[124..128].copy_from_slice(&sum.to_le_bytes());
    tape.write(&later, tape.entries[2].start);
    let (third, fourth) = (tape.entries[2], tape.entries[3]);
    assert_eq!(tape.behind(1, 1).0, Some((third.start, Lsn(3))));
    assert_eq!(tape.behind(1, 3).0, Some((fourth.start, Lsn(4))), "stale");
    tape.flip(2, 125, 1);
    assert_eq!(tape.behind(1, 1).0, Some((fourth.start, Lsn(4))), "damaged");
}

// If this fails, a format that keeps its checksum elsewhere is read as damage, and cut off.
#[test]
fn a_later_format_is_unknown_whatever_its_checksum() {
    let tape = Tape::with(&[1, 2, 3]);
    tape.flip(1, 4, 0x02);
    tape.flip(1, 125, 0xff);
    let (_, end) = tape.walk();
    let unknown = DecodeHeadError::Unknown {
        format: 3,
        kind: 1,
        flags: 0,
        codec: 0,
    };
    assert!(
        matches!(&end, Found::Damage(error) if *error == unknown),
        "{end:?}"
    );
}

// If this fails, a superseded content is not found, and its old bytes are served.
#[test]
fn a_record_is_found_by_its_lsn_also_behind_damage() {
    let tape = Tape::with(&[1, 2, 5, 6]);
    let find = |lsn| tape.scan().find(Lsn(lsn)).expect("healthy");
    assert_eq!(find(5), Some(tape.entries[2]));
    assert_eq!(find(3), None, "it was compacted");
    assert_eq!(find(7), None, "it was never written");
    tape.flip(1, 24, 1);
    assert_eq!(find(6), Some(tape.entries[3]));
    assert_eq!(find(2), None, "it cannot be read");
    tape.flip(2, 24, 1);
    tape.flip(3, 24, 1);
    assert_eq!(find(6), None);
}

// If this fails, records at the border of two reads are taken for damage.
#[test]
fn a_record_may_lie_across_the_border_of_two_reads() {
    for first in 0..6 {
        let mut tape = Tape::new();
        tape.lay(&record(1, body(1, 60_000 + 8 * first)));
        for lsn in 2..12 {
            tape.lay(&record(lsn, body(lsn, 33_333)));
        }
        let (lsns, end) = tape.walk();
        assert_eq!(lsns, (1..12).collect::<Vec<u64>>());
        assert!(matches!(end, Found::End));
    }
}

// If this fails, another log's records are taken for this one's.
#[test]
fn another_logs_records_are_damage_here() {
    let tape = Tape::with(&[1, 2]);
    let mut scan = Scan::new(&*tape.file, LOG + 1, SEGMENT_HEADER_BYTES).expect("healthy");
    let found = scan.next().expect("a healthy disk");
    assert!(matches!(found, Found::Damage(DecodeHeadError::Foreign)));
    assert_eq!(scan.position(), SEGMENT_HEADER_BYTES, "it stays there");
}
