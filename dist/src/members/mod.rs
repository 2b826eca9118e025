//! What this distributor knows of the cluster at this moment, in memory: who is there, how loaded
//! they are, and who leads which shard. It goes on answering while the catalog is away.
//!
//! It must not know HTTP or SQL, and decides nothing about shards.

mod book;
mod liveness;
mod poller;
mod snapshot;

pub(crate) use book::{Members, NodeView, Place};
pub(crate) use poller::Poller;

#[cfg(test)]
mod tests;
