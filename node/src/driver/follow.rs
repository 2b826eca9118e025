//! Obeying shard records: replicas are made, epochs begun, leaderships laid down.

use std::sync::Arc;

use store::{OpenError, Store};
use uuid::Uuid;
use wire::ShardNo;
use wire::membership::HeartbeatAnswer;
use wire::shard::{Revision, ShardRecord};

use super::disk_thread::DiskThread;
use super::replica::Replica;
use super::table::Standing;
use crate::membership::data_dir::{DataDirError, HeldReplica, MakeReplicaError, NewReplica};
use crate::membership::duty::{self, Held, Step};

/// Why a record could not be obeyed; it is tried again with the next heartbeat.
#[derive(Debug, thiserror::Error)]
enum ObeyError {
    #[error("cannot make the replica")]
    Make(#[from] MakeReplicaError<OpenError>),
    #[error("cannot open the log")]
    Open(#[from] OpenError),
    #[error("cannot keep the record")]
    Keep(#[from] DataDirError),
}

impl DiskThread {
    /// Opens every replica in the data directory, and commits what only this node could have
    /// committed. One that cannot be opened is reported, and hides none of the others.
    ///
    /// # Errors
    /// When the data directory cannot be listed.
    pub(super) fn open_replicas(&mut self) -> Result<(), DataDirError> {
        for held in self.dir.replicas()? {
            match held {
                Ok(held) => self.open_replica(held),
                Err(error) => tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a shard is not served"
                ),
            }
        }
        self.measure();
        Ok(())
    }

    fn open_replica(&mut self, held: HeldReplica) {
        let HeldReplica {
            shard,
            replica,
            log,
            record,
        } = held;
        match Store::open(Arc::clone(&self.disk), &self.dir.log(shard), log) {
            Ok((store, recovery)) => {
                tracing::info!(%shard, ?recovery, "opened");
                self.add_replica(Replica::new(shard, replica, store, record));
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(%shard, error, "a shard is not served");
            }
        }
    }

    fn add_replica(&mut self, mut replica: Replica) {
        let shard = replica.shard;
        match replica.flush() {
            Ok(job) => {
                let done = job.map(store::SyncJob::run);
                let synced = done.map(|done| replica.store.synced(done)).transpose();
                replica.commit(&self.around.me);
                self.replicas.insert(shard, replica);
                if let Err(poisoned) = synced {
                    self.poison(shard, &poisoned);
                }
            }
            Err(poisoned) => {
                self.replicas.insert(shard, replica);
                self.poison(shard, &poisoned);
            }
        }
        self.publish(shard);
    }

    /// Does what a heartbeat's answer asks for. What fails is tried again: the map counts as seen
    /// only when all of it was obeyed.
    pub(super) fn follow(&mut self, answer: HeartbeatAnswer, now_ms: u64) {
        match self.dir.identity().cluster {
            Some(cluster) if cluster != answer.cluster => return,
            Some(_) => {}
            None => {
                if let Err(error) = self.dir.join_cluster(answer.cluster) {
                    tracing::error!(error = &error as &dyn std::error::Error, "cannot join");
                    return;
                }
                tracing::info!(cluster = %answer.cluster, "joined");
                self.around.presence.joined(answer.cluster);
            }
        }
        let Some(map) = answer.map else { return };
        let mut obeyed = true;
        for record in &map.shards {
            if let Err(error) = self.obey(record, now_ms) {
                let shard = record.shard;
                tracing::error!(%shard, error = &error as &dyn std::error::Error, "not obeyed");
                obeyed = false;
            }
        }
        if obeyed {
            self.around.presence.saw_map(answer.map_version);
        }
    }

    fn obey(&mut self, record: &ShardRecord, now_ms: u64) -> Result<(), ObeyError> {
        let shard = record.shard;
        let held = self.replicas.get(&shard).map(|replica| Held {
            replica: replica.replica,
            revision: replica
                .record
                .as_ref()
                .map_or(Revision::NONE, ShardRecord::revision),
        });
        let offers = &self.dir.identity().offers;
        match duty::step(&self.around.me, held, offers, record) {
            Step::Ignore => return Ok(()),
            Step::Lost => {
                tracing::warn!(%shard, "the record names a replica that is not here");
                return Ok(());
            }
            Step::Make(replica) => self.make_replica(record, replica)?,
            Step::Obey => {}
        }
        // Kept before it is acted on: a node never goes back to an older epoch.
        self.dir.keep_record(record)?;
        self.act_on(record, now_ms);
        Ok(())
    }

    fn make_replica(&mut self, record: &ShardRecord, replica: Uuid) -> Result<(), ObeyError> {
        let (shard, log) = (record.shard, record.log);
        let disk = Arc::clone(&self.disk);
        let new = NewReplica {
            shard,
            replica,
            log,
        };
        self.dir
            .make_replica(new, |dir| Store::create(disk, dir, log).map(drop))?;
        let (store, _) = Store::open(Arc::clone(&self.disk), &self.dir.log(shard), log)?;
        tracing::info!(%shard, %replica, "made");
        self.add_replica(Replica::new(shard, replica, store, None));
        // Only now: a heartbeat without the offer and without the replica would say that the
        // replica is lost.
        self.around.presence.offers(self.dir.identity().offer());
        Ok(())
    }

    fn act_on(&mut self, record: &ShardRecord, now_ms: u64) {
        let shard = record.shard;
        let epoch = duty::epoch_led(&self.around.me, record);
        let Some(replica) = self.replicas.get_mut(&shard) else {
            return;
        };
        replica.record = Some(record.clone());
        match epoch {
            Some(_) if replica.standing == Standing::Poisoned => {}
            Some(epoch) if epoch > replica.last_epoch() => {
                replica.lose();
                match replica.store.begin_epoch(epoch, now_ms) {
                    Ok(start) => {
                        replica.standing = Standing::Elected;
                        replica.epoch_start = Some(start);
                        self.touch(shard);
                    }
                    Err(error) => tracing::error!(%shard, %epoch, %error, "cannot begin an epoch"),
                }
            }
            // The same term goes on: the shard was closed, or its members changed.
            Some(_) => self.touch(shard),
            None => self.resign(shard),
        }
        self.publish(shard);
    }

    fn resign(&mut self, shard: ShardNo) {
        let Some(replica) = self.replicas.get_mut(&shard) else {
            return;
        };
        if matches!(replica.standing, Standing::Leading | Standing::Elected) {
            tracing::info!(%shard, "no longer leads");
            replica.standing = Standing::Idle;
            replica.epoch_start = None;
            replica.lose();
            self.around.feed.resigned(shard);
        }
    }

    /// The epoch's first record is committed: from here on this process is the shard's order.
    pub(super) fn assume_leadership(&mut self, shard: ShardNo) {
        let Some(replica) = self.replicas.get_mut(&shard) else {
            return;
        };
        replica.epoch_start = None;
        replica.standing = Standing::Leading;
        replica.measure();
        tracing::info!(%shard, epoch = %replica.last_epoch(), "leads");
        let view = Arc::new(replica.view(&self.around.me));
        self.around.feed.leads(view);
        self.publish(shard);
    }
}
