//! What stays given up when the log is opened again.

use wire::Lsn;

use super::Store;

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
            && covering.all(|state| state.index_bytes.is_some())
    }
}
