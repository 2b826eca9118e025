//! What stays given up when the log is opened again.

use wire::Lsn;

use super::Store;
use crate::log::SegmentState;
use crate::segment::index_file::SegmentIndex;

impl Store {
    /// Whether the next start takes nothing between these two for lost: the segments that cover them have
    /// index files, which tell all that is there.
    pub fn is_sealed_between(&self, first: Lsn, last: Lsn) -> bool {
        let segments = &self.log.segments;
        let begin = segments.first().map(|state| state.segment.name.first);
        let mut covering = segments
            .iter()
            .filter(|state| state.segment.name.first <= last && state.last >= first);
        begin.is_some_and(|begin| begin <= first)
            && covering.all(|state| state.index_bytes.is_some() && self.tells_end(state, last))
    }

    /// Whether a start knows that records up to `last` are missing at a segment's end: of one that was never
    /// rewritten, only its last record tells where it ends.
    fn tells_end(&self, state: &SegmentState, last: Lsn) -> bool {
        if last < state.last || state.segment.name.generation > 0 {
            return true;
        }
        let (log, name) = (&self.log, state.segment.name);
        let index = SegmentIndex::load(&*log.disk, &log.dir, self.shared.log, name);
        let end = index.and_then(|index| index.entries.last().map(|entry| entry.lsn));
        end.is_some_and(|end| end >= state.last)
    }
}
