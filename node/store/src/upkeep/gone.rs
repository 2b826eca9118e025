//! Which of the records that a compaction's sources superseded are in the log no more, and of which
//! uploads that ended in them no chunk is.
//!
//! It is asked for all of them at once, before the rewriting, and of one segment after the other. So
//! what it takes in memory does not grow with the log: 8 bytes for each record of the sources that
//! may go, as many again if it ended an upload, and for the time of the question the index file of one
//! segment, 152 bytes a record as it is read and decoded. A start needs as much; with contents of a few
//! kilobytes that is 10 MB.

use std::collections::BTreeSet;
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

/// What is surely gone from before the sources. What was not asked for is not among it, nor what
/// cannot be told: nothing is dropped because it is not known.
#[derive(Debug, Default)]
pub(super) struct Gone {
    /// Ascending.
    records: Vec<Lsn>,
    /// Uploads without any chunk there, ascending.
    uploads: Vec<Lsn>,
}

/// Whether a record may have ended an upload.
pub(super) fn ends_upload(entry: &Entry) -> bool {
    matches!(entry.kind, Kind::Abort | Kind::Commit)
}

impl Gone {
    /// Looks for the predecessors of all records of the sources that may go, and for the chunks of
    /// the uploads that these ended.
    pub(super) fn before(plan: &Compaction) -> Gone {
        let asked = Asked::of(plan);
        let mut gone = Gone {
            records: Vec::new(),
            uploads: asked.uploads,
        };
        let mut rest = asked.records.as_slice();
        if let Some(oldest) = rest.iter().chain(&gone.uploads).min() {
            let segments = plan.shared.segments_between(*oldest, plan.first);
            for (at, segment) in segments.iter().enumerate() {
                let next = segments.get(at + 1);
                let end = next.map_or(plan.first, |next| next.name.first);
                let (here, behind) = rest.split_at(rest.partition_point(|lsn| *lsn < end));
                gone.look(plan, segment, here, end);
                rest = behind;
            }
        }
        // Where there is no segment, there is nothing.
        gone.records.extend(rest);
        gone
    }

    /// Looks into one segment, which ends before `end`: for these records, and for chunks of the
    /// uploads that began before its end.
    fn look(&mut self, plan: &Compaction, segment: &Segment, here: &[Lsn], end: Lsn) {
        let began = |upload: &Lsn| *upload < end;
        if here.is_empty() && !self.uploads.first().is_some_and(began) {
            return;
        }
        // Of a segment that the disk cannot read now, everything may be there.
        let Ok(records) = Records::of(plan, segment) else {
            self.uploads.retain(|upload| !began(upload));
            return;
        };
        let gone = here.iter().filter(|lsn| !records.may_have(**lsn));
        self.records.extend(gone);
        self.uploads
            .retain(|upload| !began(upload) || !records.may_have_chunk_of(*upload));
    }

    /// Whether an older record than the sources cover is surely gone.
    pub(super) fn has(&self, lsn: Lsn) -> bool {
        self.records.binary_search(&lsn).is_ok()
    }

    /// Whether all chunks of an upload that are older than what the sources cover are surely gone.
    pub(super) fn has_chunks_of(&self, upload: Lsn) -> bool {
        self.uploads.binary_search(&upload).is_ok()
    }
}

/// What records of the sources that may go need to be gone, as far as it can be told now: a record
/// that dies only later stays this time.
#[derive(Debug, Default)]
struct Asked {
    /// Predecessors before the sources, ascending.
    records: Vec<Lsn>,
    /// Uploads that began before the sources, ascending.
    uploads: Vec<Lsn>,
}

impl Asked {
    fn of(plan: &Compaction) -> Asked {
        let mut asked = Asked::default();
        for source in &plan.sources {
            // Without an index file, which each source had a moment ago, nothing of it is asked for.
            let index = SegmentIndex::load(&*plan.disk, &plan.dir, plan.shared.log, source.name);
            for entry in index.iter().flat_map(|index| &index.entries) {
                asked.add(plan, source, entry);
            }
        }
        for lsns in [&mut asked.records, &mut asked.uploads] {
            lsns.sort_unstable();
            lsns.dedup();
        }
        asked
    }

    fn add(&mut self, plan: &Compaction, source: &Segment, entry: &Entry) {
        let supersedes = entry.supersedes > Lsn::ZERO && entry.supersedes < plan.first;
        let ends = ends_upload(entry) && entry.upload < plan.first;
        if !(supersedes || ends) || !may_go(plan, source, entry) {
            return;
        }
        if supersedes {
            self.records.push(entry.supersedes);
        }
        if ends {
            self.uploads.push(entry.upload);
        }
    }
}

fn may_go(plan: &Compaction, source: &Segment, entry: &Entry) -> bool {
    match entry.kind {
        Kind::Chunk | Kind::Epoch => false,
        Kind::Abort => true,
        Kind::Put | Kind::Commit | Kind::Describe | Kind::Delete => {
            let place = Place::new(entry.kind, source.number, entry.start);
            is_expired(entry, plan.now_ms) || !plan.shared.index.contains(&entry.id, place)
        }
    }
}

/// The records of one segment.
#[derive(Debug, Default)]
struct Records {
    /// Ascending.
    lsns: Vec<Lsn>,
    /// The uploads of which chunks are there.
    uploads: BTreeSet<Lsn>,
    /// Between each two of these, both excluded, damage hides what is there.
    hidden: Vec<(Lsn, Lsn)>,
}

impl Records {
    fn add(&mut self, entry: &Entry) {
        self.lsns.push(entry.lsn);
        if entry.kind == Kind::Chunk {
            self.uploads.insert(entry.upload);
        }
    }

    /// Whether a record is there, or may be.
    fn may_have(&self, lsn: Lsn) -> bool {
        let mut hidden = self.hidden.iter();
        self.lsns.binary_search(&lsn).is_ok()
            || hidden.any(|(after, before)| *after < lsn && lsn < *before)
    }

    /// Whether a chunk of an upload is there, or may be.
    fn may_have_chunk_of(&self, upload: Lsn) -> bool {
        self.uploads.contains(&upload) || !self.hidden.is_empty()
    }

    fn of(plan: &Compaction, segment: &Segment) -> io::Result<Records> {
        let mut records = Records::default();
        let index = SegmentIndex::load(&*plan.disk, &plan.dir, plan.shared.log, segment.name);
        if let Some(index) = index {
            index.entries.iter().for_each(|entry| records.add(entry));
            return Ok(records);
        }
        let mut scan = Scan::new(&*segment.file, plan.shared.log, SEGMENT_HEADER_BYTES)?;
        let mut last = segment.name.first.previous();
        loop {
            let start = scan.position();
            match scan.next()? {
                Found::Record { entry, .. } => {
                    last = entry.lsn;
                    records.add(&entry);
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
    use crate::How;
    use crate::stage::{Stage, body, dir};

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
        let mut asked = Asked::of(&plan).records;
        asked.retain(|lsn| *lsn < Lsn(third));
        assert_eq!(asked, predecessors(&[&stay[..], &go[..]].concat()));
        let gone = Gone::before(&plan);
        assert_eq!(gone.records, predecessors(&go));
        assert!(!stay.iter().any(|n| gone.has(Lsn(n + 2))));
        assert!(!gone.has(Lsn(4)), "it was not asked for");
    }

    const UPLOADED: u64 = 1_000;

    /// Uploads with chunks at the end of the log, from this number on.
    fn begin_uploads<const COUNT: usize>(stage: &mut Stage, from: u64) -> [Lsn; COUNT] {
        std::array::from_fn(|at| {
            let bytes = body(at as u64, 3_000);
            let begun = stage.begin_upload(from + at as u64, &bytes, 1_000, How::Create);
            begun.expect("new")
        })
    }

    /// Closes the upload of a content that was the first, second... to be begun.
    fn close(stage: &mut Stage, upload: Lsn, at: u64) {
        let closed = stage.close_upload(upload, &body(at, 3_000), How::Create);
        closed.expect("there is room");
    }

    /// The rewriting of a segment with the ends of uploads; chunks of the first three are in the first
    /// segment, those of the last two were in the second, the second of each being deleted.
    fn ends_of_uploads() -> (Stage, Compaction, [Lsn; 3], [Lsn; 2]) {
        let mut stage = Stage::new();
        let stay = begin_uploads::<3>(&mut stage, UPLOADED);
        let second = stage.fill(0, 2);
        let go = begin_uploads::<2>(&mut stage, UPLOADED + 3);
        let third = stage.fill(second, 3);
        for upload in [stay[0], go[0]] {
            stage.store.abort(upload, stage.now_ms).expect("is open");
        }
        close(&mut stage, stay[1], 1);
        close(&mut stage, stay[2], 2);
        close(&mut stage, go[1], 1);
        let ended = stage.store.positions().appended.lsn;
        let end = stage.fill(third, 4);
        let dead = (second..third).filter(|n| n % 5 < 2).chain(third..end);
        let dead = dead.chain([UPLOADED + 1, UPLOADED + 4]);
        dead.for_each(|n| drop(stage.delete(n)));
        stage.fill(end, 6);
        let plan = plan_over(&mut stage, ended);
        assert!(plan.first > go[1], "only the ends' segment");
        (stage, plan, stay, go)
    }

    // If this fails, a rewriting reads the log for uploads whose ends stay anyway, or leaves chunks
    // behind without their end, or keeps the end for ever.
    #[test]
    fn only_uploads_whose_ends_may_go_are_asked_for() {
        let (_stage, plan, stay, go) = ends_of_uploads();
        let asked = [stay[0], stay[1], go[0], go[1]];
        assert_eq!(Asked::of(&plan).uploads, asked, "the third is live");
        let gone = Gone::before(&plan);
        assert_eq!(gone.uploads, go);
        assert!(gone.has_chunks_of(go[0]) && !gone.has_chunks_of(stay[0]));
        assert!(!gone.has_chunks_of(stay[2]), "it was not asked for");
    }

    // If this fails, the end of an upload goes as its chunks cannot be read for a moment, or are hidden
    // by damage: they are an open upload's after the next start.
    #[test]
    fn chunks_that_cannot_be_looked_for_count_as_there() {
        for is_damaged in [false, true] {
            let (stage, plan, _, go) = ends_of_uploads();
            let second = plan.shared.segment_of(go[0]).expect("it was rewritten");
            let (index, path) = (second.name.index_path(dir()), second.name.path(dir()));
            stage.disk.break_sector(&index, 0).expect("it is there");
            assert_eq!(Gone::before(&plan).uploads, go, "the segment itself tells");
            let record = SEGMENT_HEADER_BYTES;
            let done = match is_damaged {
                true => stage.disk.flip_bit(&path, record + 24, 1),
                false => stage.disk.break_sector(&path, record),
            };
            done.expect("it is there");
            assert_eq!(Gone::before(&plan).uploads, [], "damaged: {is_damaged}");
        }
    }
}
