//! A record that was lost when the log was opened, and was written again since: it counts from now
//! on, as if it had been there.
//!
//! The records behind it were applied without it: where one of them superseded it, it is dead.

use wire::{ContentId, Lsn, Position};

use super::Store;
use super::apply::Applying;
use crate::pending::Upload;
use crate::record::Head;
use crate::record::kind::Kind;
use crate::segment::Segment;
use crate::segment::entry::Entry;

impl Store {
    /// Takes back a lost record, which stands whole in its place in `segment`.
    pub(crate) fn recall(&mut self, head: &Head, entry: &Entry, segment: &Segment) {
        if let Some(state) = self.log.state_mut(segment.number) {
            state.recall(entry, head.commit);
        }
        let position = Position {
            epoch: head.epoch,
            lsn: entry.lsn,
        };
        let lost = self.shared.damage().lost_before_or_at(entry.lsn);
        let is_first = entry.kind == Kind::Epoch;
        self.log
            .epochs
            .recall(position, is_first, lost.unwrap_or(entry.lsn));
        let ends = matches!(entry.kind, Kind::Commit | Kind::Abort);
        let ended = ends.then(|| self.take_upload(entry.upload)).flatten();
        self.contents = self.index().recall(entry, segment, ended.as_slice());
        // Only now: until then, what the index does not lead to may be this record.
        self.shared.found(entry.lsn);
        if ContentId::from_bytes(entry.id).is_ok_and(|id| self.reader().can_read(id)) {
            self.shared.damage().mend(&entry.id, Lsn::ZERO);
        }
    }

    /// Nothing that comes later ends this upload again.
    fn take_upload(&mut self, first: Lsn) -> Option<Upload> {
        let pending = self.pending.take_upload(first);
        self.uploads.remove(first).or(pending)
    }
}

impl Applying<'_> {
    /// Applies a committed record although later ones were applied; returns the number of live
    /// contents after it. `ended` is the upload that it ends, if that is not known ended yet.
    fn recall(mut self, entry: &Entry, segment: &Segment, ended: &[Upload]) -> u64 {
        match entry.kind {
            // A chunk's commit names it. What an epoch ended was kept when it was applied: its space
            // comes back when its segment is rewritten.
            Kind::Chunk | Kind::Epoch => self.contents,
            Kind::Put | Kind::Commit | Kind::Describe | Kind::Delete
                if self.is_superseded(entry, segment) =>
            {
                self.kill_at(entry.id, segment, entry.start);
                self.contents
            }
            Kind::Put | Kind::Commit | Kind::Describe | Kind::Delete | Kind::Abort => {
                self.apply(entry, segment.number, ended)
            }
        }
    }
}
