//! A batch that is being filled, shard after shard.

use wire::ShardNo;
use wire::listing::ListingPart;

use super::batch::Budget;
use super::shard::ShardListing;

/// The parts so far, and what is left of the room for others.
pub(super) struct Filling {
    pub(super) parts: Vec<ListingPart>,
    budget: Budget,
    /// A shard could not be read.
    has_failed: bool,
}

impl Filling {
    /// Nothing yet.
    pub(super) fn within(budget: Budget) -> Self {
        Filling {
            parts: Vec::new(),
            budget,
            has_failed: false,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.budget.is_spent()
    }

    /// Adds what a shard has next. One that cannot be read takes nothing from those after it, and of
    /// those that could not be before there is one in a batch: what it takes longer is bounded by that.
    pub(super) fn fill(&mut self, shard: ShardNo, listing: &mut ShardListing) {
        if self.has_failed && listing.is_unreadable() {
            return;
        }
        let before = self.budget.begin();
        match listing.next_part(&mut self.budget) {
            Ok(part) => self.parts.extend(part),
            Err(error) => {
                tracing::error!(%shard, %error, "the log cannot be read for listing");
                listing.unreadable();
                self.has_failed = true;
                self.budget = before.given_back();
            }
        }
    }
}
