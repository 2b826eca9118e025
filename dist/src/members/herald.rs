//! Tells nodes of a changed shard record at once: who is to lead would else hear of it with its next
//! heartbeat only. Nothing relies on it: what is not heard comes with that heartbeat.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::sync::broadcast::error::RecvError;
use uuid::Uuid;
use wire::shard::{ShardNews, ShardRecord};

use super::book::Members;
use crate::peer::Peer;

/// Records on their way at once; what does not fit comes with the heartbeats.
const UNDER_WAY_MAX: usize = 256;

/// Brings records to the nodes that they name.
pub(crate) struct Herald {
    members: Arc<Members>,
    peer: Arc<Peer>,
    cluster: Uuid,
    room: Arc<Semaphore>,
}

impl Herald {
    pub(crate) fn new(members: Arc<Members>, peer: Arc<Peer>, cluster: Uuid) -> Self {
        Herald {
            members,
            peer,
            cluster,
            room: Arc::new(Semaphore::new(UNDER_WAY_MAX)),
        }
    }

    /// Tells of every change from now on, for ever.
    pub(crate) async fn run(&self) {
        let mut changes = self.members.changes();
        loop {
            match changes.recv().await {
                Ok(record) => self.tell(&record),
                Err(RecvError::Lagged(missed)) => {
                    tracing::debug!(missed, "changes are heard of with the next heartbeats");
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Tells every node that holds, or is to hold, a replica; waits for none of them.
    fn tell(&self, record: &ShardRecord) {
        for member in &record.replicas {
            let Some(url) = self.members.internal_url(&member.node) else {
                continue;
            };
            let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() else {
                return;
            };
            let news = ShardNews {
                cluster: self.cluster,
                record: record.clone(),
            };
            let (peer, node) = (Arc::clone(&self.peer), member.node.clone());
            tokio::spawn(async move {
                if let Err(error) = peer.tell(&url, &news).await {
                    tracing::debug!(%node, %error, "hears of a change with its next heartbeat");
                }
                drop(permit);
            });
        }
    }
}
