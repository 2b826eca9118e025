//! What the leader knows of one follower.

use uuid::Uuid;
use wire::Lsn;
use wire::replication::{Envelope, Hello, Message};
use wire::shard::Member;

use super::waiting::Waiting;
use crate::around::Talk;
use crate::{ACK_AGE_MS_MAX, LINK_GONE_MS};

/// A follower, as its leader sees it in this epoch.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) member: Member,
    /// Its last attempt, and what was heard in it.
    talk: Talk,
    incarnation: Uuid,
    attached: bool,
    /// When it was last not attached any more.
    detached_ms: u64,
    /// Durable there, in this epoch and attempt.
    pub(crate) acked: Lsn,
    /// Whether `acked` was said in this attempt.
    pub(crate) has_acked: bool,
    pub(crate) consistent_from: Lsn,
    /// Up to here it said that it had everything; below that something of it is lost, until it
    /// acknowledges it again.
    owes: Lsn,
    pub(crate) free_bytes: u64,
    /// Its process is about to end, as it said in this attempt.
    pub(crate) parting: bool,
    /// When something of it came in last.
    heard_ms: u64,
    /// When it was asked what it last answered, in this epoch: it obeyed the epoch then or later.
    current_ms: Option<u64>,
    /// What it has not acknowledged.
    waiting: Waiting,
}

impl Peer {
    pub(crate) fn new(member: Member, now_ms: u64) -> Peer {
        Peer {
            member,
            talk: Talk::default(),
            incarnation: Uuid::nil(),
            attached: false,
            detached_ms: now_ms,
            acked: Lsn::ZERO,
            has_acked: false,
            consistent_from: Lsn::ZERO,
            owes: Lsn::ZERO,
            free_bytes: u64::MAX,
            parting: false,
            heard_ms: now_ms,
            current_ms: None,
            waiting: Waiting::default(),
        }
    }

    pub(crate) fn is_attached(&self) -> bool {
        self.attached
    }

    pub(crate) fn talk(&self) -> Talk {
        self.talk
    }

    pub(crate) fn incarnation(&self) -> Uuid {
        self.incarnation
    }

    pub(crate) fn is_of(&self, attempt: u64) -> bool {
        self.attached && self.talk.attempt == attempt
    }

    /// It said hello: what it acknowledged before proves nothing of the log that it has now.
    pub(crate) fn greet(&mut self, talk: Talk, hello: &Hello, now_ms: u64) {
        if self.attached {
            self.detach(now_ms);
        }
        self.talk = talk;
        self.incarnation = hello.incarnation;
        self.consistent_from = hello.consistent_from.unwrap_or(Lsn::ZERO);
        self.acked = Lsn::ZERO;
        self.has_acked = false;
        self.parting = false;
    }

    pub(crate) fn attach(&mut self, end: Lsn, now_ms: u64) {
        self.attached = true;
        self.heard_ms = now_ms;
        self.waiting.begin(end, now_ms);
    }

    pub(crate) fn detach(&mut self, now_ms: u64) {
        if self.attached {
            self.attached = false;
            self.detached_ms = now_ms;
        }
    }

    pub(crate) fn appended(&mut self, end: Lsn, now_ms: u64) {
        self.waiting.moved(self.acked, end, now_ms);
    }

    pub(crate) fn ack(&mut self, envelope: &Envelope, end: Lsn, now_ms: u64) {
        let Message::Ack { synced, free_bytes } = envelope.message else {
            return;
        };
        self.acked = self.acked.max(synced);
        self.has_acked = true;
        if !self.has_lost() {
            self.owes = Lsn::ZERO;
        }
        self.free_bytes = free_bytes;
        self.heard_ms = now_ms;
        self.talk.echo_ms = envelope.sent_ms;
        if envelope.echo_ms > 0 {
            self.current_ms = self.current_ms.max(Some(envelope.echo_ms));
        }
        self.waiting.moved(self.acked, end, now_ms);
    }

    /// It obeys this epoch at present, as if its answer had taken no time.
    pub(crate) fn answered(&mut self, now_ms: u64) {
        self.current_ms = Some(now_ms);
    }

    /// The last time of which it is known that it obeyed this epoch then or later.
    pub(crate) fn current_ms(&self) -> Option<u64> {
        self.current_ms
    }

    /// Its log ends below what is committed, as no member's does that keeps what it synced. Gives whether
    /// that is news.
    pub(crate) fn lost(&mut self, committed: Lsn) -> bool {
        let is_news = self.owes == Lsn::ZERO;
        self.owes = committed;
        is_news
    }

    /// Whether it has less than it acknowledged once.
    pub(crate) fn has_lost(&self) -> bool {
        self.acked < self.owes
    }

    /// Whether the set must go on without it.
    pub(crate) fn is_gone(&self, now_ms: u64) -> bool {
        if self.parting || self.has_lost() {
            return true;
        }
        if !self.attached {
            return now_ms >= self.detached_ms + LINK_GONE_MS;
        }
        self.waiting.is_late(now_ms) || now_ms >= self.heard_ms + ACK_AGE_MS_MAX
    }

    /// Whether it copies the log from its beginning.
    pub(crate) fn is_copying(&self) -> bool {
        self.attached && self.acked < self.consistent_from
    }
}
