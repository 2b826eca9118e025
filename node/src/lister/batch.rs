//! The operations of one batch, under its bounds.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use store::{Change, Committed};
use wire::ContentId;
use wire::content::ContentRow;
use wire::listing::ListedOperation;

use super::row::row;

/// Operations of one batch: half of what a distributor takes, so that its transactions stay short.
const OPERATIONS_MAX: usize = 2048;

/// Bytes of one batch, about: a quarter of what a distributor takes.
const BYTES_MAX: usize = 4 << 20;

/// Records that are looked at for one batch. Most of a large content's are no operations, and each is a
/// read: beyond twice a full batch, what was found is sent.
pub(super) const READS_MAX: usize = 2 * OPERATIONS_MAX;

/// How long the log is read for one batch. A disk that seeks for each of these records would take a
/// minute, and nothing of other shards is listed meanwhile.
const READ_TIME_MAX: Duration = Duration::from_millis(50);

/// JSON around the names of one operation, at most: keys, id, hash, numbers and dates.
const OPERATION_BYTES: usize = 512;

/// What is left of a batch that is being put together.
#[derive(Clone)]
pub(super) struct Budget {
    operations: usize,
    bytes: usize,
    reads: usize,
    until: Instant,
    /// When this was what was left.
    at: Instant,
}

impl Default for Budget {
    fn default() -> Self {
        Budget::lasting(READ_TIME_MAX)
    }
}

impl Budget {
    /// A whole batch, for which the log may be read for so long.
    pub(super) fn lasting(time: Duration) -> Self {
        let at = Instant::now();
        Budget {
            operations: OPERATIONS_MAX,
            bytes: BYTES_MAX,
            reads: READS_MAX,
            until: at + time,
            at,
        }
    }

    #[cfg(test)]
    pub(super) fn of_operations(operations: usize) -> Self {
        Budget {
            operations,
            ..Budget::lasting(Duration::from_secs(3600))
        }
    }

    /// Begins what may come to nothing.
    pub(super) fn begin(&mut self) -> Budget {
        self.at = Instant::now();
        self.clone()
    }

    /// What was left when this began, time included, after what came to nothing.
    pub(super) fn given_back(self) -> Budget {
        Budget {
            until: self.until + self.at.elapsed(),
            ..self
        }
    }

    pub(super) fn is_spent(&self) -> bool {
        self.operations == 0 || self.bytes == 0 || self.reads == 0 || Instant::now() >= self.until
    }

    /// Another record of the log is looked at.
    pub(super) fn read(&mut self) {
        self.reads = self.reads.saturating_sub(1);
    }

    pub(super) fn spend(&mut self, row: Option<&ContentRow>) {
        // Names may hold characters that JSON writes as six.
        let text = row.map_or(0, |row| row.filename.len() + row.content_type.len());
        let attributes = row
            .and_then(|row| row.attributes.as_ref())
            .map_or(0, |_| 16 * 1024);
        self.operations = self.operations.saturating_sub(1);
        self.bytes = self
            .bytes
            .saturating_sub(OPERATION_BYTES + 6 * text + attributes);
    }
}

/// The operation that a committed record is in the catalog; none for records without one.
pub(super) fn operation(committed: Committed) -> Option<ListedOperation> {
    match committed.change {
        Change::Stored(content) | Change::Described(content) => {
            Some(ListedOperation::Upsert(row(content)))
        }
        Change::Deleted { content, .. } => Some(ListedOperation::Delete(content)),
        Change::Epoch | Change::Nothing => None,
    }
}

pub(super) fn spend(budget: &mut Budget, operation: &ListedOperation) {
    match operation {
        ListedOperation::Upsert(row) => budget.spend(Some(row)),
        ListedOperation::Delete(_) => budget.spend(None),
    }
}

/// Keeps the last operation of each id; the order of the rest stays.
pub(super) fn keep_last(operations: &mut Vec<ListedOperation>) {
    if operations.len() < 2 {
        return;
    }
    let mut seen = HashSet::with_capacity(operations.len());
    let mut keep: Vec<bool> = operations
        .iter()
        .rev()
        .map(|operation| seen.insert(id(operation)))
        .collect();
    if keep.iter().all(|keep| *keep) {
        return;
    }
    operations.retain(|_| keep.pop().unwrap_or(true));
}

fn id(operation: &ListedOperation) -> ContentId {
    match operation {
        ListedOperation::Upsert(row) => row.id,
        ListedOperation::Delete(id) => *id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::ShardNo;

    // If this fails, the catalog is told two things of one content, and may keep the older.
    #[test]
    fn the_last_operation_of_each_id_stays() {
        let id = |n| ContentId::mint(ShardNo(1), 1, n);
        let delete = |n| ListedOperation::Delete(id(n));
        let mut operations = vec![delete(1), delete(2), delete(1), delete(3), delete(2)];
        keep_last(&mut operations);
        assert_eq!(operations, [delete(1), delete(3), delete(2)]);
    }

    // If this fails, a batch grows beyond what a distributor accepts, and listing stops.
    #[test]
    fn a_batch_is_bounded_in_number_and_bytes() {
        let mut budget = Budget::lasting(Duration::from_secs(3600));
        for _ in 0..OPERATIONS_MAX {
            assert!(!budget.is_spent());
            budget.spend(None);
        }
        assert!(budget.is_spent());
        const { assert!(BYTES_MAX + 16 * 1024 + 6 * 2048 < wire::limits::LISTING_BYTES_MAX) };
        const { assert!(OPERATIONS_MAX <= wire::limits::LISTING_OPERATIONS_MAX) };
    }
}
