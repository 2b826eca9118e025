//! One replica: what it knows, its role, and where each event goes.

mod asked;
mod hearing;

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;
use wire::replication::Envelope;
use wire::shard::{Leader as LeaderOf, Member, ShardRecord};
use wire::{Epoch, Lsn, NodeName};

use crate::around::Around;
use crate::bugs::{Bug, Bugs};
use crate::event::{Effect, Event, Halt};
use crate::follower::Follower;
use crate::leader::Leader;
use crate::log::LogState;
use crate::record::supersedes;

/// Which replica this is, and as which process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The replica.
    pub member: Member,
    /// The node's process.
    pub incarnation: Uuid,
}

/// What a replica does at present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has nobody to follow.
    Idle,
    /// It follows a leader; whether it was let in.
    Following {
        /// Whether it takes records.
        is_in: bool,
    },
    /// It leads, once its epoch's first record is committed.
    Elected(Epoch),
    /// It leads.
    Leading(Epoch),
    /// It stopped.
    Halted(Halt),
}

/// The state machine of one replica.
#[derive(Clone, Debug)]
pub struct Core {
    me: Identity,
    session_ms: u64,
    bugs: Bugs,
    record: Option<ShardRecord>,
    log: LogState,
    links: BTreeSet<NodeName>,
    role: Role,
    /// What nodes said to this replica in an epoch that it had yet to begin: the hello of each.
    early: BTreeMap<NodeName, (Envelope, Option<u32>)>,
    /// Leaders that this replica followed, and when it last answered each of them.
    answered: Vec<(Member, u64)>,
    /// Counts the attempts of this process to be let in.
    attempt: u64,
    free_bytes: u64,
    /// This process is about to end.
    parting: bool,
    now_ms: u64,
}

#[derive(Clone, Debug)]
enum Role {
    Idle,
    Following(Follower),
    Leading(Box<Leader>),
    Halted(Halt),
}

impl Core {
    /// A replica whose process just began, with its log as it was recovered, all of it durable. The
    /// record that it has persisted is the first event.
    pub fn new(me: Identity, session_ms: u64, log: LogState, bugs: Bugs) -> Core {
        Core {
            me,
            session_ms,
            bugs,
            record: None,
            log,
            links: BTreeSet::new(),
            role: Role::Idle,
            early: BTreeMap::new(),
            answered: Vec::new(),
            attempt: 0,
            // Not known yet; nothing is refused for it.
            free_bytes: u64::MAX,
            parting: false,
            now_ms: 0,
        }
    }

    /// How long a session is from now on, in milliseconds; to be told before a record by which
    /// this process leads.
    pub fn set_session_ms(&mut self, session_ms: u64) {
        self.session_ms = session_ms;
    }

    /// Takes one event. `now_ms` is a monotone clock's.
    pub fn handle(&mut self, event: Event, now_ms: u64, out: &mut Vec<Effect>) {
        self.now_ms = self.now_ms.max(now_ms);
        if matches!(self.role, Role::Halted(_)) {
            return;
        }
        if let Err(halt) = self.take(event, out) {
            self.role = Role::Halted(halt.clone());
            out.push(Effect::Halt(halt));
        }
    }

    fn take(&mut self, event: Event, out: &mut Vec<Effect>) -> Result<(), Halt> {
        match event {
            Event::Record(record) => self.obey(record, out)?,
            Event::Message {
                from,
                envelope,
                checksum_here,
            } => self.hear(&from, envelope, checksum_here, out)?,
            Event::Appended(_) | Event::Synced(_) | Event::Horizon(_) | Event::Cut(_) => {
                self.log_moved(event, out)?;
            }
            Event::Failed(reason) => return Err(Halt::Log(reason)),
            Event::Space(bytes) => self.free_bytes = bytes,
            Event::LinkUp(node) => {
                self.announce(&node, out);
                self.links.insert(node);
            }
            Event::LinkDown(node) => self.unlink(&node, out),
            Event::NotAppended => {
                if let Some((Role::Following(follower), around)) = self.parts() {
                    follower.leave(&around);
                }
            }
            Event::NeedsCommit | Event::HandOver | Event::Unanswered => self.wish(&event),
            Event::Farewell => self.parting = true,
            Event::Tick if self.parting => self.say_farewell(out),
            Event::Tick => {}
        }
        self.proceed(out)
    }

    /// Asks the leader to go on without this process, until it does.
    fn say_farewell(&mut self, out: &mut Vec<Effect>) {
        if let Some((Role::Following(follower), around)) = self.parts() {
            follower.say_farewell(&around, out);
        }
    }

    /// The own log is not what it was.
    fn log_moved(&mut self, event: Event, out: &mut Vec<Effect>) -> Result<(), Halt> {
        match event {
            Event::Appended(position) => self.log.append(position),
            Event::Synced(lsn) => self.log.synced = self.log.synced.max(lsn),
            Event::Horizon(lsn) => self.log.horizon = self.log.horizon.max(lsn),
            Event::Cut(log) => {
                self.log = log;
                self.early.clear();
            }
            _ => {}
        }
        match self.parts() {
            Some((Role::Leading(leader), around)) => {
                leader.log_moved(&around, out)?;
                self.hear_early(out)
            }
            Some((Role::Following(follower), around)) => {
                follower.log_moved(&around, out);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn wish(&mut self, event: &Event) {
        let Some((Role::Leading(leader), around)) = self.parts() else {
            return;
        };
        match event {
            Event::NeedsCommit => leader.need_commit(&around),
            Event::HandOver => leader.hand_over(&around),
            Event::Unanswered => leader.unanswered(&around),
            _ => {}
        }
    }

    fn unlink(&mut self, node: &NodeName, out: &mut Vec<Effect>) {
        self.links.remove(node);
        self.early.remove(node);
        match self.parts() {
            Some((Role::Leading(leader), around)) => leader.unlink(node, &around, out),
            Some((Role::Following(follower), _)) => follower.unlink(node),
            _ => {}
        }
    }

    /// A persisted record: obeyed if it is newer than what was obeyed before.
    fn obey(&mut self, record: ShardRecord, out: &mut Vec<Effect>) -> Result<(), Halt> {
        let is_newer = self
            .record
            .as_ref()
            .is_none_or(|old| supersedes(&record, old));
        if !is_newer && !self.bugs.has(Bug::OlderRecordObeyed) {
            return Ok(());
        }
        // Whom an earlier process of this replica answered, and when, is not known: any of them, at its
        // end.
        if self.record.is_none() {
            let others = record.replicas.iter();
            let others = others.filter(|member| **member != self.me.member);
            let now_ms = self.now_ms;
            self.answered
                .extend(others.map(|member| (member.clone(), now_ms)));
        }
        self.record = Some(record);
        self.take_role(out)
    }

    /// The role that the record gives.
    fn take_role(&mut self, out: &mut Vec<Effect>) -> Result<(), Halt> {
        let Some(record) = &self.record else {
            return Ok(());
        };
        let leader = record.leader.clone();
        let is_member = record.replicas.contains(&self.me.member);
        let epoch = record.epoch;
        match leader {
            Some(leader) if self.is_me(&leader) => self.lead(epoch, out)?,
            Some(leader) if is_member && leader.member != self.me.member => {
                self.follow(leader, epoch, out);
            }
            _ => {
                self.step_down(out);
                self.role = Role::Idle;
            }
        }
        if let Some((Role::Leading(leader), around)) = self.parts() {
            leader.record_changed(&around, out);
        }
        Ok(())
    }

    /// Whether the leader is this very process: leadership ends with it.
    fn is_me(&self, leader: &LeaderOf) -> bool {
        leader.member == self.me.member
            && (leader.incarnation == self.me.incarnation || self.bugs.has(Bug::EpochReused))
    }

    fn lead(&mut self, epoch: Epoch, out: &mut Vec<Effect>) -> Result<(), Halt> {
        if matches!(&self.role, Role::Leading(leader) if leader.epoch() == epoch) {
            return Ok(());
        }
        self.step_down(out);
        let taken = self.log.appended.epoch;
        let mut leader = Leader::new(epoch, self.now_ms);
        if taken == epoch && self.bugs.has(Bug::EpochReused) {
            leader.reuse(&self.log);
        } else if taken >= epoch {
            return Err(Halt::EpochTaken { epoch, log: taken });
        } else {
            out.push(Effect::BeginEpoch(epoch));
        }
        self.role = Role::Leading(Box::new(leader));
        let peers: Vec<NodeName> = self.links.iter().cloned().collect();
        for peer in peers {
            self.announce(&peer, out);
        }
        Ok(())
    }

    fn follow(&mut self, leader: LeaderOf, epoch: Epoch, out: &mut Vec<Effect>) {
        if matches!(&self.role, Role::Following(follower) if follower.is_of(&leader, epoch)) {
            return;
        }
        self.step_down(out);
        if self.bugs.has(Bug::TruncateToCommit) && self.log.appended.lsn > self.log.committed {
            out.push(Effect::TruncateAfter(self.log.committed));
        }
        self.role = Role::Following(Follower::new(leader, epoch));
    }

    fn step_down(&mut self, out: &mut Vec<Effect>) {
        match &self.role {
            Role::Leading(leader) => leader.stop_streams(out),
            Role::Following(follower) => {
                let now_ms = self.now_ms;
                self.answered
                    .retain(|(_, at)| now_ms < at + self.session_ms);
                self.answered.extend(follower.last_answer());
            }
            Role::Idle | Role::Halted(_) => {}
        }
    }

    /// A follower's commit is its leader's, as far as it has synced itself.
    fn commit_as_told(&mut self, commit: Option<Lsn>, out: &mut Vec<Effect>) -> Result<(), Halt> {
        match commit.map(|commit| commit.min(self.log.synced)) {
            Some(commit) if commit > self.log.committed => self.commit_to(commit, out),
            _ => Ok(()),
        }
    }

    fn commit_to(&mut self, commit: Lsn, out: &mut Vec<Effect>) -> Result<(), Halt> {
        let (from, synced) = (self.log.committed, self.log.synced);
        if commit < from || commit > synced {
            return Err(Halt::Commit {
                from,
                to: commit,
                synced,
            });
        }
        self.log.committed = commit;
        self.forget_leases();
        out.push(Effect::CommitTo(commit));
        Ok(())
    }

    /// What is committed in this epoch its leader committed when nobody who led before served any more.
    fn forget_leases(&mut self) {
        let epoch = self.record.as_ref().map(|record| record.epoch);
        let last = self.log.epochs.last();
        let begun = last.filter(|last| Some(last.epoch) == epoch);
        if begun.is_some_and(|last| self.log.committed >= last.first) {
            self.answered.clear();
        }
    }

    /// What follows from what is known now.
    fn proceed(&mut self, out: &mut Vec<Effect>) -> Result<(), Halt> {
        let mut attempt = self.attempt;
        let commit = match self.parts() {
            Some((Role::Leading(leader), around)) => leader.commit_point(&around),
            Some((Role::Following(follower), around)) => {
                follower.proceed(&around, &mut attempt, out);
                follower.commit()
            }
            _ => None,
        };
        self.attempt = attempt;
        if matches!(self.role, Role::Following(_)) {
            return self.commit_as_told(commit, out);
        }
        if let Some(commit) = commit.filter(|commit| *commit > self.log.committed) {
            self.commit_to(commit, out)?;
        }
        if let Some((Role::Leading(leader), around)) = self.parts() {
            leader.proceed(&around, out);
        }
        Ok(())
    }

    /// The role, and what it may see, if there is a record.
    fn parts(&mut self) -> Option<(&mut Role, Around<'_>)> {
        let around = Around {
            me: &self.me,
            record: self.record.as_ref()?,
            log: &self.log,
            links: &self.links,
            answered: &self.answered,
            session_ms: self.session_ms,
            free_bytes: self.free_bytes,
            now_ms: self.now_ms,
            bugs: self.bugs,
        };
        Some((&mut self.role, around))
    }

    fn around(&self) -> Option<Around<'_>> {
        Some(Around {
            me: &self.me,
            record: self.record.as_ref()?,
            log: &self.log,
            links: &self.links,
            answered: &self.answered,
            session_ms: self.session_ms,
            free_bytes: self.free_bytes,
            now_ms: self.now_ms,
            bugs: self.bugs,
        })
    }

    /// What this replica does at present.
    pub fn standing(&self) -> Standing {
        match &self.role {
            Role::Idle => Standing::Idle,
            Role::Following(follower) => Standing::Following {
                is_in: follower.attempt_in().is_some(),
            },
            Role::Leading(leader) if leader.is_confirmed(&self.log) => {
                Standing::Leading(leader.epoch())
            }
            Role::Leading(leader) => Standing::Elected(leader.epoch()),
            Role::Halted(halt) => Standing::Halted(halt.clone()),
        }
    }

    /// The record that this replica obeys.
    pub fn record(&self) -> Option<&ShardRecord> {
        self.record.as_ref()
    }

    /// How far this replica knows the log committed.
    pub fn committed(&self) -> Lsn {
        self.log.committed
    }
}
