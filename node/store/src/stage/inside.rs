//! What only tests from inside the crate can see of a stage: records and accounts.

use std::path::PathBuf;

use wire::Lsn;

use super::{LOG, Stage, body, dir};
use crate::disk::File;
use crate::segment::entry::Entry;
use crate::segment::header::SEGMENT_HEADER_BYTES;
use crate::segment::scan::{Found, Scan};

/// All records that can be read in a segment file, from its start on.
pub(crate) fn entries(file: &dyn File) -> Vec<Entry> {
    let mut scan = Scan::new(file, LOG, SEGMENT_HEADER_BYTES).expect("a healthy disk");
    let mut entries = Vec::new();
    while let Found::Record { entry, .. } = scan.next().expect("a healthy disk") {
        entries.push(entry);
    }
    entries
}

impl Stage {
    /// Small contents, in a full segment and in the one that is written to; an intact copy; and how many.
    pub(crate) fn with_small_contents() -> (Stage, Stage, u64) {
        let mut stage = Stage::new();
        let mut n = 0;
        while stage.store.log.segments.len() < 2 || n % 100 > 0 {
            stage.put(n, &body(n, 100));
            n += 1;
        }
        stage.settle_durably();
        stage.upkeep();
        let copy = stage.on(stage.disk.kill());
        (stage, copy, n)
    }

    /// Commits everything so that a restart knows of it, by the commit marker.
    pub(crate) fn settle_durably(&mut self) {
        self.settle();
        let committed = self.store.positions().committed;
        let marker = &self.store.log.marker;
        marker.raise(committed).expect("a healthy disk");
    }

    /// The segment file that holds the record of this lsn, and the record's place in it.
    pub(crate) fn place_of(&self, lsn: Lsn) -> Option<(PathBuf, Entry)> {
        let states = self.store.log.segments.iter();
        let mut found = states.filter_map(|state| {
            let scan = Scan::new(&*state.segment.file, LOG, SEGMENT_HEADER_BYTES);
            let found = scan.expect("a healthy disk").find(lsn);
            let entry = found.expect("a healthy disk")?;
            Some((state.segment.name.path(dir()), entry))
        });
        found.next_back()
    }

    /// Inverts a bit of the record of this lsn, `at` bytes behind its start.
    pub(crate) fn flip(&self, lsn: Lsn, at: u64) {
        let (path, entry) = self.place_of(lsn).expect("the record is there");
        let flipped = self.disk.flip_bit(&path, entry.start + at, 3);
        flipped.expect("the byte is durable");
    }

    /// Changes five bytes of the record of this lsn, `at` bytes behind its start, so that the checksum of
    /// their block stays what it was.
    pub(crate) fn twist(&self, lsn: Lsn, at: u64) {
        // The polynomial of CRC-32C itself, lowest bit first.
        const POLYNOMIAL: u64 = 0x82f6_3b78 << 1 | 1;
        let (path, entry) = self.place_of(lsn).expect("the record is there");
        for bit in (0..33).filter(|bit| POLYNOMIAL >> bit & 1 == 1) {
            let at = entry.start + at + bit / 8;
            let flipped = self.disk.flip_bit(&path, at, (bit % 8) as u8);
            flipped.expect("the byte is durable");
        }
    }

    /// Makes the sector unreadable that is `at` bytes behind the start of the record of this lsn.
    pub(crate) fn break_sector(&self, lsn: Lsn, at: u64) {
        let (path, entry) = self.place_of(lsn).expect("the record is there");
        let broken = self.disk.break_sector(&path, entry.start + at);
        broken.expect("the file is there");
    }

    /// Ends what [`Stage::break_sector`] began, at a place that was found before.
    pub(crate) fn heal_sector(&self, (path, entry): &(PathBuf, Entry), at: u64) {
        let healed = self.disk.heal_sector(path, entry.start + at);
        healed.expect("the file is there");
    }

    /// The lsns of all records in the log's files.
    pub(crate) fn lsns(&self) -> Vec<u64> {
        let states = self.store.log.segments.iter();
        let entries = states.flat_map(|state| entries(&*state.segment.file));
        entries.map(|entry| entry.lsn.0).collect()
    }

    /// Appends small contents from number `from` on until the log has this many segments; returns
    /// the number after the last. Everything is committed then, and a restart knows it.
    pub(crate) fn fill(&mut self, from: u64, segments: usize) -> u64 {
        let mut n = from;
        while self.store.log.segments.len() < segments {
            self.put(n, &body(n, 10_000));
            self.settle();
            n += 1;
        }
        self.settle_durably();
        n
    }

    /// Every byte of every segment is accounted for once, and the holes are holes.
    pub(crate) fn assert_accounts(&self) {
        for state in &self.store.log.segments {
            let file = &*state.segment.file;
            let records: u64 = entries(file).iter().map(Entry::bytes).sum();
            assert_eq!(
                state.live + state.dead + state.holes,
                records,
                "{:?}",
                state.segment.name
            );
            let allocated = file.allocated().expect("a healthy disk");
            assert_eq!(
                allocated + state.holes,
                state.length.next_multiple_of(4096),
                "{:?}",
                state.segment.name
            );
        }
        let space = self.store.usage().space;
        assert_eq!(
            space.live + space.dead + space.overhead,
            space.log - space.holes
        );
    }
}
