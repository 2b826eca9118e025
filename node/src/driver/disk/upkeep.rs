//! The background thread that seals, punches and compacts logs, at a rate that leaves the disk to
//! requests.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use store::{Chore, ChoreDone};

use crate::driver::command::{Command, Look, Opened};

/// How fast compaction may rewrite. A slow disk writes 100 MB/s; a third of that leaves requests
/// the better part, and still rewrites a full 256 MiB segment in 8 s.
const COMPACT_BYTES_PER_S: u64 = 32 << 20;

/// How long a compaction works before it looks whether it is to pause, or to end: a pause after each
/// small record would cost more than its copy.
const PIECE_TIME: Duration = Duration::from_millis(8);

/// The thread; it ends after its chore when this is dropped.
pub(in crate::driver) struct Upkeep {
    chores: Option<Sender<(Opened, Chore)>>,
    thread: Option<JoinHandle<()>>,
}

impl Upkeep {
    /// Starts the thread; finished chores go back to the disk thread through `commands`.
    pub(in crate::driver) fn start(commands: SyncSender<Command>) -> std::io::Result<Self> {
        let (chores, queue) = channel();
        let thread = std::thread::Builder::new()
            .name("node-upkeep".to_owned())
            .spawn(move || Worker { queue, commands }.run())?;
        Ok(Upkeep {
            chores: Some(chores),
            thread: Some(thread),
        })
    }

    pub(super) fn add(&self, opened: Opened, chore: Chore) {
        let Some(chores) = &self.chores else { return };
        if chores.send((opened, chore)).is_err() {
            tracing::error!(shard = %opened.shard, "upkeep has ended: space is not given back any more");
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
    queue: Receiver<(Opened, Chore)>,
    commands: SyncSender<Command>,
}

impl Worker {
    fn run(self) {
        while let Ok((opened, chore)) = self.queue.recv() {
            let mut pace = Pace::from(Instant::now());
            let done = chore.run(&mut |bytes| {
                let due = pace.after(bytes, Instant::now());
                due.is_none_or(|until| self.wait_until(until))
            });
            if !self.hand_back(opened, done, Look::Again) {
                return;
            }
        }
    }

    /// Waits before a compaction's next piece, and does meanwhile what costs nothing: space is
    /// given back at once. False when the node stops.
    fn wait_until(&self, end: Instant) -> bool {
        loop {
            match self
                .queue
                .recv_timeout(end.saturating_duration_since(Instant::now()))
            {
                Ok((opened, chore)) => {
                    let mut look = Look::Again;
                    // A second compaction is turned away here, and comes again.
                    let done = chore.run(&mut |_| {
                        look = Look::Later;
                        false
                    });
                    if !self.hand_back(opened, done, look) {
                        return false;
                    }
                }
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    fn hand_back(&self, opened: Opened, done: ChoreDone, look: Look) -> bool {
        self.commands
            .send(Command::Finished(opened, done, look))
            .is_ok()
    }
}

/// What a compaction has done, and how long that should have taken.
struct Pace {
    /// When the disk is free again.
    free_at: Instant,
    /// Until when it was waited.
    waited: Instant,
}

impl Pace {
    fn from(now: Instant) -> Pace {
        Pace {
            free_at: now,
            waited: now,
        }
    }

    /// After a piece of so many bytes: until when to wait, if it is time to.
    fn after(&mut self, bytes: u64, now: Instant) -> Option<Instant> {
        self.free_at = self.free_at.max(now) + pause_after(bytes);
        let is_due = self.free_at >= self.waited + PIECE_TIME;
        is_due.then(|| {
            self.waited = self.free_at;
            self.free_at
        })
    }
}

/// How long the disk is left alone after a piece of so many bytes.
fn pause_after(bytes: u64) -> Duration {
    Duration::from_micros(bytes.saturating_mul(1_000_000) / COMPACT_BYTES_PER_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, each small record costs a pause, or many of them together none, or a slow disk
    // keeps a node from stopping.
    #[test]
    fn pauses_are_taken_in_pieces() {
        let begun = Instant::now();
        let (mut pace, mut now, mut waits) = (Pace::from(begun), begun, 0);
        let records = 10_000;
        for _ in 0..records {
            if let Some(until) = pace.after(1 << 10, now) {
                waits += 1;
                now = now.max(until);
            }
        }
        let due = pause_after(records << 10);
        assert!(
            now.duration_since(begun) + PIECE_TIME * 2 > due,
            "keeps to its rate"
        );
        assert!((10..50).contains(&waits), "{waits} waits in {due:?}");
        // A disk that is slower than the rate: there is nothing to wait for, and it looks all the same.
        let mut looks = 0;
        for _ in 0..100 {
            now += Duration::from_millis(1);
            looks += u32::from(pace.after(1 << 10, now).is_some());
        }
        assert!((10..=13).contains(&looks), "{looks}");
    }

    // If this fails, compaction takes the disk from uploads, or never ends.
    #[test]
    fn compaction_keeps_to_its_rate() {
        assert_eq!(pause_after(0), Duration::ZERO);
        assert_eq!(pause_after(COMPACT_BYTES_PER_S), Duration::from_secs(1));
        assert_eq!(pause_after(256 << 20), Duration::from_secs(8));
    }
}
