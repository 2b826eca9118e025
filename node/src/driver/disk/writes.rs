//! Changes that come from requests: made now, parked for a moment, or refused.

mod going_back;

use std::time::{Duration, Instant};

use replica::Event;
use wire::ShardNo;

use super::replica::Parked;
use super::{DiskThread, lag, lock};
use crate::clock;
use crate::driver::command::{ChangeFailure, Command};
use crate::driver::table::Standing;
pub(super) use going_back::GoingBack;

/// How long a change waits for a set that is large enough, or for the end of a handover: longer
/// than either takes, shorter than a client waits.
const PARKED_TIME_MAX: Duration = Duration::from_secs(3);

/// Changes of one shard that may wait.
pub(in crate::driver) const PARKED_MAX: usize = 1024;

/// What becomes of a change.
enum Verdict {
    Now,
    Wait,
    Never,
}

impl DiskThread {
    /// Hands the next shard over that this node leads for another, if its time has come.
    pub(super) fn give_back(&mut self, now: Instant) {
        let replicas = self.replicas.iter();
        let stands_in = replicas.filter(|(_, replica)| replica.core.stands_in());
        let stands_in = stands_in.map(|(shard, _)| *shard).collect();
        let leads = |shard| {
            let replica = self.replicas.get(&shard);
            replica.is_some_and(|replica| replica.standing == Standing::Leading)
        };
        if let Some(shard) = self.going_back.next(&stands_in, leads, now) {
            tracing::info!(%shard, "goes back to its first replica");
            self.feed(shard, Event::HandOver);
            self.touch(shard);
        }
    }

    /// Makes a change, or has it wait.
    pub(super) fn write(&mut self, command: Command, now_ms: u64) {
        let Some(shard) = shard_of(&command) else {
            return;
        };
        let waits = |thread: &DiskThread| {
            let replica = thread.replicas.get(&shard);
            replica.is_some_and(|replica| !replica.parked.is_empty())
        };
        match self.verdict(shard) {
            Verdict::Now if !waits(self) => self.make(command, now_ms),
            Verdict::Now | Verdict::Wait => self.park(shard, command),
            Verdict::Never => self.refuse(command, ChangeFailure::NotLed),
        }
    }

    fn verdict(&self, shard: ShardNo) -> Verdict {
        match self.replicas.get(&shard) {
            Some(replica) => match replica.standing {
                Standing::Leading if replica.core.may_write() => Verdict::Now,
                Standing::Leading | Standing::Elected => Verdict::Wait,
                Standing::Idle | Standing::Following | Standing::Poisoned => Verdict::Never,
            },
            None => Verdict::Never,
        }
    }

    fn park(&mut self, shard: ShardNo, mut command: Command) {
        let Some(replica) = self.replicas.get_mut(&shard) else {
            return;
        };
        if replica.parked.len() >= PARKED_MAX {
            return self.refuse(command, ChangeFailure::Busy);
        }
        if let Command::FirstChunk { permit, .. } | Command::Chunk { permit, .. } = &mut command {
            permit.parked();
        }
        replica.parked.push_back(Parked {
            command,
            since: Instant::now(),
        });
        self.feed(shard, Event::NeedsCommit);
    }

    /// Makes the changes whose time has come, and refuses those whose time is over.
    pub(super) fn release_parked(&mut self) {
        let parked = self.replicas.iter();
        let parked = parked.filter(|(_, replica)| !replica.parked.is_empty());
        let shards: Vec<ShardNo> = parked.map(|(shard, _)| *shard).collect();
        for shard in shards {
            let now_ms = clock::now_ms();
            while let Some((command, is_made)) = self.next_released(shard) {
                if is_made {
                    self.make(command, now_ms);
                } else {
                    self.refuse(command, ChangeFailure::NotLed);
                }
            }
        }
    }

    /// The next one that waits no longer, and whether it is to be made.
    fn next_released(&mut self, shard: ShardNo) -> Option<(Command, bool)> {
        let verdict = self.verdict(shard);
        let parked = &mut self.replicas.get_mut(&shard)?.parked;
        let is_late = parked.front()?.since.elapsed() > PARKED_TIME_MAX;
        let is_made = match verdict {
            Verdict::Now => true,
            Verdict::Wait if !is_late => return None,
            Verdict::Wait | Verdict::Never => false,
        };
        let parked = parked.pop_front()?;
        Some((parked.command, is_made))
    }

    fn make(&mut self, command: Command, now_ms: u64) {
        let Some(shard) = shard_of(&command) else {
            return;
        };
        let Some(replica) = self.replicas.get_mut(&shard) else {
            return;
        };
        match command {
            Command::FirstChunk {
                id,
                how,
                payload,
                permit,
                reply,
            } => {
                let begun = replica.first_chunk(id, how, payload, now_ms);
                drop(permit);
                // The requester went away between its request and this answer: nobody else knows
                // of the upload, so nobody else would end it.
                if let Err(Ok(upload)) = reply.send(begun) {
                    lock(&self.around.abandoned).push((shard, upload));
                }
            }
            Command::Chunk {
                upload,
                offset,
                payload,
                permit,
                reply,
                ..
            } => match replica.chunk(upload, offset, payload, now_ms) {
                Ok(lsn) => replica.lag.answer(lsn, reply, permit),
                Err(failure) => lag::send(reply, Err(failure)),
            },
            Command::Change(request) => replica.change(*request, now_ms),
            _ => return,
        }
        self.touch(shard);
    }

    fn refuse(&mut self, command: Command, failure: ChangeFailure) {
        match command {
            Command::FirstChunk { reply, .. } => lag::send(reply, Err(failure)),
            Command::Chunk {
                shard,
                upload,
                reply,
                ..
            } => {
                if let Some(replica) = self.replicas.get_mut(&shard) {
                    replica.break_upload(upload);
                }
                lag::send(reply, Err(failure));
            }
            Command::Change(request) => request.refuse(failure),
            _ => {}
        }
    }
}

/// The shard of a change; none for other commands.
fn shard_of(command: &Command) -> Option<ShardNo> {
    match command {
        Command::FirstChunk { id, .. } => Some(id.shard()),
        Command::Chunk { shard, .. } => Some(*shard),
        Command::Change(request) => Some(request.id.shard()),
        _ => None,
    }
}
