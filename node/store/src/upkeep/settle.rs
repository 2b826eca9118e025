//! Giving up: a damaged record that an intact replica has dropped is not missed any more.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use wire::Lsn;

use crate::index::Place;
use crate::reader::Reader;
use crate::record::kind::Kind;
use crate::segment::Segment;
use crate::segment::entry::Entry;
use crate::segment::index_file::SegmentIndex;
use crate::segment::scan::{Found, Scan};
use crate::store::Store;

impl Store {
    /// Gives up a damaged record that nothing needs, as an intact replica says ([`Reader::is_dropped`]):
    /// it is not missed any more, and its segment can be sealed and rewritten without it. Nothing is
    /// given up that is served here, or not known committed: what superseded it elsewhere has yet to come.
    /// Whether it was given up.
    pub fn settle(&mut self, lsn: Lsn) -> bool {
        if lsn > self.shared.committed() {
            return false;
        }
        let segment = self.shared.segment_of(lsn);
        // What was lost when the log was opened is in no index.
        let is_lost = self.shared.is_lost(lsn);
        if !is_lost
            && segment
                .as_ref()
                .is_some_and(|segment| self.serves(segment, lsn))
        {
            return false;
        }
        self.shared.settle(lsn);
        if let Some(segment) = segment {
            self.reconsider(segment.number);
        }
        true
    }

    /// Whether the index leads to this record of a segment, or may.
    fn serves(&self, segment: &Segment, lsn: Lsn) -> bool {
        let (log, shared) = (&self.log, &self.shared);
        let index = SegmentIndex::load(&*log.disk, &log.dir, shared.log, segment.name);
        if let Some(index) = index {
            let mut entries = index.entries.iter();
            let entry = entries.find(|entry| entry.lsn == lsn);
            return entry.is_some_and(|entry| self.serves_entry(segment, entry));
        }
        let around = around(segment, shared.log, lsn);
        around.map_or(true, |bytes| shared.index.leads_into(segment.number, bytes))
    }

    fn serves_entry(&self, segment: &Segment, entry: &Entry) -> bool {
        match entry.kind {
            Kind::Put | Kind::Commit | Kind::Describe | Kind::Delete => {
                let place = Place::new(entry.kind, segment.number, entry.start);
                self.shared.index.contains(&entry.id, place)
            }
            Kind::Chunk => {
                let commit = Reader::new(Arc::clone(&self.shared)).commit_of(entry);
                matches!(commit, Ok(Some(_)))
            }
            Kind::Abort | Kind::Epoch => false,
        }
    }
}

/// Between which bytes of a segment this record lies, as far as its neighbours tell.
fn around(segment: &Segment, log: u64, lsn: Lsn) -> io::Result<Range<u64>> {
    let (mut last, mut from) = segment.near(lsn);
    let mut scan = Scan::new(&*segment.file, log, from)?;
    loop {
        match scan.next()? {
            Found::Record { entry, .. } if entry.lsn < lsn => {
                (last, from) = (entry.lsn, entry.end());
            }
            Found::Record { entry, .. } if entry.lsn == lsn => return Ok(entry.start..entry.end()),
            Found::Record { entry, .. } => return Ok(from..entry.start),
            Found::Damage(_) if scan.pass(last)?.is_some() => {}
            Found::Damage(_) | Found::End => return Ok(from..segment.file.len()?),
        }
    }
}
