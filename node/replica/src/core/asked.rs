//! What others ask of a replica: what it may do at this moment.

use wire::replication::Envelope;
use wire::shard::ShardRecord;
use wire::{Lsn, NodeName};

use super::{Core, Role};

impl Core {
    /// The record that this leader has proposed, and that may have been made.
    pub fn proposed(&self) -> Option<&ShardRecord> {
        match &self.role {
            Role::Leading(leader) => leader.proposed(),
            _ => None,
        }
    }

    /// Whether a write may be appended now. If only the set is too small, `NeedsCommit` helps.
    pub fn may_write(&self) -> bool {
        match (&self.role, self.around()) {
            (Role::Leading(leader), Some(around)) => leader.may_write(&around),
            _ => false,
        }
    }

    /// Whether what is committed here may be served, as of `now_ms`: at the leader it is what is
    /// committed, at a follower what was at most a session ago.
    pub fn may_read(&self, now_ms: u64) -> bool {
        self.readable_ms(now_ms) > 0
    }

    /// For how long what is committed here may be served, as of `now_ms`, if nothing more is heard.
    pub fn readable_ms(&self, now_ms: u64) -> u64 {
        match (&self.role, self.around()) {
            (Role::Leading(leader), Some(around)) => leader.lease_ms(&around, now_ms),
            (Role::Following(follower), Some(around)) => follower.readable_ms(&around, now_ms),
            _ => 0,
        }
    }

    /// Whether this replica leads for the first of the record's replicas, which is in the set and
    /// could lead again: `HandOver` then gives the shard back to it.
    pub fn stands_in(&self) -> bool {
        match (&self.role, self.around()) {
            (Role::Leading(leader), Some(around)) => {
                leader.is_confirmed(around.log) && leader.stands_in(&around)
            }
            _ => false,
        }
    }

    /// What every other member of the set has acknowledged; none when there is no other, or this
    /// replica does not lead.
    pub fn acknowledged(&self) -> Option<Lsn> {
        match (&self.role, self.around()) {
            (Role::Leading(leader), Some(around)) => leader.acknowledged(&around),
            _ => None,
        }
    }

    /// For how long a node that hears of this commit now may serve it.
    pub fn lease_ms(&self, now_ms: u64) -> u64 {
        match (&self.role, self.around()) {
            (Role::Leading(leader), Some(around)) => leader.lease_ms(&around, now_ms),
            _ => 0,
        }
    }

    /// Whether the frames of a message are to be appended: they come from the leader, in answer to
    /// the present attempt.
    pub fn accepts(&self, from: &NodeName, envelope: &Envelope) -> bool {
        let (Role::Following(follower), Some(around)) = (&self.role, self.around()) else {
            return false;
        };
        around.hears(envelope.epoch) && follower.accepts(from, envelope.attempt)
    }

    /// Whether the log may be compacted: not while a follower copies it from the beginning.
    pub fn may_compact(&self) -> bool {
        match &self.role {
            Role::Leading(leader) => leader.may_compact(),
            _ => true,
        }
    }

    /// The least free space in the in-sync set, in bytes.
    pub fn free_bytes(&self) -> u64 {
        match (&self.role, self.around()) {
            (Role::Leading(leader), Some(around)) => leader.free_bytes(&around),
            _ => self.free_bytes,
        }
    }
}
