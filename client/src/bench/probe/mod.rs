//! What the parts under every upload take alone: a sync of the disk, a commit of the catalog.

mod commit;
mod sync;

pub use commit::{CommitTime, commit_time};
pub use sync::{SyncTime, sync_time};
