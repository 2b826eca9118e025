//! Syncs of copies that are not in their sets yet, beside the rounds. Nobody's change waits for them,
//! and one of them has more bytes than many rounds of changes: those would wait for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use store::{SyncDone, SyncJob};
use wire::ShardNo;

use crate::driver::command::Command;
use crate::metrics::Metrics;

/// One thread that syncs, one log at a time; it ends when this is dropped.
pub(in crate::driver) struct Asides {
    tasks: Option<Sender<(Task, SyncJob)>>,
    done: Receiver<(Task, SyncDone)>,
    under_way: BTreeMap<ShardNo, u64>,
    serial: u64,
    thread: Option<JoinHandle<()>>,
}

/// Which sync of which log: the log may begin anew meanwhile.
#[derive(Clone, Copy)]
struct Task {
    shard: ShardNo,
    serial: u64,
}

impl Asides {
    /// Starts the thread; it wakes the disk thread through `commands`.
    pub(in crate::driver) fn start(
        commands: SyncSender<Command>,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Self> {
        let (tasks, queue) = channel::<(Task, SyncJob)>();
        let (results, done) = channel();
        let thread = std::thread::Builder::new()
            .name("node-sync-aside".to_owned())
            .spawn(move || {
                while let Ok((task, job)) = queue.recv() {
                    let begun = Instant::now();
                    let synced = job.run();
                    metrics.sync_seconds.observe(begun.elapsed().as_secs_f64());
                    if results.send((task, synced)).is_err() {
                        return;
                    }
                    // A disk thread that has commands waiting does not sleep.
                    drop(commands.try_send(Command::Wake));
                }
            })?;
        Ok(Asides {
            tasks: Some(tasks),
            done,
            under_way: BTreeMap::new(),
            serial: 0,
            thread: Some(thread),
        })
    }

    /// Begins a sync, whose outcome comes with [`Asides::take`]; gives it back if the thread has ended.
    pub(super) fn begin(&mut self, shard: ShardNo, job: SyncJob) -> Option<SyncJob> {
        let Some(tasks) = &self.tasks else {
            return Some(job);
        };
        self.serial += 1;
        let serial = self.serial;
        if let Err(refused) = tasks.send((Task { shard, serial }, job)) {
            tracing::error!(%shard, "the thread that syncs copies has ended");
            return Some(refused.0.1);
        }
        self.under_way.insert(shard, serial);
        None
    }

    /// The log is another one from now on: what is under way does not concern it.
    pub(super) fn forget(&mut self, shard: ShardNo) {
        self.under_way.remove(&shard);
    }

    /// What is done since the last call.
    pub(super) fn take(&mut self) -> Vec<(ShardNo, SyncDone)> {
        let done: Vec<(Task, SyncDone)> = self.done.try_iter().collect();
        self.concerning(done)
    }

    /// Waits for all of them, and ends the thread.
    pub(super) fn end(&mut self) -> Vec<(ShardNo, SyncDone)> {
        self.tasks = None;
        let done: Vec<(Task, SyncDone)> = self.done.iter().collect();
        if self
            .thread
            .take()
            .is_some_and(|thread| thread.join().is_err())
        {
            tracing::error!("the thread that syncs copies panicked");
        }
        self.concerning(done)
    }

    fn concerning(&mut self, done: Vec<(Task, SyncDone)>) -> Vec<(ShardNo, SyncDone)> {
        let mut concerning = Vec::with_capacity(done.len());
        for (task, done) in done {
            if self.under_way.get(&task.shard) == Some(&task.serial) {
                self.under_way.remove(&task.shard);
                concerning.push((task.shard, done));
            }
        }
        concerning
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use store::Store;
    use store::disk::FileSystem;
    use wire::Epoch;

    use super::*;

    const SHARD: ShardNo = ShardNo(1);

    fn store(folder: &tempfile::TempDir) -> Store {
        let store = Store::create(Arc::new(FileSystem), folder.path(), 7);
        store.expect("makes a log")
    }

    // If this fails, a copy that begins anew takes records for durable that it does not have.
    #[test]
    fn what_was_synced_of_an_earlier_log_is_not_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut store = store(&folder);
        let (commands, woken) = sync_channel(8);
        let mut asides = Asides::start(commands, Arc::default()).expect("a thread");
        let begun = |store: &mut Store, asides: &mut Asides, epoch| {
            store.begin_epoch(Epoch(epoch), 0).expect("appends");
            let job = store.flush().expect("writes").expect("is unsynced");
            assert!(asides.begin(SHARD, job).is_none());
            assert!(matches!(woken.recv(), Ok(Command::Wake)));
        };
        begun(&mut store, &mut asides, 1);
        let [(SHARD, done)] = <[_; 1]>::try_from(asides.take()).expect("one is done") else {
            panic!("another shard's");
        };
        store.synced(done).expect("is durable");
        assert_eq!(store.positions().synced, store.positions().appended.lsn);
        begun(&mut store, &mut asides, 2);
        asides.forget(SHARD);
        assert!(asides.take().is_empty());
        assert!(asides.end().is_empty());
    }

    // If this fails, a node that stops leaves what it has copied unsynced, and copies it again.
    #[test]
    fn after_the_end_syncs_are_given_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut store = store(&folder);
        let (commands, _woken) = sync_channel(8);
        let mut asides = Asides::start(commands, Arc::default()).expect("a thread");
        store.begin_epoch(Epoch(1), 0).expect("appends");
        let job = store.flush().expect("writes").expect("is unsynced");
        assert!(asides.begin(SHARD, job).is_none());
        let (_, done) = asides.end().pop().expect("is waited for");
        store.synced(done).expect("is durable");
        store.begin_epoch(Epoch(2), 0).expect("appends");
        let job = store.flush().expect("writes").expect("is unsynced");
        assert!(asides.begin(SHARD, job).is_some());
    }
}
