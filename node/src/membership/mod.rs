//! A node's place in its cluster: who it is, what it holds, whom it obeys.
//!
//! Files are written here, and heartbeats are sent; what a shard record means is decided by pure
//! functions in [`duty`]. It knows nothing of what is in a log.

pub mod data_dir;
pub mod distributors;
pub(crate) mod durable;
pub mod duty;
mod folders;
pub mod heartbeat;
pub mod identity;
pub(crate) mod purge;
pub mod register;
