//! What this distributor knows of the cluster at this moment, in memory: who is there, how loaded
//! they are, and who leads which shard. It goes on answering while the catalog is away.
//!
//! It must not know HTTP or SQL, and decides nothing about shards.

mod book;
mod herald;
mod liveness;
mod poller;
mod snapshot;
mod view;

pub(crate) use book::{Members, NodeView, Place};
pub(crate) use herald::Herald;
pub(crate) use poller::Poller;
pub(crate) use view::View;

#[cfg(test)]
mod tests;
