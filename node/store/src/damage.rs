//! What is known to be damaged here, at or below the commit.

use std::collections::{BTreeMap, BTreeSet};

use wire::{ContentId, Lsn};

use crate::record::layout::Lengths;

/// A lost record, as an intact replica has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) lengths: Lengths,
    pub(crate) need: Need,
}

/// Whether an intact replica needs a record that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// It does: then no log that covers its lsn has dropped it, or was not sent it.
    Certain,
    /// Nobody knows.
    Unknown,
}

/// Known damage, as far as it was found: by reads, by a scrub, or when the log was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Contents of which some record cannot be read.
    pub contents: Vec<DamagedContent>,
    /// Contents whose bytes are not those of their hash, though each record of them can be read; with the
    /// records that were not compared with another replica's since.
    pub doubted: Vec<DamagedContent>,
    /// Places where records were lost when the log was opened: their headers cannot be read.
    pub lost: Vec<Lost>,
    /// Places that a walk or a rewriting could not pass, because some header there cannot be read.
    pub hidden: Vec<Lost>,
}

impl Damage {
    /// Whether every record can be read, as far as it is known.
    pub fn hides_nothing(&self) -> bool {
        self.contents.is_empty() && self.lost.is_empty() && self.hidden.is_empty()
    }
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
    /// Contents whose bytes are not those of their hash.
    doubted: BTreeMap<[u8; 16], Doubt>,
    /// Contents of which a later record than the index knows is damaged: what the index leads to
    /// may be out of date.
    suspects: BTreeSet<[u8; 16]>,
    /// Places where headers are damaged, so that nobody can tell whose they are: first and last lsn.
    lost: BTreeMap<Lsn, Lsn>,
    /// Those of them of whose headers too little is left to tell all the contents.
    unnamed: BTreeMap<Lsn, Lsn>,
    /// Of those that are lost, what intact replicas told.
    told: BTreeMap<Lsn, Told>,
    /// Ids minted up to here may be among those, in milliseconds since 1970.
    lost_until_ms: u64,
    /// Places that nobody could pass: first and last lsn.
    hidden: BTreeMap<Lsn, Lsn>,
    /// Records that nobody needs, here or elsewhere: damage in their places is none.
    settled: BTreeSet<Lsn>,
}

/// A content whose blocks are all as they were written, and not what was hashed.
#[derive(Debug)]
struct Doubt {
    /// The record that holds its bytes: of another version nothing is said.
    data: Lsn,
    /// Its records that were not compared with another replica's.
    records: BTreeSet<Lsn>,
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

    /// A content's bytes are not those of its hash. What was compared since that was first said is not to
    /// be compared again.
    pub(crate) fn doubt(&mut self, id: [u8; 16], data: Lsn, records: Vec<Lsn>) {
        if !self.is_doubted(&id, data) {
            let records = records.into_iter().collect();
            self.doubted.insert(id, Doubt { data, records });
        }
    }

    /// Whether the bytes that this record holds are not those of their hash.
    pub(crate) fn is_doubted(&self, id: &[u8; 16], data: Lsn) -> bool {
        let doubt = self.doubted.get(id);
        doubt.is_some_and(|doubt| doubt.data == data)
    }

    /// The bytes that this record holds are those of their hash after all.
    pub(crate) fn trust(&mut self, id: &[u8; 16], data: Lsn) {
        if self.is_doubted(id, data) {
            self.doubted.remove(id);
        }
    }

    /// Whether nothing but its content's hash speaks against this record.
    pub(crate) fn is_to_compare(&self, id: &[u8; 16], lsn: Lsn) -> bool {
        let doubt = self.doubted.get(id);
        doubt.is_some_and(|doubt| doubt.records.contains(&lsn)) && !self.is_known(id, lsn)
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

    /// Nothing tells whose the records between these two are, which are lost.
    pub(crate) fn leave_unnamed(&mut self, first: Lsn, last: Lsn) {
        self.unnamed.insert(first, last.max(first));
    }

    /// The last lost record that may be anybody's; zero when there is none.
    pub(crate) fn unnamed_until(&self) -> Lsn {
        let last = self.unnamed.last_key_value();
        last.map_or(Lsn::ZERO, |(_, last)| *last)
    }

    pub(crate) fn is_damaged(&self, id: &[u8; 16]) -> bool {
        self.contents.contains_key(id) || self.doubted.contains_key(id)
    }

    /// No lost record is of a content minted after this.
    pub(crate) fn lost_until(&mut self, ms: u64) {
        self.lost_until_ms = ms;
    }

    /// What is appended from this moment on is not lost: it bounds what nothing else does.
    pub(crate) fn lost_before(&mut self, now_ms: u64) {
        if self.lost_until_ms == u64::MAX {
            self.lost_until_ms = now_ms;
        }
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

    /// An intact replica has this record: where it is lost here, its lengths help to find others.
    pub(crate) fn learn(&mut self, lsn: Lsn, told: Told) {
        if self.is_lost_between(lsn.previous(), lsn.next()) {
            self.told.insert(lsn, told);
        }
    }

    /// All records between these two; none unless each of them is lost, and was told of.
    pub(crate) fn told_between(&self, after: Lsn, before: Lsn) -> Option<Vec<Told>> {
        let between = (after.next().0..before.0).map(Lsn);
        between.map(|lsn| self.told.get(&lsn).copied()).collect()
    }

    /// The first lsn of the last places before or at `lsn` where records are lost or settled, one
    /// behind the other; none when none is lost.
    pub(crate) fn lost_before_or_at(&self, lsn: Lsn) -> Option<Lsn> {
        let mut first = *self.lost.range(..=lsn).next_back()?.0;
        loop {
            let before = first.previous();
            let place = self.lost.range(..first).next_back();
            first = match place.filter(|(_, last)| **last == before) {
                Some((start, _)) => *start,
                None if before < first && self.settled.contains(&before) => before,
                None => return Some(first),
            };
        }
    }

    /// Damage of a content that is gone, or replaced, is nobody's concern any more.
    pub(crate) fn forget(&mut self, id: &[u8; 16]) {
        self.contents.remove(id);
        self.doubted.remove(id);
        self.suspects.remove(id);
    }

    /// A record of a content was written again, and verified; or it is what another replica has there.
    /// Whether the content's bytes are those of its hash is not known by that.
    pub(crate) fn mend(&mut self, id: &[u8; 16], lsn: Lsn) {
        if let Some(doubt) = self.doubted.get_mut(id) {
            doubt.records.remove(&lsn);
        }
        if let Some(records) = self.contents.get_mut(id) {
            records.remove(&lsn);
            if records.is_empty() {
                self.contents.remove(id);
            }
        }
        take(&mut self.hidden, lsn);
    }

    /// A lost record was written again, and counts. Without lost ones the index is up to date.
    pub(crate) fn found(&mut self, lsn: Lsn) {
        take(&mut self.lost, lsn);
        take(&mut self.unnamed, lsn);
        self.told.remove(&lsn);
        if self.lost.is_empty() {
            self.suspects.clear();
        }
    }

    /// Nobody can read what is between these two; false when nobody needs it.
    pub(crate) fn hide(&mut self, after: Lsn, before: Lsn) -> bool {
        let unsettled = (after.next().0..before.0).map(Lsn);
        let mut unsettled = unsettled.filter(|lsn| !self.settled.contains(lsn));
        let Some(first) = unsettled.next() else {
            return false;
        };
        self.hidden.insert(first, before.previous());
        true
    }

    /// An intact replica has dropped this record, so nothing needs it.
    pub(crate) fn settle(&mut self, lsn: Lsn) {
        self.found(lsn);
        take(&mut self.hidden, lsn);
        // A dead record, which stays for its head alone, may be damaged behind that.
        self.contents.retain(|_, records| {
            let was_there = records.remove(&lsn);
            !(was_there && records.is_empty())
        });
        for doubt in self.doubted.values_mut() {
            doubt.records.remove(&lsn);
        }
        self.settled.insert(lsn);
    }

    /// Whether this record was given up since the log was opened.
    pub(crate) fn is_settled(&self, lsn: Lsn) -> bool {
        self.settled.contains(&lsn)
    }

    /// Whether what is damaged between these two is of records that nobody needs.
    pub(crate) fn is_settled_between(&self, after: Lsn, before: Lsn) -> bool {
        let between = before.0.saturating_sub(after.0.saturating_add(1));
        let settled = self.settled.range(after.next()..before.max(after.next()));
        settled.count() as u64 == between
    }

    /// Whether every record that was lost was found again.
    pub(crate) fn lost_nothing(&self) -> bool {
        self.lost.is_empty()
    }

    pub(crate) fn count(&self) -> u64 {
        let doubted = self.doubted.keys();
        let doubted = doubted.filter(|id| !self.contents.contains_key(*id));
        let contents = self.contents.len() + doubted.count();
        (contents + self.lost.len() + self.hidden.len()) as u64
    }

    pub(crate) fn report(&self) -> Damage {
        let content = |(id, records): (&[u8; 16], &BTreeSet<Lsn>)| {
            let known = records.iter().filter(|lsn| **lsn > Lsn::ZERO);
            Some(DamagedContent {
                content: ContentId::from_bytes(*id).ok()?,
                records: known.copied().collect(),
            })
        };
        let doubted = self.doubted.iter();
        let doubted = doubted.map(|(id, doubt)| (id, &doubt.records));
        Damage {
            contents: self.contents.iter().filter_map(content).collect(),
            doubted: doubted.filter_map(content).collect(),
            lost: places(&self.lost),
            hidden: places(&self.hidden),
        }
    }
}

fn places(of: &BTreeMap<Lsn, Lsn>) -> Vec<Lost> {
    let each = of.iter().map(|(first, last)| Lost {
        first: *first,
        last: *last,
    });
    each.collect()
}

/// Takes one lsn out of the places; what is left of its place stays.
fn take(places: &mut BTreeMap<Lsn, Lsn>, lsn: Lsn) {
    let Some((first, last)) = places.range(..=lsn).next_back() else {
        return;
    };
    let (first, last) = (*first, *last);
    if last < lsn {
        return;
    }
    places.remove(&first);
    if first < lsn {
        places.insert(first, lsn.previous());
    }
    if lsn < last {
        places.insert(lsn.next(), last);
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

    // If this fails, a content whose bytes are wrong on all replicas looks as if it had been repaired, or one
    // that was replaced, or was right after all, stays damaged.
    #[test]
    fn a_doubted_content_is_damaged_until_it_is_trusted_or_replaced() {
        let mut known = KnownDamage::default();
        let (content, data) = (id(1).bytes(), Lsn(7));
        known.doubt(content, data, vec![Lsn(7), Lsn(9)]);
        known.note(content, Lsn(9));
        assert_eq!(known.count(), 1, "one content");
        assert!(known.is_to_compare(&content, Lsn(7)) && !known.is_to_compare(&content, Lsn(9)));
        for lsn in [7, 9] {
            known.mend(&content, Lsn(lsn));
        }
        known.doubt(content, data, vec![Lsn(7)]);
        let report = known.report();
        assert_eq!(report.contents, []);
        assert_eq!(report.doubted[0].records, [], "all were compared");
        assert!(known.is_damaged(&content) && known.count() == 1);
        known.trust(&content, Lsn(8));
        assert!(known.is_doubted(&content, data), "another version is right");
        known.trust(&content, data);
        assert_eq!(known.report(), Damage::default());
        known.doubt(content, data, vec![Lsn(7)]);
        known.settle(Lsn(7));
        assert!(!known.is_to_compare(&content, Lsn(7)));
        known.forget(&content);
        assert!(!known.is_damaged(&content) && known.count() == 0);
    }

    // If this fails, a lost record is taken for one that never was, or one that was found for lost.
    #[test]
    fn lost_records_are_counted_by_place_until_each_is_found() {
        let mut known = KnownDamage::default();
        for _ in 0..2 {
            known.lose(Lsn(5), Lsn(7));
        }
        known.lose(Lsn(9), Lsn(3));
        known.lost_until(100);
        known.suspect([1; 16]);
        assert_eq!(known.count(), 2);
        assert!(known.may_be_lost(100) && !known.may_be_lost(101));
        let is_lost = |known: &KnownDamage, lsn| known.is_lost_between(Lsn(lsn - 1), Lsn(lsn + 1));
        let lost = |known: &KnownDamage| -> Vec<u64> {
            (1..12).filter(|lsn| is_lost(known, *lsn)).collect()
        };
        assert_eq!(lost(&known), [5, 6, 7, 9]);
        for (lsn, left) in [
            (6, &[5, 7, 9][..]),
            (8, &[5, 7, 9]),
            (5, &[7, 9]),
            (9, &[7]),
        ] {
            known.found(Lsn(lsn));
            assert_eq!(lost(&known), left);
        }
        assert!(known.is_suspect(&[1; 16]) && known.may_be_lost(100));
        known.found(Lsn(7));
        assert!(!known.is_suspect(&[1; 16]) && !known.may_be_lost(100) && known.lost_nothing());
        assert_eq!(known.report(), Damage::default());
    }
}
