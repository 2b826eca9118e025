//! The follower: asks to be let in, steps back to what it shares with its leader, acknowledges.

use wire::replication::{Envelope, Message};
use wire::shard::{Leader, Member};
use wire::{Epoch, Lsn, NodeName, Position};

use crate::around::{Around, Talk};
use crate::bugs::Bug;
use crate::event::{Effect, Halt};
use crate::{LEADER_SILENT_MS_MAX, RETRY_MS, sign_every_ms};

/// One leader's follower in one epoch.
#[derive(Clone, Debug)]
pub(crate) struct Follower {
    leader: Leader,
    epoch: Epoch,
    stage: Stage,
    /// What the leader last said that it committed.
    commit: Lsn,
    /// What was last acknowledged in this attempt.
    acked: Lsn,
    /// When the leader sent what was last heard in this attempt, by its clock.
    heard_sent_ms: u64,
    /// When it sent what was last acknowledged in this attempt, by its clock.
    echoed_ms: u64,
    /// When this replica last acknowledged anything to it, by the own clock.
    answered_ms: Option<u64>,
    /// Until when what is committed here may be served.
    readable_until_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Not asking: asks when the leader's node can be reached, not before this time.
    Apart { until_ms: u64 },
    /// Asked at this time.
    Asking { attempt: u64, since_ms: u64 },
    /// The own log is being cut, or begun anew.
    Cutting,
    /// Let in; the leader was last heard in this attempt at this time.
    In { attempt: u64, heard_ms: u64 },
}

impl Follower {
    pub(crate) fn new(leader: Leader, epoch: Epoch) -> Follower {
        Follower {
            leader,
            epoch,
            stage: Stage::Apart { until_ms: 0 },
            commit: Lsn::ZERO,
            acked: Lsn::ZERO,
            heard_sent_ms: 0,
            echoed_ms: 0,
            answered_ms: None,
            readable_until_ms: 0,
        }
    }

    /// The leader, and when it was last answered, if it was.
    pub(crate) fn last_answer(&self) -> Option<(Member, u64)> {
        self.answered_ms
            .map(|at_ms| (self.leader.member.clone(), at_ms))
    }

    pub(crate) fn is_of(&self, leader: &Leader, epoch: Epoch) -> bool {
        self.leader == *leader && self.epoch == epoch
    }

    /// The attempt that was let in.
    pub(crate) fn attempt_in(&self) -> Option<u64> {
        match self.stage {
            Stage::In { attempt, .. } => Some(attempt),
            _ => None,
        }
    }

    /// The leader's commit, once this log is known to be a part of the leader's.
    pub(crate) fn commit(&self) -> Option<Lsn> {
        self.attempt_in().map(|_| self.commit)
    }

    pub(crate) fn accepts(&self, from: &NodeName, attempt: u64) -> bool {
        *from == self.leader.member.node && self.attempt_in() == Some(attempt)
    }

    /// For how long what is committed here may be served.
    pub(crate) fn readable_ms(&self, around: &Around<'_>, now_ms: u64) -> u64 {
        if around.bugs.has(Bug::FollowerReadUnheard) {
            return u64::from(self.commit > Lsn::ZERO);
        }
        if around.log.committed < self.commit {
            return 0;
        }
        self.readable_until_ms.saturating_sub(now_ms)
    }

    /// Asks anew, after a while.
    pub(crate) fn leave(&mut self, around: &Around<'_>) {
        self.stage = Stage::Apart {
            until_ms: around.now_ms + RETRY_MS,
        };
    }

    pub(crate) fn unlink(&mut self, node: &NodeName) {
        if *node == self.leader.member.node && self.stage != Stage::Cutting {
            self.stage = Stage::Apart { until_ms: 0 };
        }
    }

    pub(crate) fn log_moved(&mut self, around: &Around<'_>, out: &mut Vec<Effect>) {
        if self.stage == Stage::Cutting {
            self.stage = Stage::Apart { until_ms: 0 };
        } else {
            self.acknowledge(around, false, out);
        }
    }

    /// Asks, if it is time to.
    pub(crate) fn proceed(
        &mut self,
        around: &Around<'_>,
        attempts: &mut u64,
        out: &mut Vec<Effect>,
    ) {
        let due = match self.stage {
            Stage::Apart { until_ms } => around.now_ms >= until_ms,
            Stage::Asking { since_ms, .. } => around.now_ms >= since_ms + RETRY_MS,
            Stage::In { heard_ms, .. } => around.now_ms >= heard_ms + LEADER_SILENT_MS_MAX,
            Stage::Cutting => false,
        };
        let leader = &self.leader.member.node;
        if due && around.links.contains(leader) {
            *attempts += 1;
            self.acked = Lsn::ZERO;
            self.stage = Stage::Asking {
                attempt: *attempts,
                since_ms: around.now_ms,
            };
            (self.heard_sent_ms, self.echoed_ms) = (0, 0);
            let talk = Talk {
                attempt: *attempts,
                echo_ms: 0,
            };
            out.push(around.send(leader, talk, around.hello()));
        }
    }

    /// Hears a message; returns how far the leader says it committed.
    pub(crate) fn hear(
        &mut self,
        from: &NodeName,
        envelope: Envelope,
        around: &Around<'_>,
        out: &mut Vec<Effect>,
    ) -> Result<Option<Lsn>, Halt> {
        let Envelope { attempt, .. } = envelope;
        if *from != self.leader.member.node {
            return Ok(None);
        }
        match (self.stage, envelope.message) {
            (Stage::Asking { attempt: asked, .. }, answer) if asked == attempt => {
                self.heard_sent_ms = envelope.sent_ms;
                self.answered(attempt, answer, around, out)?;
                Ok(None)
            }
            (
                Stage::In { .. },
                Message::Records {
                    commit, lease_ms, ..
                }
                | Message::Commit { commit, lease_ms },
            ) if self.accepts(from, attempt) => {
                let heard_ms = around.now_ms;
                self.stage = Stage::In { attempt, heard_ms };
                self.commit = self.commit.max(commit);
                self.heard_sent_ms = envelope.sent_ms;
                let asked_ms = if around.bugs.has(Bug::LeaseFromAnswer) {
                    around.now_ms
                } else {
                    envelope.echo_ms
                };
                if asked_ms > 0 {
                    let until_ms = asked_ms + lease_ms;
                    self.readable_until_ms = self.readable_until_ms.max(until_ms);
                }
                self.acknowledge(around, self.is_sign_due(around), out);
                Ok(Some(self.commit))
            }
            // The leader's stream ran into what it has dropped.
            (Stage::In { .. }, Message::StartOver { consistent_from })
                if self.attempt_in() == Some(attempt) =>
            {
                self.start_over(consistent_from, out);
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    fn answered(
        &mut self,
        attempt: u64,
        answer: Message,
        around: &Around<'_>,
        out: &mut Vec<Effect>,
    ) -> Result<(), Halt> {
        match answer {
            Message::Follow => {
                let heard_ms = around.now_ms;
                self.stage = Stage::In { attempt, heard_ms };
                self.acknowledge(around, true, out);
            }
            Message::Diverged(end) => self.step_back(end, around, out)?,
            Message::StartOver { consistent_from } => self.start_over(consistent_from, out),
            _ => {}
        }
        Ok(())
    }

    /// Cuts the own log at the end of the last epoch that both know, never below the own commit.
    fn step_back(
        &mut self,
        theirs: Position,
        around: &Around<'_>,
        out: &mut Vec<Effect>,
    ) -> Result<(), Halt> {
        let cut = around.log.common_with(theirs);
        let committed = around.log.committed;
        if cut < committed {
            return Err(Halt::BelowCommit { cut, committed });
        }
        self.stage = Stage::Cutting;
        out.push(Effect::TruncateAfter(cut));
        Ok(())
    }

    fn start_over(&mut self, consistent_from: Lsn, out: &mut Vec<Effect>) {
        self.stage = Stage::Cutting;
        self.commit = Lsn::ZERO;
        self.readable_until_ms = 0;
        out.push(Effect::StartOver { consistent_from });
    }

    /// Asks to be taken out of the set, if it is in it.
    pub(crate) fn say_farewell(&self, around: &Around<'_>, out: &mut Vec<Effect>) {
        if let Some(attempt) = self.attempt_in()
            && around.record.in_sync.contains(&around.me.member)
        {
            let talk = Talk {
                attempt,
                echo_ms: self.heard_sent_ms,
            };
            out.push(around.send(&self.leader.member.node, talk, Message::Farewell));
        }
    }

    /// Whether what was just heard is to be answered: the leader's signs of life are, but not every
    /// message of a busy one, who is told by itself what becomes durable.
    fn is_sign_due(&self, around: &Around<'_>) -> bool {
        self.heard_sent_ms >= self.echoed_ms + sign_every_ms(around.session_ms) / 2
    }

    /// Says what is durable here: when that is news, or `always` as a sign of life.
    fn acknowledge(&mut self, around: &Around<'_>, always: bool, out: &mut Vec<Effect>) {
        let synced = if around.bugs.has(Bug::AckBeforeSync) {
            around.log.appended.lsn
        } else {
            around.log.synced
        };
        let attempt = match self.stage {
            Stage::Asking { attempt, .. } if around.bugs.has(Bug::AckUninvited) => attempt,
            Stage::In { attempt, .. } => attempt,
            _ => return,
        };
        if always || synced > self.acked {
            self.acked = synced;
            self.echoed_ms = self.heard_sent_ms;
            self.answered_ms = Some(around.now_ms);
            let ack = Message::Ack {
                synced,
                free_bytes: around.free_bytes,
            };
            let talk = Talk {
                attempt,
                echo_ms: self.heard_sent_ms,
            };
            out.push(around.send(&self.leader.member.node, talk, ack));
        }
    }
}
