//! Asking the register, at any distributor: changes that a leader proposes, and records that are
//! newer than what this node knows.

use std::sync::Arc;

use tokio::sync::mpsc::Receiver;
use tokio::sync::{Semaphore, watch};
use wire::shard::{ChangeShard, ShardChanged, ShardRecord};
use wire::{ShardNo, routes};

use super::distributors::{CallError, Distributors};
use crate::driver::Handle;

/// Questions that may wait; who finds no room asks again.
pub const ASKED_MAX: usize = 4096;

/// Questions under way.
const UNDER_WAY_MAX: usize = 32;

/// A question to the register.
#[derive(Debug)]
pub enum Ask {
    /// To replace the record of the version before by this one.
    Propose(Box<ShardRecord>),
    /// For a shard's record.
    Read(ShardNo),
}

/// Answers questions until the node stops; each question is answered to the disk thread, or told
/// to be unanswered.
pub(super) async fn answer(
    mut asked: Receiver<Ask>,
    distributors: Arc<Distributors>,
    handle: Handle,
    mut stopped: watch::Receiver<bool>,
) {
    let under_way = Arc::new(Semaphore::new(UNDER_WAY_MAX));
    loop {
        let ask = tokio::select! {
            ask = asked.recv() => ask,
            _ = stopped.changed() => return,
        };
        let (Some(ask), Ok(permit)) = (ask, Arc::clone(&under_way).acquire_owned().await) else {
            return;
        };
        let (distributors, handle) = (Arc::clone(&distributors), handle.clone());
        tokio::spawn(async move {
            put(ask, &distributors, &handle).await;
            drop(permit);
        });
    }
}

async fn put(ask: Ask, distributors: &Distributors, handle: &Handle) {
    let (shard, answer) = match ask {
        Ask::Propose(record) => {
            let shard = record.shard;
            let change = ChangeShard { record: *record };
            let changed: Result<ShardChanged, CallError> = distributors
                .post(|base| routes::shard(base, shard), &change)
                .await;
            (shard, changed.map(|changed| changed.record))
        }
        Ask::Read(shard) => {
            let read = distributors.get(|base| routes::shard(base, shard)).await;
            (shard, read)
        }
    };
    match answer {
        Ok(record) => handle.registered(record),
        Err(error) => {
            tracing::debug!(%shard, %error, "the register does not answer");
            handle.unanswered(shard);
        }
    }
}
