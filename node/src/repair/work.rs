//! The work: what is damaged, record by record, in the order of lsns.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use store::{Damage, Need, ReadError, Reader, Record, RepairError};
use wire::limits::BLOCK_BYTES;
use wire::{ContentId, Lsn, NodeName, ShardNo};

use super::attempts::Attempts;
use super::copies::{Copies, Copy, FetchError};
use super::doubts::Doubts;
use super::hashing::Hashing;
use super::hints::Hints;
use crate::driver::Handle;
use crate::driver::repair::{RepairFailure, Repaired};
use crate::driver::table::{ReplicaView, Standing};
use crate::metrics::Metrics;

/// Records of one shard in one round: no shard waits for another one's thousands.
const RECORDS_PER_ROUND_MAX: usize = 64;

/// Stands for all of a shard among the attempts.
const ALONE: Lsn = Lsn(u64::MAX);

pub(super) struct Work {
    handle: Handle,
    copies: Copies,
    hints: Hints,
    metrics: Arc<Metrics>,
    attempts: Attempts,
    /// Contents of which some header cannot be read, and which of their records are to be written
    /// again.
    nameless: BTreeMap<ContentId, Vec<Lsn>>,
    doubts: Doubts,
}

/// The content that a record is of, as far as it is known.
type Records = BTreeMap<Lsn, Option<ContentId>>;

/// Why a record was not mended.
#[derive(Debug, thiserror::Error)]
enum MendError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Repair(#[from] RepairFailure),
    #[error("{0} has dropped it, and it is needed here: what superseded it has yet to come")]
    Needed(NodeName),
}

impl Work {
    pub(super) fn new(handle: Handle, copies: Copies, hints: Hints, metrics: Arc<Metrics>) -> Work {
        Work {
            handle,
            copies,
            hints,
            metrics,
            attempts: Attempts::default(),
            nameless: BTreeMap::new(),
            doubts: Doubts::default(),
        }
    }

    /// Mends what is damaged in any replica. Whether anything was mended.
    pub(super) async fn round(&mut self) -> bool {
        let mut mended = false;
        for replica in self.handle.table().replicas().values() {
            if replica.standing == Standing::Poisoned {
                continue;
            }
            let hints = self.hints.of(replica.shard);
            if replica.reader.damage_count() == 0 && hints.is_empty() {
                self.keep(replica.shard, &Damage::default(), |_| false);
            } else {
                let damage = replica.reader.damage();
                mended |= self.mend_replica(replica, &damage, &hints).await;
            }
        }
        mended
    }

    async fn mend_replica(
        &mut self,
        replica: &ReplicaView,
        damage: &Damage,
        hints: &[Lsn],
    ) -> bool {
        let shard = replica.shard;
        let is_wanted = |lsn| is_of(damage, lsn) || hints.contains(&lsn);
        self.keep(shard, damage, is_wanted);
        if self.copies.of(shard).is_empty() {
            self.tell_alone(shard);
            return false;
        }
        self.attempts.done((shard, ALONE));
        let mut due = self.due(shard, damage, hints);
        self.add_nameless(replica, damage, &mut due).await;
        let mut any = false;
        for (lsn, content) in due.into_iter().take(RECORDS_PER_ROUND_MAX) {
            match self.mend(replica, damage, lsn).await {
                Ok((peer, Repaired::Written)) => {
                    any = true;
                    self.mended(shard, lsn, content);
                    let content = content.map(tracing::field::display);
                    tracing::info!(%shard, content, %lsn, %peer, "a damaged record was repaired");
                }
                Ok((peer, Repaired::Same)) => {
                    any = true;
                    tracing::debug!(%shard, %lsn, %peer, "a doubted record is the same there");
                }
                Err(MendError::Fetch(FetchError::Dropped(peer))) => {
                    self.given_up(shard, (lsn, content), damage, &peer);
                }
                Err(error @ MendError::Needed(_)) => {
                    self.attempts.tried((shard, lsn), Instant::now());
                    tracing::debug!(%shard, %lsn, %error, "not given up yet");
                }
                Err(error) => self.failed(shard, (lsn, content), damage, &error),
            }
        }
        self.hash_again(replica).await;
        any
    }

    /// Forgets what is of no concern any more in a shard.
    fn keep(&mut self, shard: ShardNo, damage: &Damage, is_wanted: impl Fn(Lsn) -> bool) {
        self.doubts.keep(shard, damage);
        self.attempts
            .keep(|(of, lsn)| *of != shard || is_wanted(*lsn));
    }

    /// Hashes doubted contents again, once all their records are as another replica has them. Nothing else
    /// is repaired meanwhile.
    async fn hash_again(&mut self, replica: &ReplicaView) {
        let shard = replica.shard;
        let due = self.doubts.due(&replica.reader.damage(), Instant::now());
        for id in due {
            match is_right(&replica.reader, id).await {
                Ok(true) => tracing::info!(%shard, content = %id, "a doubted content is right"),
                Ok(false) => {
                    self.doubts.in_vain(id);
                    self.metrics.repairs_failed.inc();
                    tracing::error!(
                        %shard, content = %id,
                        "a content's bytes are not those of its checksum, here and in another copy"
                    );
                }
                Err(error) if self.doubts.failed(id, Instant::now()) => {
                    self.metrics.repairs_failed.inc();
                    tracing::error!(
                        %shard, content = %id, %error,
                        "a doubted content cannot be hashed again"
                    );
                }
                Err(error) => {
                    tracing::debug!(%shard, content = %id, %error, "not hashed again yet");
                }
            }
        }
    }

    /// A record was given up, since nothing needs it, as another replica says.
    fn given_up(
        &mut self,
        shard: ShardNo,
        (lsn, content): (Lsn, Option<ContentId>),
        damage: &Damage,
        peer: &NodeName,
    ) {
        self.attempts.tried((shard, lsn), Instant::now());
        self.hints.done(shard, lsn);
        // Of a place where records are lost most lsns may have been compacted long before: it is told
        // with its last one.
        if content.is_none() && is_inside(damage, lsn) {
            tracing::debug!(%shard, %lsn, %peer, "of what is lost, this is not needed");
            return;
        }
        self.metrics.damage_given_up.inc();
        let content = content.map(tracing::field::display);
        tracing::info!(
            %shard, content, %lsn, %peer,
            "a damaged record that nothing needs was given up"
        );
    }

    fn failed(
        &mut self,
        shard: ShardNo,
        (lsn, content): (Lsn, Option<ContentId>),
        damage: &Damage,
        error: &MendError,
    ) {
        let is_first = self.attempts.tried((shard, lsn), Instant::now());
        // Which record a hint means is a guess: the next scrub makes another one.
        if is_first || is_absent(error) {
            self.hints.done(shard, lsn);
        }
        // Of a place where records are lost one line is enough, and some may have been compacted.
        let mut places = damage.lost.iter().chain(&damage.hidden);
        let is_place = places.any(|place| place.first == lsn) && !is_absent(error);
        let tell = is_first && (content.is_some() || is_place);
        let content = content.map(tracing::field::display);
        if tell {
            self.metrics.repairs_failed.inc();
            tracing::error!(%shard, content, %lsn, %error, "a damaged record cannot be repaired");
        } else {
            tracing::debug!(%shard, content, %lsn, %error, "not repaired yet");
        }
    }

    /// Damage that no other copy can mend stays.
    fn tell_alone(&mut self, shard: ShardNo) {
        let (key, now) = ((shard, ALONE), Instant::now());
        if self.attempts.is_due(key, now) && self.attempts.tried(key, now) {
            self.metrics.repairs_failed.inc();
            tracing::error!(%shard, "what is damaged cannot be repaired: there is no other copy");
        }
    }

    /// The records that are to be written again now, as far as it is known here.
    fn due(&self, shard: ShardNo, damage: &Damage, hints: &[Lsn]) -> Records {
        let now = Instant::now();
        let is_due = |lsn: &Lsn| self.attempts.is_due((shard, *lsn), now);
        let hinted = hints.iter().copied().filter(is_due);
        let mut due: Records = hinted.map(|lsn| (lsn, None)).collect();
        for lost in damage.lost.iter().chain(&damage.hidden) {
            let open = (lost.first.0..=lost.last.0).map(Lsn).filter(is_due);
            due.extend(open.take(RECORDS_PER_ROUND_MAX).map(|lsn| (lsn, None)));
        }
        for content in &damage.contents {
            let records = content.records.iter().copied().filter(is_due);
            due.extend(records.map(|lsn| (lsn, Some(content.content))));
        }
        for content in &damage.doubted {
            let records = content.records.iter().copied().filter(is_due);
            let records = records.take(RECORDS_PER_ROUND_MAX);
            due.extend(records.map(|lsn| (lsn, Some(content.content))));
        }
        due
    }

    /// Of contents of which some header cannot be read, an intact replica knows the records. Which of
    /// them are damaged here is read once: a large content has many.
    async fn add_nameless(&mut self, replica: &ReplicaView, damage: &Damage, due: &mut Records) {
        let shard = replica.shard;
        let nameless = damage.contents.iter().filter(|c| c.records.is_empty());
        let nameless: BTreeSet<ContentId> = nameless.map(|c| c.content).collect();
        self.nameless
            .retain(|id, _| id.shard() != shard || nameless.contains(id));
        for id in nameless.into_iter().take(RECORDS_PER_ROUND_MAX) {
            if !self.nameless.contains_key(&id) {
                let needed = self.needed(shard, id).await;
                let unreadable = |lsn: &&Lsn| replica.reader.record(**lsn).is_err();
                let mut wanted: Vec<Lsn> = needed.iter().filter(unreadable).copied().collect();
                if wanted.is_empty() {
                    // All can be read after all: any of them, written again, takes the mark away.
                    wanted.extend(needed.last());
                }
                self.nameless.insert(id, wanted);
            }
            let now = Instant::now();
            let wanted = self.nameless.get(&id).into_iter().flatten().copied();
            let wanted = wanted.filter(|lsn| self.attempts.is_due((shard, *lsn), now));
            due.extend(wanted.map(|lsn| (lsn, Some(id))));
        }
        // Nobody told: they are asked about again.
        self.nameless.retain(|_, wanted| !wanted.is_empty());
    }

    /// A record was written again. Should it be called damaged all the same, it waits as one that
    /// could not be: a disk that keeps nothing is not written to all the time.
    fn mended(&mut self, shard: ShardNo, lsn: Lsn, content: Option<ContentId>) {
        self.attempts.tried((shard, lsn), Instant::now());
        self.hints.done(shard, lsn);
        self.metrics.repairs.inc();
        if let Some(wanted) = content.and_then(|id| self.nameless.get_mut(&id)) {
            wanted.retain(|other| *other != lsn);
        }
    }

    /// All records that a content needs, as an intact replica knows them; none if nobody tells.
    async fn needed(&mut self, shard: ShardNo, content: ContentId) -> Vec<Lsn> {
        let key = (shard, Lsn::ZERO);
        if !self.attempts.is_due(key, Instant::now()) {
            return Vec::new();
        }
        let mut last = FetchError::Alone;
        for copy in self.copies.of(shard) {
            match self.copies.needed(&copy, content).await {
                Ok(lsns) => return lsns,
                Err(error) => last = error,
            }
        }
        if self.attempts.tried(key, Instant::now()) {
            self.metrics.repairs_failed.inc();
            tracing::error!(%shard, %content, error = %last, "a damaged content cannot be repaired");
        }
        Vec::new()
    }

    /// Mends one record; who had it, and what came of it.
    async fn mend(
        &self,
        replica: &ReplicaView,
        damage: &Damage,
        lsn: Lsn,
    ) -> Result<(NodeName, Repaired), MendError> {
        let mut last = MendError::from(FetchError::Alone);
        let mut needed = None;
        for copy in self.copies.of(replica.shard) {
            let log = (replica.shard, replica.log);
            let record = match self.copies.record(&copy, log, lsn).await {
                Ok(record) => record,
                Err(FetchError::Dropped(peer)) => {
                    if self.handle.settle(replica.shard, lsn).await? {
                        return Err(FetchError::Dropped(peer).into());
                    }
                    // Another one that is behind may have it still.
                    needed = Some(peer);
                    continue;
                }
                Err(error) => {
                    last = error.into();
                    continue;
                }
            };
            let need = self.need(&copy, damage, &record).await;
            match self.handle.repair(replica.shard, record, need).await {
                Ok(repaired) => return Ok((copy.node, repaired)),
                // Another replica's record may be the right one.
                Err(error @ RepairFailure::Refused(RepairError::Foreign { .. })) => {
                    last = error.into();
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(needed.map_or(last, MendError::Needed))
    }

    /// Whether a replica needs a record that it has. That counts only of small ones that are lost here: they
    /// may lie in front of a large one, where it cannot be told whether they ever were here.
    async fn need(&self, copy: &Copy, damage: &Damage, record: &Record) -> Need {
        let head = &record.head;
        let is_small = head.payload_bytes < BLOCK_BYTES as u64;
        let mut lost = damage.lost.iter();
        let is_lost = lost.any(|lost| lost.first <= head.lsn && head.lsn <= lost.last);
        let Some(id) = ContentId::from_bytes(head.id)
            .ok()
            .filter(|_| is_small && is_lost)
        else {
            return Need::Unknown;
        };
        match self.copies.needed(copy, id).await {
            Ok(lsns) if lsns.contains(&head.lsn) => Need::Certain,
            Ok(_) | Err(_) => Need::Unknown,
        }
    }
}

/// Whether an attempt is of something that is damaged still.
fn is_of(damage: &Damage, lsn: Lsn) -> bool {
    let has_nameless = damage.contents.iter().any(|c| c.records.is_empty());
    let is_lost = |lost: &store::Lost| lost.first <= lsn && lsn <= lost.last;
    has_nameless
        || lsn == ALONE
        || damage.lost.iter().chain(&damage.hidden).any(is_lost)
        || (damage.contents.iter().chain(&damage.doubted)).any(|c| c.records.contains(&lsn))
}

/// Whether more is lost in the same place behind this one.
fn is_inside(damage: &Damage, lsn: Lsn) -> bool {
    let mut places = damage.lost.iter().chain(&damage.hidden);
    places.any(|place| place.first <= lsn && lsn < place.last)
}

/// Whether a content's bytes, as they are on the disk, are those of its hash; it is trusted then.
async fn is_right(reader: &Reader, id: ContentId) -> Result<bool, ReadError> {
    let mut hashing = Hashing::new(reader.open_from_disk(id)?);
    let checksum = loop {
        if let Some(checksum) = hashing.step()? {
            break checksum;
        }
        // Whoever stops the thread does not wait for a large content.
        tokio::task::yield_now().await;
    };
    let open = hashing.open();
    let is_right = open.content().checksum == checksum;
    if is_right {
        open.trust();
    }
    Ok(is_right)
}

fn is_absent(error: &MendError) -> bool {
    matches!(error, MendError::Fetch(error) if error.is_absent())
}

#[cfg(test)]
#[path = "said_tests.rs"]
mod said;

#[cfg(test)]
mod tests {
    use super::*;
    use store::Lost;

    // If this fails, one damaged header in a log of which much was compacted away fills the node's log.
    #[test]
    fn a_place_where_records_are_lost_is_told_once() {
        let place = |first, last| Lost {
            first: Lsn(first),
            last: Lsn(last),
        };
        let damage = Damage {
            lost: vec![place(4, 9), place(11, 11)],
            hidden: vec![place(20, 22)],
            ..Damage::default()
        };
        let told = (1..30).filter(|lsn| !is_inside(&damage, Lsn(*lsn)));
        let places = told.filter(|lsn| is_of(&damage, Lsn(*lsn)));
        assert_eq!(places.collect::<Vec<_>>(), [9, 11, 22]);
    }
}
