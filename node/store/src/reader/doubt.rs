//! Contents whose bytes are not those of their hash, although each block of them is as it was written.

use std::sync::Arc;

use super::{OpenContent, Reader};
use crate::fetch::Patience;

impl OpenContent {
    /// Its bytes, as they were read from the disk, are not those of its hash: it counts as damaged until
    /// they are ([`OpenContent::trust`]), or it is replaced. Which record of it is wrong nobody knows:
    /// each may be another one elsewhere, and is to be compared.
    pub fn doubt(&self) {
        let reader = Reader::new(Arc::clone(&self.shared));
        let (id, data) = (self.id(), self.pin);
        let records = reader.needed(id).unwrap_or_else(|_| vec![data]);
        self.shared.damage().doubt(id.bytes(), data, records);
        // The owner replaces a content in the index first, and forgets its damage then: here it is
        // doubted first, and looked for in the index then. So one of the two sees the other.
        let present = reader.data(id, Patience::Wait);
        let is_other = present.is_ok_and(|data| data.is_none_or(|data| data.head.lsn != self.pin));
        if is_other {
            self.trust();
        }
    }

    /// Its bytes, as they were read from the disk, are those of its hash.
    pub fn trust(&self) {
        self.shared.damage().trust(&self.id().bytes(), self.pin);
    }
}
