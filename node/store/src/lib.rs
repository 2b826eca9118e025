//! The log store: one replica of a shard as an append-only log, and the index over what is
//! committed in it.
//!
//! The log is the store: a record *is* the content's bytes. This crate knows no HTTP, no async, no
//! threads and no clock. A [`Store`] has a single owner and synchronous calls; files stand behind
//! [`disk::Disk`]; [`Reader`]s see the committed prefix from any thread.
//!
//! `docs/storage-format.md` draws every byte.

mod checksum;
pub mod content;
mod damage;
pub mod disk;
mod fetch;
mod geometry;
mod index;
mod log;
mod pending;
mod poison;
mod reader;
mod record;
mod segment;
mod shared;
#[cfg(any(test, feature = "simulation"))]
pub mod stage;
mod store;
mod upkeep;

pub use content::{Content, Describe, How, NewContent, Outcome};
pub use damage::{Damage, DamagedContent, Lost, Need};
pub use geometry::Geometry;
pub use log::epochs::EpochStart;
pub use log::recovery::{OpenError, Recovery};
pub use log::{SyncDone, SyncJob};
pub use poison::{AppendError, Poisoned};
pub use reader::{
    Cursor, DamagedRecord, LiveWalk, OpenContent, ReadError, Reader, Scrubbed, Walked,
};
pub use record::{
    DecodeHeadError, DecodeMetadataError, DecodeRecordError, Head, Kind, Payload, Record,
};
pub use segment::header::DecodeSegmentError;
pub use store::{Change, ChangeError, Committed, Positions, ReplicateError, Store, Usage};
pub use upkeep::{Chore, ChoreDone, ChoreError, RepairError};
