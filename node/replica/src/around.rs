//! What a role sees of the replica around it.

use std::collections::BTreeSet;

use wire::replication::{Envelope, Hello, Message};
use wire::shard::{Member, ShardRecord};
use wire::{Epoch, NodeName};

use crate::bugs::Bugs;
use crate::core::Identity;
use crate::event::Effect;
use crate::log::LogState;

/// An attempt of a follower to be let in, and what was last heard in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Talk {
    pub(crate) attempt: u64,
    /// When the other one sent what was last heard, by its own clock.
    pub(crate) echo_ms: u64,
}

/// What a role sees of the replica around it.
pub(crate) struct Around<'a> {
    pub(crate) me: &'a Identity,
    pub(crate) record: &'a ShardRecord,
    pub(crate) log: &'a LogState,
    pub(crate) links: &'a BTreeSet<NodeName>,
    /// Leaders that this replica followed, and when it last answered each of them.
    pub(crate) answered: &'a [(Member, u64)],
    pub(crate) session_ms: u64,
    pub(crate) free_bytes: u64,
    pub(crate) now_ms: u64,
    pub(crate) bugs: Bugs,
}

impl Around<'_> {
    /// A message of this shard and epoch.
    pub(crate) fn send(&self, to: &NodeName, talk: Talk, message: Message) -> Effect {
        let envelope = Envelope {
            shard: self.record.shard,
            epoch: self.record.epoch,
            attempt: talk.attempt,
            sent_ms: self.now_ms,
            echo_ms: talk.echo_ms,
            message,
        };
        Effect::Send {
            to: to.clone(),
            envelope,
        }
    }

    /// How this replica asks to be let in.
    pub(crate) fn hello(&self) -> Message {
        Message::Hello(Hello {
            replica: self.me.member.replica,
            incarnation: self.me.incarnation,
            revision: self.record.revision(),
            last: self.log.appended,
            checksum: None,
            consistent_from: self.log.consistent_from,
        })
    }

    /// Whether a message of this epoch is heard.
    pub(crate) fn hears(&self, epoch: Epoch) -> bool {
        epoch == self.record.epoch
    }
}
