//! What is seen of a cluster's leaders from outside while something else goes on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};
use wire::membership::{Health, NodesAnswer, ShardMap};
use wire::{ShardNo, routes};

use crate::http;

/// How often it looks: a node that is silent for a session is down for longer than this.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A distributor that takes longer to answer is asked again.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Answers of the distributor.
    pub looks: u64,
    /// Times that it did not answer.
    pub unanswered: u64,
    /// Epochs that began in shards that were there already.
    pub epochs: u64,
    /// Changes of these shards' records, whatever they were.
    pub changes: u64,
    /// Times that a node which was up was seen down.
    pub downs: u64,
    shards: BTreeMap<ShardNo, (u64, u64)>,
    up: BTreeMap<String, bool>,
}

/// A task that looks until it is told to end.
pub struct Watch {
    stop: Arc<AtomicBool>,
    task: JoinHandle<anyhow::Result<Seen>>,
}

impl Watch {
    /// Looks at the cluster of the distributor at `dist` from now on.
    pub fn start(dist: &str) -> Self {
        let (stop, dist) = (Arc::new(AtomicBool::new(false)), dist.to_owned());
        let stopped = Arc::clone(&stop);
        Watch {
            stop,
            task: tokio::spawn(async move { look(&dist, &stopped).await }),
        }
    }

    /// Ends it, and gives what it has seen.
    ///
    /// # Errors
    /// When it could not look.
    pub async fn end(self) -> anyhow::Result<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.context("the watch panicked")?
    }
}

async fn look(dist: &str, stop: &AtomicBool) -> anyhow::Result<Seen> {
    let client = http::client()?;
    let mut seen = Seen::default();
    let mut ticks = interval(LOOK_EVERY);
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        let map = http::json::<ShardMap>(client.get(format!("{dist}{}", routes::SHARDS)));
        let nodes = http::json::<NodesAnswer>(client.get(format!("{dist}{}", routes::NODES)));
        match timeout(ANSWER_TIME_MAX, futures_util::future::join(map, nodes)).await {
            Ok((Ok(map), Ok(nodes))) => seen.add(&map, &nodes),
            _ => seen.unanswered += 1,
        }
    }
    Ok(seen)
}

impl Seen {
    fn add(&mut self, map: &ShardMap, nodes: &NodesAnswer) {
        self.looks += 1;
        for record in &map.shards {
            let now = (record.epoch.0, record.version);
            let (epoch, version) = self.shards.insert(record.shard, now).unwrap_or(now);
            self.epochs += now.0.saturating_sub(epoch);
            self.changes += now.1.saturating_sub(version);
        }
        for (name, entry) in &nodes.nodes {
            let is_up = entry.health == Health::Up;
            let was_up = self.up.insert(name.to_string(), is_up);
            self.downs += u64::from(was_up == Some(true) && !is_up);
        }
    }
}
