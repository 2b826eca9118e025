//! Changes of the shard record that a leader proposes, one at a time.

use wire::shard::{Member, ShardRecord};

use super::{Leader, Peer};
use crate::RETRY_MS;
use crate::around::Around;
use crate::bugs::Bug;
use crate::event::Effect;
use crate::record::{can_commit, changed, degraded, grown, handed_over, shrunk};

/// A change that is under way. It may have been made until a record of its version, or of a later
/// one, is known: until then it is repeated as it is, and both sets count.
#[derive(Clone, Debug)]
pub(crate) struct Proposal {
    pub(crate) record: ShardRecord,
    asked_ms: u64,
}

impl Leader {
    pub(crate) fn proposed(&self) -> Option<&ShardRecord> {
        self.proposal.as_ref().map(|proposal| &proposal.record)
    }

    /// A newer record is known: whether it is the proposed one or another, the proposal is decided.
    pub(super) fn settle(&mut self, record: &ShardRecord) {
        let decided = |proposal: &mut Proposal| record.revision() >= proposal.record.revision();
        self.proposal.take_if(decided);
    }

    /// Repeats the proposal under way when it is due, or makes the next one.
    pub(super) fn propose(&mut self, around: &Around<'_>, out: &mut Vec<Effect>) {
        if let Some(proposal) = &mut self.proposal {
            if around.now_ms >= proposal.asked_ms + RETRY_MS {
                proposal.asked_ms = around.now_ms;
                out.push(Effect::Propose(proposal.record.clone()));
            }
            return;
        }
        if let Some(record) = self.next_record(around) {
            out.push(Effect::Propose(record.clone()));
            self.proposal = Some(Proposal {
                record,
                asked_ms: around.now_ms,
            });
        }
    }

    fn next_record(&self, around: &Around<'_>) -> Option<ShardRecord> {
        self.start?;
        if self.handover_until_ms.is_some() {
            return self.successor(around);
        }
        let gone = self.gone(around);
        if !gone.is_empty() {
            let next = shrunk(around.record, &gone, around.bugs);
            return Some(self.without_lost(next));
        }
        if around.record.eligible.iter().any(|m| self.has_lost(m)) {
            return Some(self.without_lost(changed(around.record)));
        }
        if let Some(member) = self.joiner(around) {
            return Some(grown(around.record, &member));
        }
        let degrades = self.commit_needed && !can_commit(around.record);
        degrades.then(|| degraded(around.record, around.bugs))
    }

    /// The record in which a process that has everything leads: the first of the replicas that is in
    /// the set and does. Not before all of it is committed: whoever waits for the commit of a change
    /// would else be told that it may be lost; but when nothing is committed because of the own disk,
    /// it is their successor that commits it.
    fn successor(&self, around: &Around<'_>) -> Option<ShardRecord> {
        let end = around.log.appended.lsn;
        if around.log.committed < end && !self.waiting.is_late(around.now_ms) {
            return None;
        }
        let replicas = around.record.replicas.iter();
        let in_sync = replicas.filter(|member| around.record.in_sync.contains(member));
        let mut peers = in_sync.filter_map(|member| self.peers.get(&member.node));
        let has_all =
            |peer: &&Peer| peer.is_attached() && peer.acked >= end && !peer.is_gone(around.now_ms);
        let peer = peers.find(has_all)?;
        Some(handed_over(around.record, &peer.member, peer.incarnation()))
    }

    /// Whether the first of the replicas, for which this one leads, could lead again.
    pub(crate) fn stands_in(&self, around: &Around<'_>) -> bool {
        let Some(first) = around.record.replicas.first() else {
            return false;
        };
        let peer = self.peers.get(&first.node);
        let is_there = peer.is_some_and(|peer| {
            peer.member == *first && peer.is_attached() && !peer.is_gone(around.now_ms)
        });
        is_there && around.record.in_sync.contains(first) && self.proposal.is_none()
    }

    /// Whoever has lost something may not be elected.
    fn without_lost(&self, mut record: ShardRecord) -> ShardRecord {
        record.eligible.retain(|member| !self.has_lost(member));
        record
    }

    fn has_lost(&self, member: &Member) -> bool {
        let peer = self.peers.get(&member.node);
        peer.is_some_and(Peer::has_lost)
    }

    /// The members that the set must go on without.
    fn gone(&self, around: &Around<'_>) -> Vec<Member> {
        let is_gone = |member: &&Member| {
            **member != around.me.member
                && self
                    .peers
                    .get(&member.node)
                    .is_none_or(|peer| peer.is_gone(around.now_ms))
        };
        around
            .record
            .in_sync
            .iter()
            .filter(is_gone)
            .cloned()
            .collect()
    }

    /// A follower that may be taken into the set: it has acknowledged, in this epoch and attempt, up
    /// to the commit, the epoch's first record, and where its copy is complete; and the whole set
    /// has the epoch's first record. Not while a leader before may still serve: who never answered that
    /// one would not wait for it, were it elected next.
    fn joiner(&self, around: &Around<'_>) -> Option<Member> {
        let bugs = around.bugs;
        if Leader::is_preceded(around) {
            return None;
        }
        if !self.set_has_begun(around) && !bugs.has(Bug::GrowBeforeEpoch) {
            return None;
        }
        let start = self.start?;
        let floor = if bugs.has(Bug::GrowBeforeEpoch) {
            around.log.committed
        } else {
            around.log.committed.max(start)
        };
        let may_join = |peer: &&Peer| {
            peer.is_attached()
                && !peer.is_gone(around.now_ms)
                && !around.record.in_sync.contains(&peer.member)
                && (bugs.has(Bug::GrowAtHello)
                    || (peer.has_acked && peer.acked >= floor.max(peer.consistent_from)))
        };
        let peer = self.peers.values().find(may_join)?;
        Some(peer.member.clone())
    }
}
