//! What two Acequia processes must agree on: ids, positions, names, limits, errors, routes, bodies.
//!
//! This crate owns the vocabulary. It does no I/O, reads no clock, draws no random numbers and
//! knows no HTTP library: callers pass times and randomness in.

pub mod checksum;
pub mod content;
pub mod error;
pub mod id;
pub mod limits;
pub mod listing;
pub mod membership;
pub mod name;
pub mod nodes_file;
pub mod operation;
pub mod placement;
pub mod position;
pub mod routes;
pub mod shard;
pub mod stats;
pub mod timestamp;

pub use checksum::Checksum;
pub use error::{Code, ErrorBody};
pub use id::ContentId;
pub use name::NodeName;
pub use position::{Epoch, Lsn, Position, ShardNo};
pub use timestamp::Timestamp;
