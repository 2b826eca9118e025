//! Which ends of uploads must stay: an upload whose chunks are in the log and whose end is not is
//! open, for a restart and for whoever takes the log over.

use super::Rewriting;
use crate::segment::entry::Entry;
use crate::upkeep::gone::ends_upload;

impl Rewriting<'_> {
    /// Whether a record ended an upload of which chunks are, or may be, in the log after this
    /// rewriting. They all lie before it.
    pub(super) fn has_chunks(&self, end: &Entry) -> bool {
        let may_be_before = || end.upload < self.plan.first && !self.gone.has_chunks_of(end.upload);
        ends_upload(end) && (self.uploads.contains(&end.upload) || may_be_before())
    }
}
