//! What two Acequia processes must agree on: ids, positions, names, limits, errors, routes, bodies.
//!
//! This crate owns the vocabulary. It does no I/O, reads no clock, draws no random numbers and
//! knows no HTTP library: callers pass times and randomness in.

pub mod body;
pub mod checksum;
pub mod copies;
pub mod error;
pub mod id;
pub mod limits;
pub mod name;
pub mod nodes_file;
pub mod packet;
pub mod position;
pub mod routes;
pub mod timestamp;

pub use body::{
    content, history, integrity, listing, membership, operation, placement, recovery, replication,
    shard, stats,
};
pub use checksum::Checksum;
pub use copies::Copies;
pub use error::{Code, ErrorBody};
pub use id::ContentId;
pub use name::NodeName;
pub use position::{Epoch, Lsn, Position, ShardNo};
pub use routes::trace;
pub use timestamp::Timestamp;
