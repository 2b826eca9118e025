//! Letting followers in: their last record must be in the leader's history, and above its horizon.

use wire::replication::{Hello, Message};
use wire::shard::{Member, ShardRecord};
use wire::{Lsn, NodeName, Position};

use super::Leader;
use crate::around::{Around, Talk};
use crate::bugs::Bug;
use crate::event::{Effect, Halt};

impl Leader {
    /// Answers a follower that wants to be let in.
    pub(crate) fn hello(
        &mut self,
        from: &NodeName,
        (talk, hello): (Talk, &Hello),
        checksum_here: Option<u32>,
        (around, out): (&Around<'_>, &mut Vec<Effect>),
    ) -> Result<(), Halt> {
        let end = around.log.appended.lsn;
        let Some(peer) = self.peers.get_mut(from) else {
            return Ok(());
        };
        // Until the epoch has begun, there is no history to compare with: it asks again.
        if peer.member.replica != hello.replica || self.start.is_none() {
            return Ok(());
        }
        if peer.is_attached() {
            out.push(Effect::StopStream(from.clone()));
        }
        peer.greet(talk, hello, around.now_ms);
        let committed = around.log.committed;
        let proposed = self.proposal.iter().map(|proposal| &proposal.record);
        let mut records = proposed.chain([around.record]);
        let is_bound = records.any(|record| has_all(record, &peer.member));
        if is_bound && hello.last.lsn < committed && peer.lost(committed) {
            out.push(Effect::Lost {
                node: from.clone(),
                end: hello.last.lsn,
                committed,
            });
        }
        let answer = judge(hello, checksum_here, around);
        if answer == Message::Follow {
            peer.attach(end, around.now_ms);
        }
        if let Message::StartOver { .. } = answer {
            // It is about to leave the set, and asks again.
            if is_bound && peer.has_lost() {
                return Ok(());
            }
            self.check_may_start_over(from, hello.last.lsn, around)?;
        }
        let follows = answer == Message::Follow;
        out.push(around.send(from, talk, answer));
        if follows {
            out.push(Effect::Stream {
                to: from.clone(),
                after: hello.last.lsn,
                epoch: self.epoch,
                attempt: talk.attempt,
            });
        }
        Ok(())
    }

    /// The horizon rose above what a follower has: it may have missed a delete. Not for one who copies
    /// from nothing: meanwhile nothing is dropped.
    pub(super) fn check_horizon(
        &mut self,
        around: &Around<'_>,
        out: &mut Vec<Effect>,
    ) -> Result<(), Halt> {
        if around.bugs.has(Bug::HorizonIgnored) {
            return Ok(());
        }
        let floor = around.log.floor();
        let below = |peer: &super::Peer| {
            peer.is_attached() && peer.has_acked && peer.acked < floor && !peer.is_copying()
        };
        let late = self.peers.iter().filter(|(_, peer)| below(peer));
        let late: Vec<(NodeName, Lsn)> = late.map(|(n, p)| (n.clone(), p.acked)).collect();
        for (node, acked) in late {
            self.check_may_start_over(&node, acked, around)?;
            if let Some(peer) = self.peers.get_mut(&node) {
                out.push(Effect::StopStream(node.clone()));
                let consistent_from = around.log.committed;
                let answer = Message::StartOver { consistent_from };
                out.push(around.send(&node, peer.talk(), answer));
                peer.detach(around.now_ms);
            }
        }
        Ok(())
    }

    /// A member has everything committed, and so everything that may be dropped.
    fn check_may_start_over(
        &self,
        node: &NodeName,
        end: Lsn,
        around: &Around<'_>,
    ) -> Result<(), Halt> {
        let member = around.record.member_on(node);
        if member.is_some_and(|member| has_all(around.record, member)) {
            return Err(Halt::MemberBelowHorizon {
                node: node.clone(),
                end,
                horizon: around.log.floor(),
            });
        }
        Ok(())
    }
}

/// Whether a member has everything that is committed, by the record.
fn has_all(record: &ShardRecord, member: &Member) -> bool {
    record.in_sync.contains(member) || record.eligible.contains(member)
}

/// What a leader says to a follower with this end.
fn judge(hello: &Hello, checksum_here: Option<u32>, around: &Around<'_>) -> Message {
    let (log, last) = (around.log, hello.last);
    if around.bugs.has(Bug::FollowUnchecked) && last.lsn <= log.appended.lsn {
        return Message::Follow;
    }
    let is_new = last.lsn == Lsn::ZERO;
    let begins_late = is_new && log.floor() > Lsn::ZERO && hello.consistent_from.is_none();
    let is_below = !is_new && last.lsn < log.floor() && !around.bugs.has(Bug::HorizonIgnored);
    if is_below || begins_late {
        return Message::StartOver {
            consistent_from: log.committed,
        };
    }
    if !log.contains(last) {
        return Message::Diverged(log.end_of(last.epoch));
    }
    match (hello.checksum, checksum_here) {
        (Some(theirs), Some(ours)) if theirs != ours => Message::Diverged(Position {
            epoch: last.epoch,
            lsn: last.lsn.previous(),
        }),
        _ => Message::Follow,
    }
}
