//! Listing: committed changes go to the catalog, in the order of the log, exactly once.
//!
//! The disk thread feeds what it commits ([`Feed`]); one task sends it in batches, one at a time,
//! merging what came meanwhile. What it has not in memory it reads from the log. It knows the
//! distributor and the store's readers, never the disk.

mod batch;
mod feed;
mod filling;
pub mod row;
mod shard;
mod task;
mod unread;
mod waiting;

pub use feed::Feed;
pub use task::{Lister, Parts};
