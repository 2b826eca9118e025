//! The leader: lets followers in, commits, and keeps the in-sync set.

mod handshake;
mod peer;
mod proposal;
mod quorum;
mod waiting;

use std::collections::BTreeMap;

use wire::replication::{Envelope, Message};
use wire::{Epoch, Lsn, NodeName};

use crate::around::Around;
use crate::bugs::Bug;
use crate::event::{Effect, Halt};
use crate::log::LogState;
use crate::record::can_commit;
use crate::{EPOCH_RETRY_MS, HANDOVER_MS_MAX, sign_every_ms};

use peer::Peer;
use proposal::Proposal;
use waiting::Waiting;

/// One term of office.
#[derive(Clone, Debug)]
pub(crate) struct Leader {
    epoch: Epoch,
    /// The epoch's first record; none until it is appended.
    start: Option<Lsn>,
    /// When its first record was to be appended last: a full disk may have no room for it.
    asked_ms: u64,
    /// Every other replica of the shard, by its node.
    peers: BTreeMap<NodeName, Peer>,
    /// A change of the record that is under way.
    proposal: Option<Proposal>,
    /// A request waits for a commit that the set is too small for.
    commit_needed: bool,
    /// What it has not synced itself.
    waiting: Waiting,
    /// Until when a handover is tried.
    handover_until_ms: Option<u64>,
    /// What the followers were last told, and when.
    told: (Lsn, u64),
}

impl Leader {
    pub(crate) fn new(epoch: Epoch, now_ms: u64) -> Leader {
        Leader {
            epoch,
            start: None,
            asked_ms: now_ms,
            peers: BTreeMap::new(),
            proposal: None,
            commit_needed: false,
            waiting: Waiting::default(),
            handover_until_ms: None,
            told: (Lsn::ZERO, now_ms),
        }
    }

    /// Leads on in an epoch of an earlier process, as no leader may.
    pub(crate) fn reuse(&mut self, log: &LogState) {
        self.start = Some(log.end_of(Epoch(self.epoch.0.saturating_sub(1))).lsn.next());
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether the epoch's first record is in the log.
    pub(crate) fn has_begun(&self) -> bool {
        self.start.is_some()
    }

    /// Whether the epoch's first record is committed: from then on this process is the shard's
    /// order.
    pub(crate) fn is_confirmed(&self, log: &LogState) -> bool {
        self.start.is_some_and(|start| log.committed >= start)
    }

    pub(crate) fn may_write(&self, around: &Around<'_>) -> bool {
        self.is_confirmed(around.log)
            && can_commit(around.record)
            && self.handover_until_ms.is_none()
    }

    /// The record names other replicas, or another set, than before.
    pub(crate) fn record_changed(&mut self, around: &Around<'_>, out: &mut Vec<Effect>) {
        let others = around.record.replicas.iter();
        let others = others.filter(|member| **member != around.me.member);
        let mut peers = std::mem::take(&mut self.peers);
        for member in others {
            let known = peers.remove(&member.node);
            let peer = known.filter(|peer| peer.member == *member);
            let peer = peer.unwrap_or_else(|| Peer::new(member.clone(), around.now_ms));
            self.peers.insert(member.node.clone(), peer);
        }
        for (node, peer) in peers {
            if peer.is_attached() {
                out.push(Effect::StopStream(node));
            }
        }
        self.settle(around.record);
        self.commit_needed &= !can_commit(around.record);
    }

    pub(crate) fn log_moved(
        &mut self,
        around: &Around<'_>,
        out: &mut Vec<Effect>,
    ) -> Result<(), Halt> {
        let appended = around.log.appended;
        if self.start.is_none() && appended.epoch == self.epoch {
            self.start = Some(appended.lsn);
        }
        self.waiting
            .moved(around.log.synced, appended.lsn, around.now_ms);
        for peer in self.peers.values_mut() {
            peer.appended(appended.lsn, around.now_ms);
        }
        self.check_horizon(around, out)
    }

    pub(crate) fn unlink(&mut self, node: &NodeName, around: &Around<'_>, out: &mut Vec<Effect>) {
        if let Some(peer) = self.peers.get_mut(node) {
            if peer.is_attached() {
                out.push(Effect::StopStream(node.clone()));
            }
            peer.detach(around.now_ms);
        }
    }

    pub(crate) fn stop_streams(&self, out: &mut Vec<Effect>) {
        let attached = self.peers.iter().filter(|(_, peer)| peer.is_attached());
        out.extend(attached.map(|(node, _)| Effect::StopStream(node.clone())));
    }

    /// Somebody waits for a commit. While the set can make it nothing is needed: whoever waits still
    /// when it cannot says so again.
    pub(crate) fn need_commit(&mut self, around: &Around<'_>) {
        self.commit_needed |= !can_commit(around.record);
    }

    pub(crate) fn hand_over(&mut self, around: &Around<'_>) {
        if self.is_confirmed(around.log) {
            self.handover_until_ms = Some(around.now_ms + HANDOVER_MS_MAX);
        }
    }

    /// Whether its own disk is what everyone waits for: another member of the set has synced more.
    fn is_slow(&self, around: &Around<'_>) -> bool {
        let is_ahead = |peer: &Peer| {
            around.record.in_sync.contains(&peer.member)
                && !peer.is_gone(around.now_ms)
                && peer.acked > around.log.synced
        };
        self.waiting.is_late(around.now_ms) && self.peers.values().any(is_ahead)
    }

    pub(crate) fn unanswered(&mut self, around: &Around<'_>) {
        if around.bugs.has(Bug::UnknownIsNo) {
            self.proposal = None;
        }
    }

    /// An acknowledgement: durable at the follower, in this epoch and attempt.
    pub(crate) fn ack(
        &mut self,
        from: &NodeName,
        envelope: &Envelope,
        around: &Around<'_>,
    ) -> Result<(), Halt> {
        let Message::Ack { synced, .. } = envelope.message else {
            return Ok(());
        };
        let end = around.log.appended.lsn;
        let Some(peer) = self.peers.get_mut(from) else {
            return Ok(());
        };
        if !peer.is_of(envelope.attempt) && !around.bugs.has(Bug::AckUninvited) {
            return Ok(());
        }
        if synced > end {
            let node = from.clone();
            return Err(Halt::AckAhead { node, synced, end });
        }
        peer.ack(envelope, end, around.now_ms);
        if around.bugs.has(Bug::LeaseFromAnswer) {
            peer.answered(around.now_ms);
        }
        Ok(())
    }

    /// A follower's process is about to end.
    pub(crate) fn farewell(&mut self, from: &NodeName, attempt: u64) {
        if let Some(peer) = self.peers.get_mut(from).filter(|peer| peer.is_of(attempt)) {
            peer.parting = true;
        }
    }

    /// Signs of life, retries, and changes of the record, as they are due.
    pub(crate) fn proceed(&mut self, around: &Around<'_>, out: &mut Vec<Effect>) {
        // A proposal that nobody answers may stay under way for as long as the register is away:
        // meanwhile this process leads on. Whatever the successor lacks then is not committed.
        self.handover_until_ms
            .take_if(|until| around.now_ms >= *until);
        let is_free = self.handover_until_ms.is_none() && self.proposal.is_none();
        if is_free && self.is_slow(around) {
            self.hand_over(around);
        }
        if self.start.is_none() && around.now_ms >= self.asked_ms + EPOCH_RETRY_MS {
            self.asked_ms = around.now_ms;
            out.push(Effect::BeginEpoch(self.epoch));
            return;
        }
        let committed = around.log.committed;
        let due = around.now_ms >= self.told.1 + sign_every_ms(around.session_ms);
        if committed > self.told.0 || due {
            self.told = (committed, around.now_ms);
            let said = Message::Commit {
                commit: committed,
                lease_ms: self.lease_ms(around, around.now_ms),
            };
            for (node, peer) in self.peers.iter().filter(|(_, peer)| peer.is_attached()) {
                out.push(around.send(node, peer.talk(), said.clone()));
            }
        }
        self.propose(around, out);
    }
}
