//! Obeying shard records: replicas are made, epochs begun, leaderships laid down.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use replica::Event;
use store::{OpenError, Store};
use uuid::Uuid;
use wire::membership::HeartbeatAnswer;
use wire::shard::ShardRecord;
use wire::{NodeName, ShardNo};

use super::DiskThread;
use super::replica::{Nature, Replica};
use crate::driver::table::Standing;
use crate::membership::data_dir::{DataDirError, HeldReplica, MakeReplicaError, NewReplica};
use crate::membership::duty::{self, Held, Step};

/// What came of keeping a record.
type Kept = Result<(), DataDirError>;

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
    pub(in crate::driver) fn open_replicas(&mut self) -> Result<(), DataDirError> {
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
            log_dir,
            consistent_from,
            record,
        } = held;
        match Store::open(Arc::clone(&self.disk), &log_dir, log) {
            Ok((store, recovery)) => {
                tracing::info!(%shard, ?recovery, "opened");
                let nature = Nature {
                    shard,
                    replica,
                    log,
                    consistent_from,
                };
                self.add_replica(&nature, store, record);
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(%shard, error, "a shard is not served");
            }
        }
    }

    fn add_replica(&mut self, nature: &Nature, mut store: Store, record: Option<ShardRecord>) {
        let shard = nature.shard;
        let synced = store.flush().and_then(|job| match job {
            Some(job) => store.synced(job.run()).map(drop),
            None => Ok(()),
        });
        // Only this node could have committed anything, and all that is synced it has.
        if synced.is_ok()
            && record
                .as_ref()
                .is_some_and(|record| duty::is_alone(&self.around.me, nature.replica, record))
        {
            let synced = store.positions().synced;
            store.commit_to(synced, &mut Vec::new());
        }
        let replica = Replica::new(nature, store, &self.around.me, self.session_ms);
        self.replicas.insert(shard, replica);
        self.changed.insert(shard);
        if let Err(poisoned) = synced {
            self.feed(shard, Event::Failed(poisoned.to_string()));
        }
        self.feed(shard, Event::Space(self.around.admission.room()));
        let peers: Vec<NodeName> = self.links.keys().cloned().collect();
        for peer in peers {
            self.feed(shard, Event::LinkUp(peer));
        }
        if let Some(record) = record {
            if let Some(replica) = self.replicas.get_mut(&shard) {
                replica.record = Some(record.clone());
            }
            self.changed.insert(shard);
            self.feed(shard, Event::Record(record));
        }
    }

    /// Does what a heartbeat's answer asks for. What fails is tried again: the map counts as seen
    /// only when all of it was obeyed.
    pub(super) fn follow(&mut self, answer: HeartbeatAnswer) {
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
        self.session_ms = answer.session_ms;
        for replica in self.replicas.values_mut() {
            replica.core.set_session_ms(answer.session_ms);
        }
        let Some(map) = answer.map else { return };
        if self.obey_all(&map.shards) {
            self.around.presence.saw_map(answer.map_version);
        }
    }

    /// Obeys records of the register, in this order; false when one could not be. They are kept together:
    /// when a leader of many shards is gone, the last of them does not wait for the disk once for each.
    pub(super) fn obey_all(&mut self, records: &[ShardRecord]) -> bool {
        let mut shards = BTreeSet::new();
        let firsts = records.iter().filter(|record| shards.insert(record.shard));
        let kept = firsts.filter(|record| self.only_keeps(record)).cloned();
        let kept: Vec<ShardRecord> = kept.collect();
        let outcomes = self.dir.keep_records(&kept);
        let shards = kept.iter().map(|record| record.shard);
        let mut outcomes: BTreeMap<ShardNo, _> = shards.zip(outcomes).collect();
        let mut obeyed = true;
        for record in records {
            obeyed &= self.obey_or_report(record, outcomes.remove(&record.shard));
        }
        obeyed
    }

    /// Whether all that there is to be done for a record, before it is obeyed, is to keep it.
    fn only_keeps(&self, record: &ShardRecord) -> bool {
        let replica = self.replicas.get(&record.shard);
        let is_whole = replica.is_some_and(|replica| replica.incomplete_end().is_none());
        is_whole && self.step(record) == Step::Obey
    }

    fn step(&self, record: &ShardRecord) -> Step {
        let held = self.replicas.get(&record.shard).map(|replica| Held {
            replica: replica.replica,
            record: replica.record.as_ref(),
        });
        let offers = &self.dir.identity().offers;
        duty::step(&self.around.me, held, offers, record)
    }

    /// Obeys a record, and tells when that fails: it is false then.
    fn obey_or_report(&mut self, record: &ShardRecord, kept: Option<Kept>) -> bool {
        let shard = record.shard;
        let is_halted = |thread: &Self| {
            let replica = thread.replicas.get(&shard);
            replica.is_some_and(|replica| replica.standing == Standing::Poisoned)
        };
        let was_halted = is_halted(self);
        let obeyed = self.obey(record, kept);
        if let Err(error) = &obeyed {
            let error = error as &dyn std::error::Error;
            if was_halted {
                tracing::debug!(%shard, error, "not obeyed");
            } else {
                tracing::error!(%shard, error, "not obeyed");
            }
        }
        obeyed.is_ok()
    }

    /// Obeys a record; `kept` tells what came of keeping it, if that was done.
    fn obey(&mut self, record: &ShardRecord, kept: Option<Kept>) -> Result<(), ObeyError> {
        let shard = record.shard;
        match self.step(record) {
            Step::Ignore => return Ok(()),
            Step::Lost => {
                tracing::warn!(%shard, "the record names a replica that is not here");
                return Ok(());
            }
            Step::Make(replica) => self.make_replica(record, replica)?,
            Step::Replace(replica) => {
                self.leave(shard)?;
                self.make_replica(record, replica)?;
            }
            Step::Leave => return self.leave(shard),
            Step::Obey => {}
        }
        self.take_for_whole(record)?;
        // Kept before it is acted on: a node never goes back to an older epoch.
        let kept = kept.unwrap_or_else(|| self.dir.keep_record(record));
        if let Err(error) = kept {
            self.stop_unless_full(shard, &error);
            return Err(error.into());
        }
        if let Some(replica) = self.replicas.get_mut(&shard) {
            replica.record = Some(record.clone());
            self.changed.insert(shard);
        }
        self.feed(shard, Event::Record(record.clone()));
        // Whoever waits for a commit that this set is too small for is not left to the next tick.
        if self.replicas.get(&shard).is_some_and(Replica::waits) {
            self.feed(shard, Event::NeedsCommit);
        }
        self.touch(shard);
        Ok(())
    }

    /// A replica that cannot keep a record must not look like one that obeys it: nobody would lead in
    /// its place. A full disk gets room again; any other needs a new start, or another disk.
    fn stop_unless_full(&mut self, shard: ShardNo, error: &DataDirError) {
        let standing = self.replicas.get(&shard).map(|replica| replica.standing);
        if !error.is_full() && standing.is_some_and(|standing| standing != Standing::Poisoned) {
            self.feed(shard, Event::Failed(error.to_string()));
        }
    }

    /// An operator chose a copy that lacks something: nobody else has it. Else whoever copies from here
    /// would be told to wait for it.
    fn take_for_whole(&mut self, record: &ShardRecord) -> Result<(), DataDirError> {
        let shard = record.shard;
        let Some(replica) = self.replicas.get_mut(&shard) else {
            return Ok(());
        };
        let Some(end) = replica.incomplete_end() else {
            return Ok(());
        };
        if !duty::is_last(&self.around.me, replica.replica, record) {
            return Ok(());
        }
        tracing::error!(%shard, %end, "a copy that is not whole is all that there is");
        self.dir.complete_from(shard, end)?;
        replica.complete_from(end);
        let log = replica.log_state();
        self.feed(shard, Event::Cut(log));
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
        let log_dir = self
            .dir
            .make_replica(new, |dir| Store::create(disk, dir, log).map(drop))?;
        let (store, _) = Store::open(Arc::clone(&self.disk), &log_dir, log)?;
        tracing::info!(%shard, %replica, "made");
        let nature = Nature {
            shard,
            replica,
            log,
            consistent_from: None,
        };
        self.add_replica(&nature, store, None);
        // Only now: a heartbeat without the offer and without the replica would say that the
        // replica is lost.
        self.around.presence.offers(self.dir.identity().offer());
        Ok(())
    }

    /// The register names this replica no more: it goes, and its folder is kept for a while.
    fn leave(&mut self, shard: ShardNo) -> Result<(), ObeyError> {
        let Some(mut replica) = self.replicas.remove(&shard) else {
            return Ok(());
        };
        self.asides.forget(shard);
        tracing::info!(%shard, replica = %replica.replica, "is a member no more");
        for link in self.links.values() {
            link.stop_stream(shard);
        }
        self.around.table.remove(shard);
        if matches!(replica.standing, Standing::Leading | Standing::Elected) {
            self.around.feed.resigned(shard);
        }
        replica.lose();
        self.dir.retire(shard)?;
        self.around.presence.changed.notify_one();
        Ok(())
    }
}
