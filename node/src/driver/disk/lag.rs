//! How far followers are behind, in bytes: a leader that is told of more than they can take waits
//! with its answers.

use std::collections::VecDeque;

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use wire::Lsn;

use crate::driver::command::{ChangeFailure, ChunkPermit, ChunkReply};

/// Bytes that the slowest member of the set may be behind before uploaders are held back: less
/// than what is kept of the log in memory, so that a set never has to read it from the disk.
const BEHIND_BYTES_MAX: u64 = 16 << 20;

/// What was appended and not acknowledged by all, and who waits for that.
#[derive(Default)]
pub(super) struct Lag {
    /// Payload bytes since the process began.
    appended: u64,
    acknowledged: u64,
    /// The count of bytes up to each record, oldest first.
    unacknowledged: VecDeque<(Lsn, u64)>,
    /// With what they hold of their shard's room for chunks: uploads that nobody holds back would go on.
    held: VecDeque<(Lsn, ChunkReply, OwnedSemaphorePermit)>,
}

impl Lag {
    /// A record was appended.
    pub(super) fn append(&mut self, lsn: Lsn, bytes: usize) {
        self.appended += bytes as u64;
        self.unacknowledged.push_back((lsn, self.appended));
    }

    /// All others of the set have everything up to `lsn`; with none there is nobody to wait for.
    pub(super) fn acknowledge(&mut self, lsn: Option<Lsn>) {
        let is_through = |record: &(Lsn, u64)| lsn.is_none_or(|lsn| record.0 <= lsn);
        while let Some((_, appended)) = self.unacknowledged.pop_front_if(|r| is_through(r)) {
            self.acknowledged = appended;
        }
        while self.appended - self.acknowledged <= BEHIND_BYTES_MAX
            && let Some((lsn, reply, permit)) = self.held.pop_front()
        {
            drop(permit);
            send(reply, Ok(lsn));
        }
    }

    /// Answers an uploader whose chunk was appended: at once, or when the others have caught up.
    pub(super) fn answer(&mut self, lsn: Lsn, reply: ChunkReply, permit: ChunkPermit) {
        let permit = permit.appended();
        if self.appended - self.acknowledged <= BEHIND_BYTES_MAX {
            drop(permit);
            send(reply, Ok(lsn));
        } else {
            self.held.push_back((lsn, reply, permit));
        }
    }

    /// Lets those go whose uploaders have left: they would take the room of others for as long as the
    /// followers are behind.
    pub(super) fn release_left(&mut self) {
        self.held.retain(|(_, reply, _)| !reply.is_closed());
    }

    /// Leadership ended: what is held is lost.
    pub(super) fn lose(&mut self) {
        for (_, reply, permit) in self.held.drain(..) {
            drop(permit);
            send(reply, Err(ChangeFailure::Lost));
        }
        self.unacknowledged.clear();
        self.acknowledged = self.appended;
    }
}

pub(super) fn send<T>(
    reply: oneshot::Sender<Result<T, ChangeFailure>>,
    answer: Result<T, ChangeFailure>,
) {
    if reply.send(answer).is_err() {
        tracing::trace!("nobody waits for this chunk any more");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    const CHUNK: usize = 1 << 20;

    /// The room for chunks.
    fn room(chunks: usize) -> Arc<Semaphore> {
        Arc::new(Semaphore::new(chunks))
    }

    fn permit(of_node: &Arc<Semaphore>, of_shard: &Arc<Semaphore>) -> ChunkPermit {
        let acquire = |room: &Arc<Semaphore>| Arc::clone(room).try_acquire_owned();
        ChunkPermit {
            of_node: Some(acquire(of_node).expect("the node has room")),
            of_shard: acquire(of_shard).expect("the shard has room"),
        }
    }

    // If this fails, a leader with a fast disk runs away from its followers, and they leave the set; or
    // one slow follower keeps the uploads to all other shards of the node waiting.
    #[test]
    fn uploaders_wait_while_the_others_are_far_behind() {
        let mut lag = Lag::default();
        let mut answers = Vec::new();
        let (node, shard) = (room(1), room(20));
        for n in 1..=20 {
            lag.append(Lsn(n), CHUNK);
            let (reply, answer) = oneshot::channel();
            lag.answer(Lsn(n), reply, permit(&node, &shard));
            answers.push(answer);
        }
        let answered = |answers: &mut Vec<oneshot::Receiver<_>>| {
            let done = |answer: &mut oneshot::Receiver<Result<Lsn, ChangeFailure>>| {
                answer.try_recv().is_ok()
            };
            answers.retain_mut(|answer| !done(answer));
            20 - answers.len()
        };
        assert_eq!(answered(&mut answers), 16);
        assert_eq!(shard.available_permits(), 16, "and no more are let in");
        assert_eq!(node.available_permits(), 1, "but to other shards");
        lag.acknowledge(Some(Lsn(2)));
        assert_eq!(answered(&mut answers), 16, "18 MiB behind");
        lag.acknowledge(Some(Lsn(4)));
        assert_eq!(answered(&mut answers), 20);
        assert_eq!(shard.available_permits(), 20);
        assert!(answers.is_empty());
    }

    // If this fails, uploads that were given up keep others of their shard out for as long as a follower
    // is behind.
    #[test]
    fn who_left_takes_no_room() {
        let mut lag = Lag::default();
        let (node, shard) = (room(1), room(2));
        lag.append(Lsn(1), 40 * CHUNK);
        let (left, stays) = (oneshot::channel(), oneshot::channel());
        lag.answer(Lsn(1), left.0, permit(&node, &shard));
        lag.answer(Lsn(1), stays.0, permit(&node, &shard));
        drop(left.1);
        lag.release_left();
        assert_eq!(shard.available_permits(), 1);
        lag.acknowledge(Some(Lsn(1)));
        assert!(matches!(stays.1.blocking_recv(), Ok(Ok(Lsn(1)))));
    }

    // If this fails, an uploader waits for ever for a follower that left the set.
    #[test]
    fn nobody_waits_without_others_or_leadership() {
        let mut lag = Lag::default();
        let (mut first, mut second) = (oneshot::channel(), oneshot::channel());
        lag.append(Lsn(1), 40 * CHUNK);
        let (node, shard) = (room(1), room(2));
        lag.answer(Lsn(1), first.0, permit(&node, &shard));
        lag.acknowledge(None);
        assert!(matches!(first.1.try_recv(), Ok(Ok(Lsn(1)))));
        lag.append(Lsn(2), 40 * CHUNK);
        lag.answer(Lsn(2), second.0, permit(&node, &shard));
        lag.lose();
        assert!(matches!(second.1.try_recv(), Ok(Err(ChangeFailure::Lost))));
        assert_eq!(shard.available_permits(), 2);
    }
}
