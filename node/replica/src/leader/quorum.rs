//! How far the log is committed, and for how long that may be told.

use wire::Lsn;
use wire::shard::Member;

use super::Leader;
use crate::around::Around;
use crate::bugs::Bug;
use crate::record::can_commit;

impl Leader {
    /// The lowest durable record of the quorum, if it is in this epoch and the set is large enough,
    /// and nobody else serves what was before it.
    pub(crate) fn commit_point(&self, around: &Around<'_>) -> Option<Lsn> {
        let start = self.start?;
        if !can_commit(around.record) && !around.bugs.has(Bug::CommitBelowMin) {
            return None;
        }
        if Leader::is_preceded(around) && !around.bugs.has(Bug::LeaseOverlapped) {
            return None;
        }
        let lowest = self.lowest_synced(around)?;
        (lowest >= start).then_some(lowest)
    }

    /// Whether a leader that this replica followed may still serve reads: it does for a session from
    /// when this replica last answered it, unless it has said hello in this epoch.
    pub(super) fn is_preceded(around: &Around<'_>) -> bool {
        let mut leaders = around.answered.iter();
        leaders.any(|(_, at_ms)| around.now_ms < at_ms + around.session_ms)
    }

    /// What every member of the quorum has: of the confirmed set, and of one that is proposed.
    fn lowest_synced(&self, around: &Around<'_>) -> Option<Lsn> {
        let members = self.quorum(around);
        members.map(|member| self.synced_at(member, around)).min()
    }

    fn quorum<'a>(&'a self, around: &Around<'a>) -> impl Iterator<Item = &'a Member> {
        let proposed = self
            .proposal
            .as_ref()
            .map(|proposal| &proposal.record.in_sync);
        let only_proposed = proposed.is_some() && around.bugs.has(Bug::QuorumWithoutOld);
        let confirmed = (!only_proposed).then_some(&around.record.in_sync);
        confirmed.into_iter().chain(proposed).flatten()
    }

    fn synced_at(&self, member: &Member, around: &Around<'_>) -> Lsn {
        if *member == around.me.member {
            return around.log.synced;
        }
        let peer = self.peers.get(&member.node);
        let peer = peer.filter(|peer| peer.member == *member);
        peer.map_or(Lsn::ZERO, |peer| peer.acked)
    }

    /// What every other member of the quorum has acknowledged.
    pub(crate) fn acknowledged(&self, around: &Around<'_>) -> Option<Lsn> {
        let others = self
            .quorum(around)
            .filter(|member| **member != around.me.member);
        others.map(|member| self.synced_at(member, around)).min()
    }

    /// Whether every member of the set has synced the epoch's first record.
    pub(super) fn set_has_begun(&self, around: &Around<'_>) -> bool {
        let in_sync = &around.record.in_sync;
        self.start.is_some_and(|start| {
            in_sync
                .iter()
                .all(|member| self.synced_at(member, around) >= start)
        })
    }

    /// For how long what is committed may be served: a session from when the whole quorum was
    /// last heard in this epoch; nobody outside of it can have been elected before. Zero while the set
    /// is too small to commit: then someone outside may lead already.
    pub(crate) fn lease_ms(&self, around: &Around<'_>, now_ms: u64) -> u64 {
        let answers = self.is_confirmed(around.log) || around.bugs.has(Bug::ElectedAnswers);
        if around.bugs.has(Bug::ReadUnheard) && answers {
            return around.session_ms;
        }
        if !answers || !can_commit(around.record) {
            return 0;
        }
        let others = self
            .quorum(around)
            .filter(|member| **member != around.me.member);
        let heard = others.map(|member| self.peers.get(&member.node)?.current_ms());
        let oldest = heard.min().unwrap_or(Some(now_ms));
        oldest.map_or(0, |at| (at + around.session_ms).saturating_sub(now_ms))
    }

    /// Whether nobody copies the log from its beginning.
    pub(crate) fn may_compact(&self) -> bool {
        !self.peers.values().any(super::Peer::is_copying)
    }

    /// The least free space in the set.
    pub(crate) fn free_bytes(&self, around: &Around<'_>) -> u64 {
        let others = around.record.in_sync.iter();
        let others = others.filter_map(|member| self.peers.get(&member.node));
        let least = others.map(|peer| peer.free_bytes).min();
        least.unwrap_or(u64::MAX).min(around.free_bytes)
    }
}
