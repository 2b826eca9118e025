//! Which of the records that a compaction's sources superseded are in the log no more.
//!
//! It is asked for all of them at once, before the rewriting, and of one segment after the other. So
//! what it takes in memory does not grow with the log: 8 bytes for each record of the sources that
//! may go, and for the time of the question the index file of one segment, 152 bytes a record as it
//! is read and decoded. A start needs as much; with contents of a few kilobytes that is 10 MB.

use std::io;

use wire::Lsn;

use super::compact::Compaction;
use super::rewrite::is_expired;
use crate::index::Place;
use crate::record::kind::Kind;
use crate::segment::Segment;
use crate::segment::entry::Entry;
use crate::segment::header::SEGMENT_HEADER_BYTES;
use crate::segment::index_file::SegmentIndex;
use crate::segment::scan::{Found, Scan};

/// Records before the sources that are surely gone, ascending. What was not asked for is not among
/// them, nor what cannot be told: nothing is dropped because it is not known.
#[derive(Debug, Default)]
pub(super) struct Gone(Vec<Lsn>);

impl Gone {
    /// Looks for the predecessors of all records of the sources that may go.
    pub(super) fn before(plan: &Compaction) -> Gone {
        let mut asked = asked(plan);
        asked.sort_unstable();
        asked.dedup();
        let mut gone = Vec::new();
        let mut rest = asked.as_slice();
        while let Some(first) = rest.first() {
            let Some(segment) = plan.shared.segment_of(*first) else {
                gone.push(*first);
                rest = &rest[1..];
                continue;
            };
            let next = rest.iter().position(|lsn| {
                let other = plan.shared.segment_of(*lsn);
                other.is_none_or(|other| other.number != segment.number)
            });
            let (here, behind) = rest.split_at(next.unwrap_or(rest.len()));
            // Of a segment that the disk cannot read now, everything may be there.
            if let Ok(records) = Records::of(plan, &segment) {
                gone.extend(here.iter().filter(|lsn| !records.may_have(**lsn)));
            }
            rest = behind;
        }
        Gone(gone)
    }

    /// Whether an older record than the sources cover is surely gone.
    pub(super) fn has(&self, lsn: Lsn) -> bool {
        self.0.binary_search(&lsn).is_ok()
    }
}

/// The predecessors before the sources of all records there that may go, as far as it can be told
/// now: a record that dies only later stays this time.
fn asked(plan: &Compaction) -> Vec<Lsn> {
    let mut asked = Vec::new();
    for source in &plan.sources {
        // Without an index file, which each source had a moment ago, nothing of it is asked for.
        let index = SegmentIndex::load(&*plan.disk, &plan.dir, plan.shared.log, source.name);
        let entries = index.ok().flatten().map(|index| index.entries);
        let entries = entries.unwrap_or_default();
        let may_go = entries.iter().filter(|entry| may_go(plan, source, entry));
        asked.extend(may_go.map(|entry| entry.supersedes));
    }
    asked
}

fn may_go(plan: &Compaction, source: &Segment, entry: &Entry) -> bool {
    let is_before = entry.supersedes > Lsn::ZERO && entry.supersedes < plan.first;
    match entry.kind {
        Kind::Chunk | Kind::Abort | Kind::Epoch => false,
        Kind::Put | Kind::Commit | Kind::Describe | Kind::Delete => {
            let place = Place::new(entry.kind, source.number, entry.start);
            let is_live = || plan.shared.index.contains(&entry.id, place);
            is_before && (is_expired(entry, plan.now_ms) || !is_live())
        }
    }
}

/// The records of one segment.
#[derive(Debug, Default)]
struct Records {
    /// Ascending.
    lsns: Vec<Lsn>,
    /// Between each two of these, both excluded, damage hides what is there.
    hidden: Vec<(Lsn, Lsn)>,
}

impl Records {
    /// Whether a record is there, or may be.
    fn may_have(&self, lsn: Lsn) -> bool {
        let mut hidden = self.hidden.iter();
        self.lsns.binary_search(&lsn).is_ok()
            || hidden.any(|(after, before)| *after < lsn && lsn < *before)
    }

    fn of(plan: &Compaction, segment: &Segment) -> io::Result<Records> {
        let mut records = Records::default();
        let index = SegmentIndex::load(&*plan.disk, &plan.dir, plan.shared.log, segment.name)?;
        if let Some(index) = index {
            records.lsns = index.entries.iter().map(|entry| entry.lsn).collect();
            return Ok(records);
        }
        let mut scan = Scan::new(&*segment.file, plan.shared.log, SEGMENT_HEADER_BYTES)?;
        let mut last = segment.name.first.previous();
        loop {
            let start = scan.position();
            match scan.next()? {
                Found::Record { entry, .. } => {
                    last = entry.lsn;
                    records.lsns.push(last);
                }
                Found::End => return Ok(records),
                Found::Damage(_) => {
                    let next = scan.resynchronise(start, last, &mut Vec::new())?;
                    let before = next.map_or(Lsn(u64::MAX), |(_, lsn)| lsn);
                    records.hidden.push((last, before));
                    if next.is_none() {
                        return Ok(records);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Work;
    use super::*;
    use crate::stage::{Stage, body};

    /// The next rewriting that covers an lsn, when all before it are done.
    fn plan_over(stage: &mut Stage, lsn: Lsn) -> Compaction {
        for _ in 0..100 {
            for chore in stage.store.chores(stage.now_ms) {
                match chore.0 {
                    Work::Compact(plan) if plan.first <= lsn && lsn <= plan.last => return plan,
                    work => {
                        let done = super::super::Chore(work).run(&mut |_| true);
                        stage.store.finish(done).expect("a healthy disk");
                    }
                }
            }
        }
        panic!("it is never rewritten");
    }

    // If this fails, a rewriting remembers the whole log, or drops what an older version hides behind,
    // or keeps what nothing hides behind.
    #[test]
    fn only_what_may_go_is_asked_for_and_only_what_is_gone_is_told() {
        let mut stage = Stage::new();
        let second = stage.fill(0, 2);
        let third = stage.fill(second, 3);
        // Content n is the record n + 2.
        let (stay, go) = ([0, 3, 6], [second + 1, second + 4]);
        for n in stay.into_iter().chain(go) {
            stage.update(n, &body(n, 1_000));
        }
        let updated = stage.store.positions().appended.lsn;
        let end = stage.fill(third, 4);
        // The second segment is rewritten, the first is not; and the one with the updates is.
        let dead = (second..third).filter(|n| n % 5 < 2 && !go.contains(n));
        let dead = dead.chain(third..end).chain(stay).chain(go);
        dead.for_each(|n| drop(stage.delete(n)));
        stage.fill(end, 6);
        let plan = plan_over(&mut stage, updated);
        assert!(plan.first > Lsn(third), "only the updates' segment");
        let predecessors = |contents: &[u64]| -> Vec<Lsn> {
            let lsns = contents.iter().map(|n| Lsn(n + 2));
            lsns.collect()
        };
        let mut asked = asked(&plan);
        asked.sort_unstable();
        asked.retain(|lsn| *lsn < Lsn(third));
        assert_eq!(asked, predecessors(&[&stay[..], &go[..]].concat()));
        let gone = Gone::before(&plan);
        assert_eq!(gone.0, predecessors(&go));
        assert!(!stay.iter().any(|n| gone.has(Lsn(n + 2))));
        assert!(!gone.has(Lsn(4)), "it was not asked for");
    }
}
