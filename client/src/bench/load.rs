//! What all workers of a benchmark share: how much is left to do, and the threads that do it.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::http::connection::{Body, Connection, ExchangeError};
use super::http::head::Head;
use super::places::Nodes;
use super::usage::{MachineTime, Usage, thread_time};
use super::{BenchError, Bound, Load};

/// What is left to do, over all threads.
#[derive(Debug)]
pub(super) struct Quota {
    left: AtomicU64,
    until: Option<Instant>,
}

impl Quota {
    /// Begins now.
    pub(super) fn new(bound: Bound) -> Self {
        match bound {
            Bound::Count(count) => Quota {
                left: AtomicU64::new(count),
                until: None,
            },
            Bound::Duration(duration) => {
                let until = Instant::now().checked_add(duration);
                Quota {
                    left: AtomicU64::new(u64::MAX),
                    until,
                }
            }
        }
    }

    /// Takes one operation; false when none is left.
    pub(super) fn take(&self) -> bool {
        if self.until.is_some_and(|until| Instant::now() >= until) {
            return false;
        }
        let take = |left: u64| left.checked_sub(1);
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
    }
}

/// What all threads came to.
#[derive(Debug)]
pub(super) struct Ended<T> {
    /// Of each thread.
    pub(super) outcomes: Vec<T>,
    /// From the common start to the last end.
    pub(super) took: Duration,
    /// The processor time meanwhile.
    pub(super) usage: Usage,
}

/// Runs `work` on every thread with its share of the workers.
pub(super) fn run_threads<T, F>(
    load: &Load,
    work: impl Fn(usize) -> F + Sync,
) -> Result<Ended<T>, BenchError>
where
    T: Send,
    F: Future<Output = Result<T, BenchError>>,
{
    let threads = load.threads.clamp(1, load.concurrency.max(1));
    let start = Barrier::new(threads);
    let work = &work;
    let one = |index: usize| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        start.wait();
        let (begun, computed) = (Instant::now(), thread_time());
        let outcome = runtime.map_err(BenchError::Runtime)?.block_on(work(share(
            load.concurrency,
            threads,
            index,
        )))?;
        let computed = thread_time().saturating_sub(computed);
        Ok((outcome, begun.elapsed(), computed))
    };
    let one = &one;
    let machine = MachineTime::now();
    let ended: Vec<Result<(T, Duration, Duration), BenchError>> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads)
            .map(|index| scope.spawn(move || one(index)))
            .collect();
        all.into_iter()
            .map(|thread| thread.join().unwrap_or(Err(BenchError::Thread)))
            .collect()
    });
    let idle = machine
        .zip(MachineTime::now())
        .and_then(|(before, after)| after.idle_since(before));
    let (mut outcomes, mut times) = (Vec::with_capacity(threads), Vec::with_capacity(threads));
    let mut took = Duration::ZERO;
    for end in ended {
        let (outcome, lasted, computed) = end?;
        outcomes.push(outcome);
        times.push(computed);
        took = took.max(lasted);
    }
    Ok(Ended {
        outcomes,
        took,
        usage: Usage::of(&times, took, idle),
    })
}

/// The workers of one thread: all together `concurrency`, and no thread has two more than another.
fn share(concurrency: usize, threads: usize, index: usize) -> usize {
    let concurrency = concurrency.max(1);
    concurrency / threads + usize::from(index < concurrency % threads)
}

/// One worker's connections: at most one to each node.
#[derive(Debug, Default)]
pub(super) struct Connections(Vec<Option<Connection>>);

impl Connections {
    /// Connects to a node, if there is no connection to it: that is no part of a request's latency.
    pub(super) async fn connect(
        &mut self,
        nodes: &Nodes,
        node: usize,
    ) -> Result<(), ExchangeError> {
        if self.place(node).is_none() {
            let connection = Connection::open(&nodes.address(node)).await?;
            *self.place(node) = Some(connection);
        }
        Ok(())
    }

    fn place(&mut self, node: usize) -> &mut Option<Connection> {
        if self.0.len() <= node {
            self.0.resize_with(node + 1, || None);
        }
        &mut self.0[node]
    }

    /// Sends a request to a node, over the connection that is there or a new one. A connection that
    /// the service closed while it was idle is not told from one that broke: both are errors.
    pub(super) async fn exchange(
        &mut self,
        nodes: &Nodes,
        node: usize,
        request: (&[u8], &[u8]),
        into: &mut Body,
    ) -> Result<Head, ExchangeError> {
        let mut connection = match self.place(node).take() {
            Some(connection) => connection,
            None => Connection::open(&nodes.address(node)).await?,
        };
        let head = connection.exchange(request.0, request.1, into).await?;
        if !head.close {
            *self.place(node) = Some(connection);
        }
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a benchmark runs at another concurrency than it says.
    #[test]
    fn workers_are_shared_out_evenly() {
        for (concurrency, threads) in [(16, 1), (16, 3), (1, 1), (5, 5)] {
            let shares: Vec<_> = (0..threads)
                .map(|i| share(concurrency, threads, i))
                .collect();
            assert_eq!(shares.iter().sum::<usize>(), concurrency);
            assert!(
                shares
                    .iter()
                    .max()
                    .zip(shares.iter().min())
                    .is_some_and(|(a, b)| a - b <= 1)
            );
        }
    }

    // If this fails, `--count` makes more or fewer operations, or `--duration` never ends.
    #[test]
    fn the_quota_ends() {
        let quota = Quota::new(Bound::Count(3));
        assert_eq!((0..9).filter(|_| quota.take()).count(), 3);
        assert!(!Quota::new(Bound::Duration(Duration::ZERO)).take());
        assert!(Quota::new(Bound::Duration(Duration::from_secs(60))).take());
    }
}
