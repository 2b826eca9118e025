//! Positions in a shard's log, and the number that names a shard.
//!
//! One chain holds everywhere: `appended >= synced >= committed >= listed`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The number of a shard; it is part of every id minted for it. Shard 0 is the system shard.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    Default,
    utoipa::ToSchema,
)]
#[serde(transparent)]
pub struct ShardNo(pub u16);

/// A record's position in its shard's log: 1, 2, 3… without gaps. Zero is "before the first".
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    Default,
    utoipa::ToSchema,
)]
#[serde(transparent)]
pub struct Lsn(pub u64);

/// A leader's term of office in one shard; it only grows. Zero is "no leader yet".
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    Default,
    utoipa::ToSchema,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// A record named by the epoch it was appended in and its lsn.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    Default,
    utoipa::ToSchema,
)]
pub struct Position {
    /// The epoch of the record at `lsn`. Of a log it is zero exactly when `lsn` is zero; a catalog that
    /// is to be shown everything is put before the first record of an epoch above zero, which is in
    /// no log.
    pub epoch: Epoch,
    /// The record's lsn.
    pub lsn: Lsn,
}

impl Lsn {
    /// The position before the first record.
    pub const ZERO: Lsn = Lsn(0);

    /// The lsn that follows this one.
    pub fn next(self) -> Lsn {
        Lsn(self.0 + 1)
    }

    /// The lsn before this one; zero stays zero.
    pub fn previous(self) -> Lsn {
        Lsn(self.0.saturating_sub(1))
    }
}

impl Epoch {
    /// No epoch: nothing was ever led.
    pub const ZERO: Epoch = Epoch(0);

    /// The epoch that follows this one.
    pub fn next(self) -> Epoch {
        Epoch(self.0 + 1)
    }
}

impl fmt::Display for ShardNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}, {})", self.epoch, self.lsn)
    }
}
