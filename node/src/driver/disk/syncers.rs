//! The sync of one round: all dirty logs at once.

use std::sync::Arc;
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};
use std::time::Instant;

use store::{SyncDone, SyncJob};
use wire::ShardNo;

use crate::metrics::Metrics;

/// Syncs beside the disk thread's own. A disk has one queue; a few requests in it are enough for
/// the file system to merge them.
const THREADS: usize = 3;

/// A few threads that sync logs beside the disk thread, each started with the first round that has so many
/// dirty logs; they end when this is dropped.
pub(super) struct Syncers {
    metrics: Arc<Metrics>,
    /// One channel for each thread: a task wakes one of them alone.
    pool: Vec<Sender<Task>>,
}

struct Task {
    shard: ShardNo,
    job: SyncJob,
    done: SyncSender<(ShardNo, SyncDone)>,
}

impl Syncers {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Syncers {
            metrics,
            pool: Vec::new(),
        }
    }

    /// Runs all jobs, the last one on this thread; returns when all are done.
    pub(super) fn run(&mut self, mut jobs: Vec<(ShardNo, SyncJob)>) -> Vec<(ShardNo, SyncDone)> {
        let Some((own_shard, own)) = jobs.pop() else {
            return Vec::new();
        };
        if jobs.is_empty() {
            return vec![(own_shard, timed(own, &self.metrics))];
        }
        let (done, finished) = sync_channel(jobs.len());
        let metrics = Arc::clone(&self.metrics);
        for (number, (shard, job)) in jobs.into_iter().enumerate() {
            let task = Task {
                shard,
                job,
                done: done.clone(),
            };
            if let Err(task) = self.hand_over(number % THREADS, task) {
                // No thread could be had; slower, and as right.
                send(&task.done, (task.shard, timed(task.job, &metrics)));
            }
        }
        drop(done);
        let mut results = vec![(own_shard, timed(own, &metrics))];
        results.extend(finished);
        results
    }

    fn hand_over(&mut self, thread: usize, task: Task) -> Result<(), Task> {
        while self.pool.len() <= thread {
            match start_thread(self.pool.len(), &self.metrics) {
                Ok(tasks) => self.pool.push(tasks),
                Err(error) => {
                    tracing::warn!(%error, "no thread for parallel syncs");
                    return Err(task);
                }
            }
        }
        self.pool[thread].send(task).map_err(|refused| refused.0)
    }
}

fn start_thread(number: usize, metrics: &Arc<Metrics>) -> std::io::Result<Sender<Task>> {
    let (sender, tasks) = channel::<Task>();
    let metrics = Arc::clone(metrics);
    std::thread::Builder::new()
        .name(format!("node-sync-{number}"))
        .spawn(move || {
            for task in tasks {
                send(&task.done, (task.shard, timed(task.job, &metrics)));
            }
        })?;
    Ok(sender)
}

fn send(done: &SyncSender<(ShardNo, SyncDone)>, result: (ShardNo, SyncDone)) {
    if done.send(result).is_err() {
        tracing::error!("a sync's result was not awaited");
    }
}

fn timed(job: SyncJob, metrics: &Metrics) -> SyncDone {
    let start = Instant::now();
    let done = job.run();
    metrics.sync_seconds.observe(start.elapsed().as_secs_f64());
    done
}
