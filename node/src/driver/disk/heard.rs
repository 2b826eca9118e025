//! What comes from other nodes: links, what is said on them, records; and the register's answers.

use replica::Event;
use store::{AppendError, Kind, ReplicateError};
use wire::replication::Message;
use wire::{ContentId, ShardNo};

use super::{DiskThread, lock};
use crate::driver::command::{Heard, Mail};
use crate::links::{Outbox, Records};

impl DiskThread {
    /// Takes what waits in the mailbox.
    pub(super) fn take_mail(&mut self) {
        let mail = std::mem::take(&mut *lock(&self.inbound.mailbox));
        let mut records = Vec::new();
        for mail in mail {
            // Those that came one behind the other are obeyed together.
            if !matches!(mail, Mail::Registered(_)) {
                self.obey_all(&std::mem::take(&mut records));
            }
            match mail {
                Mail::Registered(record) => records.push(*record),
                Mail::LinkUp(outbox) => self.link_up(outbox),
                Mail::LinkDown { peer, link } => {
                    let present = self.links.get(&peer).map(Outbox::number);
                    if present == Some(link) {
                        self.links.remove(&peer);
                        self.feed_all(&Event::LinkDown(peer));
                    }
                }
                Mail::Unanswered(shard) => self.feed(shard, Event::Unanswered),
            }
        }
        self.obey_all(&records);
    }

    fn link_up(&mut self, outbox: Outbox) {
        let peer = outbox.peer().clone();
        if self.links.insert(peer.clone(), outbox).is_some() {
            self.feed_all(&Event::LinkDown(peer.clone()));
        }
        self.feed_all(&Event::LinkUp(peer));
    }

    /// Takes what a replica of another node says.
    pub(super) fn heard(&mut self, heard: Heard) {
        let Heard {
            peer,
            link,
            envelope,
            records,
        } = heard;
        let shard = envelope.shard;
        if self.links.get(&peer).map(Outbox::number) != Some(link) {
            return;
        }
        let Some(replica) = self.replicas.get(&shard) else {
            return;
        };
        let mut checksum_here = None;
        match &envelope.message {
            Message::Hello(hello) => checksum_here = replica.checksum_at(hello.last.lsn),
            Message::Records { .. } => {
                if !replica.core.accepts(&peer, &envelope) {
                    return;
                }
                if !self.take_records(shard, records) {
                    return self.feed(shard, Event::NotAppended);
                }
            }
            _ => {}
        }
        self.feed(
            shard,
            Event::Message {
                from: peer,
                envelope,
                checksum_here,
            },
        );
        self.touch(shard);
    }

    /// Appends what a leader sent; false when something could not be.
    fn take_records(&mut self, shard: ShardNo, records: Records) -> bool {
        let mut events = Vec::new();
        let mut taken = true;
        let Some(replica) = self.replicas.get_mut(&shard) else {
            return false;
        };
        for (covers_from, record) in records {
            let epoch = replica.store.positions().appended.epoch;
            let head = record.head.clone();
            let appended = replica.store.replicate(record, covers_from);
            if let Err(error) = appended {
                if let ReplicateError::Append(AppendError::Poisoned(reason)) = &error {
                    events.push(Event::Failed(reason.to_string()));
                }
                tracing::warn!(%shard, lsn = %head.lsn, %error, "a record cannot be taken");
                taken = false;
                break;
            }
            if matches!(
                head.kind,
                Kind::Put | Kind::Commit | Kind::Describe | Kind::Delete
            ) && let Ok(id) = ContentId::from_bytes(head.id)
            {
                replica.gauge.set_pending(id, head.lsn);
                tracing::debug!(%shard, lsn = %head.lsn, %id, "a record is taken");
            }
            if head.epoch > epoch {
                events.push(Event::Appended(replica.store.positions().appended));
            }
        }
        if let Some(appended) = replica.news() {
            events.push(Event::Appended(appended));
        }
        for event in events {
            self.feed(shard, event);
        }
        taken
    }
}
