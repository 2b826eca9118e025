//! The replication core: the state machine of one replica of one shard.
//!
//! Events go in, effects come out; the shell carries the effects out, in order, and tells what came
//! of them. The core does no I/O, reads no clock, draws no random numbers, and knows no store and no
//! network. `docs/replication.md` is the protocol; every rule in it has a function here, and a test
//! beside it.

mod around;
mod bugs;
mod core;
mod event;
mod follower;
mod leader;
mod log;
mod record;
#[cfg(test)]
mod tests;

pub use bugs::{Bug, Bugs};
pub use core::{Core, Identity, Standing};
pub use event::{Effect, Event, Halt};
pub use log::{EpochStart, LogState};
pub use record::{can_commit, supersedes};

/// The link to a follower may be gone for so long before the leader goes on without it, in
/// milliseconds: longer than a connection takes to be made anew.
pub const LINK_GONE_MS: u64 = 500;

/// A follower may leave a record unacknowledged, or be silent, for so long, in milliseconds: longer
/// than a slow sync takes.
pub const ACK_AGE_MS_MAX: u64 = 2_000;

/// A follower that was let in asks again when its leader was silent for so long in this attempt, in
/// milliseconds: the leader may have heard an older hello after the last one, and talk to that. It
/// has long gone on without the follower then.
pub const LEADER_SILENT_MS_MAX: u64 = 2 * ACK_AGE_MS_MAX;

/// A proposal without an answer, or a hello, is repeated after so long, in milliseconds.
pub const RETRY_MS: u64 = 250;

/// An epoch for whose first record a full disk has no room is begun again after so long, in milliseconds.
const EPOCH_RETRY_MS: u64 = 100;

/// A handover that did not come about in so long is given up, in milliseconds.
pub const HANDOVER_MS_MAX: u64 = 2_000;

/// How often in a session a leader gives a sign of life.
pub const SIGNS_OF_LIFE: u64 = 6;

/// How often a leader gives a sign of life, in milliseconds: also in a long session often enough that
/// no follower seems silent between two.
fn sign_every_ms(session_ms: u64) -> u64 {
    (session_ms / SIGNS_OF_LIFE).min(ACK_AGE_MS_MAX / 4)
}
