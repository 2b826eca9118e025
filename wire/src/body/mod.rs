//! The JSON bodies of requests and answers.
//!
//! This module owns what they look like; which route carries which is said at each of them.

pub mod content;
pub mod history;
pub mod integrity;
pub mod listing;
pub mod membership;
pub mod operation;
pub mod placement;
pub mod recovery;
pub mod replication;
pub mod shard;
pub mod stats;
