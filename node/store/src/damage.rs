//! What is known to be damaged here, at or below the commit.

use std::collections::{BTreeMap, BTreeSet};

use wire::{ContentId, Lsn};

/// Known damage, as far as it was found: by reads, by a scrub, or when the log was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Contents of which some record cannot be read.
    pub contents: Vec<DamagedContent>,
    /// Places where records were lost when the log was opened: their headers cannot be read.
    pub lost: Vec<Lost>,
    /// Lost records that were written again. They count when the log is opened again.
    pub mended: Vec<Lsn>,
}

/// A content whose copy here is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedContent {
    /// Which.
    pub content: ContentId,
    /// Its damaged records, as far as they are known: empty when it is only known that a header of
    /// it cannot be read. [`crate::Reader::needed`] at an intact replica tells all that it needs.
    pub records: Vec<Lsn>,
}

/// A place where no record can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The first lsn that may have been there.
    pub first: Lsn,
    /// The last one.
    pub last: Lsn,
}

/// The same, as the store keeps it.
#[derive(Debug, Default)]
pub(crate) struct KnownDamage {
    /// The damaged records of contents; [`Lsn::ZERO`] for one whose very header is damaged.
    contents: BTreeMap<[u8; 16], BTreeSet<Lsn>>,
    /// Contents of which a later record than the index knows is damaged: what the index leads to
    /// may be out of date.
    suspects: BTreeSet<[u8; 16]>,
    /// Places where headers are damaged, so that nobody can tell whose they are: first and last lsn.
    lost: BTreeMap<Lsn, Lsn>,
    /// Ids minted up to here may be among those, in milliseconds since 1970.
    lost_until_ms: u64,
    mended: BTreeSet<Lsn>,
}

impl KnownDamage {
    pub(crate) fn note(&mut self, id: [u8; 16], lsn: Lsn) {
        self.contents.entry(id).or_default().insert(lsn);
    }

    /// Whether this record of a content was found damaged.
    pub(crate) fn is_known(&self, id: &[u8; 16], lsn: Lsn) -> bool {
        let records = self.contents.get(id);
        records.is_some_and(|records| records.contains(&lsn))
    }

    pub(crate) fn suspect(&mut self, id: [u8; 16]) {
        self.suspects.insert(id);
    }

    pub(crate) fn is_suspect(&self, id: &[u8; 16]) -> bool {
        self.suspects.contains(id)
    }

    pub(crate) fn lose(&mut self, first: Lsn, last: Lsn) {
        self.lost.insert(first, last.max(first));
    }

    pub(crate) fn is_damaged(&self, id: &[u8; 16]) -> bool {
        self.contents.contains_key(id)
    }

    /// No lost record is of a content minted after this.
    pub(crate) fn lost_until(&mut self, ms: u64) {
        self.lost_until_ms = ms;
    }

    /// Whether a content of which nothing is known could be one whose record is lost.
    pub(crate) fn may_be_lost(&self, minted_ms: u64) -> bool {
        !self.lost.is_empty() && minted_ms <= self.lost_until_ms
    }

    /// Whether a record between these two is lost.
    pub(crate) fn is_lost_between(&self, after: Lsn, before: Lsn) -> bool {
        let mut lost = self.lost.range(..before);
        lost.next_back().is_some_and(|(_, last)| *last > after)
    }

    /// Damage of a content that is gone, or replaced, is nobody's concern any more.
    pub(crate) fn forget(&mut self, id: &[u8; 16]) {
        self.contents.remove(id);
        self.suspects.remove(id);
    }

    /// A record of a content was written again, and verified.
    pub(crate) fn mend(&mut self, id: &[u8; 16], lsn: Lsn) {
        if let Some(records) = self.contents.get_mut(id) {
            records.remove(&lsn);
            if records.is_empty() {
                self.contents.remove(id);
            }
        }
        if self.is_lost_between(lsn.previous(), lsn.next()) {
            self.mended.insert(lsn);
        }
    }

    pub(crate) fn count(&self) -> u64 {
        (self.contents.len() + self.lost.len()) as u64
    }

    pub(crate) fn report(&self) -> Damage {
        let contents = self.contents.iter().filter_map(|(id, records)| {
            let known = records.iter().filter(|lsn| **lsn > Lsn::ZERO);
            Some(DamagedContent {
                content: ContentId::from_bytes(*id).ok()?,
                records: known.copied().collect(),
            })
        });
        let lost = self.lost.iter();
        Damage {
            contents: contents.collect(),
            lost: lost
                .map(|(first, last)| Lost {
                    first: *first,
                    last: *last,
                })
                .collect(),
            mended: self.mended.iter().copied().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::id;

    // If this fails, a content that was repaired answers as damaged, or one that was not does not.
    #[test]
    fn a_content_is_damaged_until_its_last_record_is_mended() {
        let mut known = KnownDamage::default();
        let content = id(1).bytes();
        for lsn in [7, 9, 0, 9] {
            known.note(content, Lsn(lsn));
        }
        let listed = known.report().contents;
        assert_eq!(listed[0].records, [Lsn(7), Lsn(9)]);
        for lsn in [9, 0, 8] {
            known.mend(&content, Lsn(lsn));
            assert_eq!(known.count(), 1);
        }
        known.mend(&content, Lsn(7));
        assert_eq!(known.count(), 0);
        assert_eq!(known.report(), Damage::default());
    }

    // If this fails, a lost record is taken for one that never was.
    #[test]
    fn lost_records_are_counted_by_place_and_stay_until_the_log_is_opened_again() {
        let mut known = KnownDamage::default();
        for _ in 0..2 {
            known.lose(Lsn(5), Lsn(6));
        }
        known.lose(Lsn(9), Lsn(3));
        known.lost_until(100);
        assert_eq!(known.count(), 2);
        assert!(known.may_be_lost(100) && !known.may_be_lost(101));
        let is_lost = |after, before| known.is_lost_between(Lsn(after), Lsn(before));
        assert!(is_lost(4, 6) && is_lost(5, 7) && is_lost(1, 99) && is_lost(8, 10));
        assert!(!is_lost(6, 9) && !is_lost(1, 5) && !is_lost(9, 99));
        known.mend(&[0; 16], Lsn(6));
        known.mend(&[0; 16], Lsn(7));
        let report = known.report();
        assert_eq!(report.mended, [Lsn(6)]);
        assert_eq!(report.lost.len(), 2);
    }
}
