//! The background thread that seals, punches and compacts logs, at a rate that leaves the disk to
//! requests.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use store::Chore;
use wire::ShardNo;

use super::command::Command;

/// How fast compaction may rewrite. A slow disk writes 100 MB/s; a third of that leaves requests
/// the better part, and still rewrites a full 256 MiB segment in 8 s.
const COMPACT_BYTES_PER_S: u64 = 32 << 20;

/// The thread; it ends after its chore when this is dropped.
pub(super) struct Upkeep {
    chores: Option<Sender<(ShardNo, Chore)>>,
    thread: Option<JoinHandle<()>>,
}

impl Upkeep {
    /// Starts the thread; finished chores go back to the disk thread through `commands`.
    pub(super) fn start(commands: SyncSender<Command>) -> std::io::Result<Self> {
        let (chores, queue) = channel();
        let thread = std::thread::Builder::new()
            .name("node-upkeep".to_owned())
            .spawn(move || Worker::new(queue, commands).run())?;
        Ok(Upkeep {
            chores: Some(chores),
            thread: Some(thread),
        })
    }

    pub(super) fn add(&self, shard: ShardNo, chore: Chore) {
        let Some(chores) = &self.chores else { return };
        if chores.send((shard, chore)).is_err() {
            tracing::error!(%shard, "upkeep has ended: space is not given back any more");
        }
    }

    /// Ends the thread; the receiver of `commands` must be gone, or be read, until this returns.
    pub(super) fn stop(mut self) {
        self.chores = None;
        if self
            .thread
            .take()
            .is_some_and(|thread| thread.join().is_err())
        {
            tracing::error!("the upkeep thread panicked");
        }
    }
}

struct Worker {
    queue: Receiver<(ShardNo, Chore)>,
    commands: SyncSender<Command>,
    waiting: VecDeque<(ShardNo, Chore)>,
    /// When the next chore that costs bytes may begin.
    not_before: Instant,
}

impl Worker {
    fn new(queue: Receiver<(ShardNo, Chore)>, commands: SyncSender<Command>) -> Self {
        Worker {
            queue,
            commands,
            waiting: VecDeque::new(),
            not_before: Instant::now(),
        }
    }

    fn run(mut self) {
        while let Some((shard, chore)) = self.next() {
            let cost = chore.bytes_hint();
            let done = chore.run();
            self.not_before = self.not_before.max(Instant::now() + pause_after(cost));
            if self.commands.send(Command::Finished(shard, done)).is_err() {
                return;
            }
        }
    }

    /// The next chore. One that costs nothing is not held up by one that must wait its turn.
    fn next(&mut self) -> Option<(ShardNo, Chore)> {
        loop {
            if !self.waiting.is_empty() && Instant::now() >= self.not_before {
                return self.waiting.pop_front();
            }
            let received = if self.waiting.is_empty() {
                self.queue
                    .recv()
                    .map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                self.queue
                    .recv_timeout(self.not_before.saturating_duration_since(Instant::now()))
            };
            match received {
                Ok(next) if next.1.bytes_hint() == 0 => return Some(next),
                Ok(next) => self.waiting.push_back(next),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }
}

/// How long the disk is left alone after a chore that cost so many bytes.
fn pause_after(bytes: u64) -> Duration {
    Duration::from_millis(bytes.saturating_mul(1000) / COMPACT_BYTES_PER_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, compaction takes the disk from uploads, or never ends.
    #[test]
    fn compaction_keeps_to_its_rate() {
        assert_eq!(pause_after(0), Duration::ZERO);
        assert_eq!(pause_after(COMPACT_BYTES_PER_S), Duration::from_secs(1));
        assert_eq!(pause_after(256 << 20), Duration::from_secs(8));
    }
}
