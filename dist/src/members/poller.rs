//! Asks every node for its statistics, each in a task of its own: a slow one delays no other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use wire::NodeName;

use super::book::Members;
use crate::peer::Peer;

/// The tasks that ask; dropped, they end.
pub(crate) struct Poller {
    members: Arc<Members>,
    peer: Arc<Peer>,
    every: Duration,
    tasks: Mutex<HashMap<NodeName, JoinHandle<()>>>,
}

impl Poller {
    pub(crate) fn new(members: Arc<Members>, peer: Arc<Peer>, every: Duration) -> Self {
        Poller {
            members,
            peer,
            every,
            tasks: Mutex::default(),
        }
    }

    /// Begins to ask a node, at once; if it is being asked already, begins anew.
    pub(crate) fn watch(&self, name: &NodeName) {
        let (members, peer) = (Arc::clone(&self.members), Arc::clone(&self.peer));
        let (node, every) = (name.clone(), self.every);
        let task = tokio::spawn(async move {
            let mut tick = tokio::time::interval(every);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                let Some(url) = members.internal_url(&node) else {
                    return;
                };
                let stats = peer.stats(&url).await;
                if let Err(error) = &stats {
                    tracing::debug!(%node, %error, "statistics");
                }
                let (stats, ahead_s) = stats.ok().unzip();
                members.sampled(&node, stats, Instant::now());
                members.clock_read(&node, ahead_s.flatten());
            }
        });
        let mut tasks = self
            .tasks
            .lock()
            .expect("no thread panics while it holds the tasks");
        if let Some(before) = tasks.insert(name.clone(), task) {
            before.abort();
        }
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        let tasks = self
            .tasks
            .lock()
            .expect("no thread panics while it holds the tasks");
        for task in tasks.values() {
            task.abort();
        }
    }
}
