//! The sync of one round: all dirty logs at once.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use store::{SyncDone, SyncJob};
use wire::ShardNo;

use crate::metrics::Metrics;

/// Syncs beside the disk thread's own. A disk has one queue; a few requests in it are enough for
/// the file system to merge them.
const THREADS: usize = 3;

/// A few threads that sync logs beside the disk thread, started with the first round that has more
/// than one dirty log; they end when this is dropped.
pub(super) struct Syncers {
    metrics: Arc<Metrics>,
    pool: Option<SyncSender<Task>>,
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
            pool: None,
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
        for (shard, job) in jobs {
            let task = Task {
                shard,
                job,
                done: done.clone(),
            };
            if let Err(task) = self.hand_over(task) {
                // No thread could be had; slower, and as right.
                send(&task.done, (task.shard, timed(task.job, &metrics)));
            }
        }
        drop(done);
        let mut results = vec![(own_shard, timed(own, &metrics))];
        results.extend(finished);
        results
    }

    fn hand_over(&mut self, task: Task) -> Result<(), Task> {
        let pool = match &self.pool {
            Some(pool) => pool,
            None => match start_threads(&self.metrics) {
                Ok(pool) => self.pool.insert(pool),
                Err(error) => {
                    tracing::warn!(%error, "no thread for parallel syncs");
                    return Err(task);
                }
            },
        };
        pool.send(task).map_err(|refused| refused.0)
    }
}

fn start_threads(metrics: &Arc<Metrics>) -> std::io::Result<SyncSender<Task>> {
    let (pool, tasks) = sync_channel::<Task>(THREADS);
    let tasks = Arc::new(Mutex::new(tasks));
    for number in 0..THREADS {
        let (tasks, metrics) = (Arc::clone(&tasks), Arc::clone(metrics));
        std::thread::Builder::new()
            .name(format!("node-sync-{number}"))
            .spawn(move || {
                while let Some(task) = next(&tasks) {
                    send(&task.done, (task.shard, timed(task.job, &metrics)));
                }
            })?;
    }
    Ok(pool)
}

fn next(tasks: &Mutex<Receiver<Task>>) -> Option<Task> {
    tasks
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .recv()
        .ok()
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
