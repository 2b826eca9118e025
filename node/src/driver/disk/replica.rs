//! One replica on the disk thread: its log, and who waits for it.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use replica::{Bugs, Core, EpochStart, Identity, LogState};
use store::{Committed, How, ReadError, Reader, Store, SyncJob};
use uuid::Uuid;
use wire::content::Status;
use wire::position::{Lsn, Position, ShardNo};
use wire::shard::{Member, ShardRecord, ShardState};
use wire::{ContentId, NodeName, stats::Space};

use super::lag::Lag;
use crate::driver::command::{ChangeFailure, ChangeRequest, Command, Opened, Unlisted, Wait, What};
use crate::driver::table::{ReplicaGauge, ReplicaView, Standing};
use crate::links::Source;
use crate::lister::Feed;
use crate::membership::duty::Me;

/// Appended bytes that may wait for a sync that nobody asked for. Above this a round syncs, so
/// that a small upload never waits for someone's gigabyte.
const UNSYNCED_BYTES_MAX: u64 = 8 << 20;

/// How long appended bytes may wait for such a sync: the chunks of a slow upload must not look like a
/// slow disk, for which a leader hands over after two seconds.
const UNSYNCED_TIME_MAX: Duration = Duration::from_millis(300);

pub(super) struct Replica {
    pub(super) shard: ShardNo,
    pub(super) replica: Uuid,
    pub(super) store: Store,
    pub(super) core: Core,
    pub(super) record: Option<ShardRecord>,
    pub(super) standing: Standing,
    pub(super) gauge: Arc<ReplicaGauge>,
    /// What followers are sent.
    pub(super) source: Arc<Source>,
    pub(super) lag: Lag,
    /// Changes that wait until the set is large enough to commit, or a handover is over.
    pub(super) parked: VecDeque<Parked>,
    /// Set while the log is a copy that began from nothing.
    consistent_from: Option<Lsn>,
    /// What is appended is kept for followers.
    is_kept: bool,
    /// What the core knows of the log's end.
    told: Position,
    log: u64,
    /// Its log as it is open now.
    pub(super) opened: Opened,
    /// Since when something is appended that no sync was begun for.
    unsynced_since: Option<Instant>,
    reader: Reader,
    /// In the order of their lsns, but for repeated requests, which wait no longer for it.
    waiting: VecDeque<Unlisted>,
    pub(super) committed: Vec<Committed>,
    /// What it takes on the disk, when it was last measured.
    used: u64,
    /// Uploads of this term of which a chunk was refused: what comes after it cannot be appended.
    broken: HashSet<Lsn>,
}

/// A command that waits.
pub(super) struct Parked {
    pub(super) command: Command,
    pub(super) since: Instant,
}

/// What a replica is, whatever happens to it.
pub(super) struct Nature {
    pub(super) shard: ShardNo,
    pub(super) replica: Uuid,
    pub(super) log: u64,
    pub(super) consistent_from: Option<Lsn>,
}

impl Replica {
    /// A replica whose log is durable as it is.
    pub(super) fn new(nature: &Nature, store: Store, me: &Me, session_ms: u64) -> Self {
        let &Nature {
            shard,
            replica,
            log,
            consistent_from,
        } = nature;
        let reader = store.reader();
        let identity = Identity {
            member: Member {
                node: me.name.clone(),
                replica,
            },
            incarnation: me.incarnation,
        };
        let state = log_state(&store, consistent_from);
        let end = state.appended.lsn;
        Replica {
            shard,
            replica,
            core: Core::new(identity, session_ms, state, Bugs::default()),
            store,
            record: None,
            standing: Standing::Idle,
            gauge: Arc::default(),
            source: Arc::new(Source::new(shard, reader.clone(), end)),
            lag: Lag::default(),
            parked: VecDeque::new(),
            consistent_from,
            is_kept: false,
            told: Position::default(),
            log,
            opened: Opened::next(shard),
            unsynced_since: None,
            reader,
            waiting: VecDeque::new(),
            committed: Vec::new(),
            used: 0,
            broken: HashSet::new(),
        }
    }

    /// The log began anew: everything that looks at it does, too.
    pub(super) fn begin_anew(&mut self, store: Store, consistent_from: Lsn) {
        self.store = store;
        self.opened = Opened::next(self.shard);
        self.consistent_from = Some(consistent_from);
        self.reader = self.store.reader();
        self.source = Arc::new(Source::new(self.shard, self.reader.clone(), Lsn::ZERO));
        self.gauge = Arc::default();
        self.committed.clear();
        self.told = Position::default();
    }

    /// Where the log ends, if something is missing before that.
    pub(super) fn incomplete_end(&self) -> Option<Lsn> {
        let end = self.store.positions().appended.lsn;
        self.consistent_from.filter(|from| *from > end).map(|_| end)
    }

    /// Takes the log for complete from here on.
    pub(super) fn complete_from(&mut self, from: Lsn) {
        self.consistent_from = Some(from);
    }

    /// The log, as the core looks at it.
    pub(super) fn log_state(&self) -> LogState {
        log_state(&self.store, self.consistent_from)
    }

    /// The header checksum of the own record at an lsn.
    pub(super) fn checksum_at(&self, lsn: Lsn) -> Option<u32> {
        let mut cursor = self.reader.records(lsn.previous());
        let record = cursor.next_record().ok()??;
        (record.head.lsn == lsn).then(|| record.checksum())
    }

    /// The log's name.
    pub(super) fn log(&self) -> u64 {
        self.log
    }

    /// What other threads may know of it.
    pub(super) fn view(&self) -> ReplicaView {
        ReplicaView {
            shard: self.shard,
            replica: self.replica,
            log: self.log,
            record: self.record.clone(),
            standing: self.standing,
            reader: self.reader.clone(),
            gauge: Arc::clone(&self.gauge),
        }
    }

    /// Where the log ends, if that is news to the core.
    pub(super) fn news(&mut self) -> Option<Position> {
        let appended = self.store.positions().appended;
        let news = appended.lsn > self.told.lsn;
        self.told = appended;
        news.then_some(appended)
    }

    /// Whether no other replica has, or is to have, anything of this log.
    pub(super) fn is_alone(&self) -> bool {
        self.record.as_ref().is_some_and(|record| {
            let is_me = |member: &Member| member.replica == self.replica;
            matches!(&record.replicas[..], [only] if is_me(only))
                && matches!(&record.in_sync[..], [only] if is_me(only))
        })
    }

    /// The log was cut.
    pub(super) fn forget_news(&mut self) {
        self.told = self.store.positions().appended;
    }

    /// Keeps what is appended for followers, from now on, if there are any.
    pub(super) fn keep_for_followers(&mut self) {
        self.is_kept = !self.is_alone();
        if self.is_kept {
            self.store.keep_appended();
            self.source.tail.begin(self.store.positions().appended.lsn);
        } else {
            self.store.forget_appended();
        }
    }

    /// As [`Replica::keep_for_followers`], when the leader that was alone is so no more, or is now.
    pub(super) fn keep_for_new_followers(&mut self) {
        if self.is_kept == self.is_alone() {
            self.keep_for_followers();
        }
    }

    /// Hands what was appended since the last time to those who send it to followers.
    pub(super) fn ship(&mut self) -> bool {
        let appended = self.store.take_appended();
        let news = !appended.is_empty();
        for record in appended {
            self.lag.append(record.head.lsn, record.payload.len());
            self.source.tail.push(record);
        }
        news
    }

    /// What it took on the disk when it was last measured, in bytes.
    pub(super) fn used_bytes(&self) -> u64 {
        self.used
    }

    /// Appends a change; its requester then waits for [`Replica::acknowledge`].
    pub(super) fn change(&mut self, request: ChangeRequest, now_ms: u64) {
        let ChangeRequest {
            id,
            what,
            wait,
            reply,
        } = request;
        let outcome = match self.standing {
            Standing::Leading => self.append(id, what, now_ms),
            Standing::Idle | Standing::Following | Standing::Elected | Standing::Poisoned => {
                Err(ChangeFailure::NotLed)
            }
        };
        match outcome {
            Ok(outcome) => {
                self.waiting
                    .push_back(Unlisted::new(id, outcome, wait, reply));
            }
            Err(failure) => {
                if reply.send(Err(failure)).is_err() {
                    tracing::trace!(%id, "nobody waits for this refusal any more");
                }
            }
        }
    }

    fn append(
        &mut self,
        id: ContentId,
        what: What,
        now_ms: u64,
    ) -> Result<store::Outcome, ChangeFailure> {
        let outcome = match what {
            What::Put { new, how, payload } => {
                self.check_open(id, how)?;
                self.store.put(id, new, how, payload, now_ms)
            }
            What::Commit { upload, new, how } => {
                let upload = self.of_this_term(upload)?;
                self.store.commit_upload(upload, new, how, now_ms)
            }
            What::Describe { change, if_match } => {
                self.store.describe(id, change, if_match, now_ms)
            }
            What::Delete { if_match } => self.store.delete(id, if_match, now_ms),
        };
        Ok(outcome?)
    }

    /// Refuses new contents in a closed shard; a retry of one that is stored gets its receipt.
    fn check_open(&self, id: ContentId, how: How) -> Result<(), ChangeFailure> {
        let closed = self
            .record
            .as_ref()
            .is_none_or(|record| record.state == ShardState::Closed);
        let is_new = || matches!(self.reader.open_cached(id), Err(ReadError::NotFound));
        match how {
            How::Create if closed && is_new() => Err(ChangeFailure::ShardClosed),
            How::Create | How::Update { .. } => Ok(()),
        }
    }

    /// Whether a request waits for a commit.
    pub(super) fn waits(&self) -> bool {
        !(self.waiting.is_empty() && self.parked.is_empty())
    }

    /// Whether it is a copy that is not in the set: nobody's change waits for what it has.
    pub(super) fn is_copying(&self) -> bool {
        let is_this = |member: &Member| member.replica == self.replica;
        self.standing == Standing::Following && !self.set_has(is_this)
    }

    /// Whether the set has a member on this node, for whom changes wait.
    pub(super) fn commits_with(&self, node: &NodeName) -> bool {
        self.set_has(|member| member.node == *node)
    }

    fn set_has(&self, is: impl Fn(&Member) -> bool) -> bool {
        let record = self.record.as_ref();
        record.is_some_and(|record| record.in_sync.iter().any(is))
    }

    /// Whether something is appended that is not durable yet.
    pub(super) fn has_unsynced(&self) -> bool {
        let positions = self.store.positions();
        positions.appended.lsn > positions.synced
    }

    /// Whether the next round must sync this log.
    pub(super) fn wants_sync(&mut self) -> bool {
        if !self.has_unsynced() {
            self.unsynced_since = None;
            return false;
        }
        let awaited = match self.standing {
            // The leader waits for what a follower has.
            Standing::Following | Standing::Elected => true,
            // A handover waits until all of it is committed.
            Standing::Leading => !self.waiting.is_empty() || !self.core.may_write(),
            Standing::Idle | Standing::Poisoned => !self.waiting.is_empty(),
        };
        let since = *self.unsynced_since.get_or_insert_with(Instant::now);
        let due = awaited
            || self.store.unsynced_bytes() > UNSYNCED_BYTES_MAX
            || since.elapsed() > UNSYNCED_TIME_MAX;
        if due {
            self.unsynced_since = None;
        }
        due
    }

    /// Writes out what is buffered.
    pub(super) fn flush(&mut self) -> Result<Option<SyncJob>, store::Poisoned> {
        self.store.flush()
    }

    /// Answers everyone whose change is committed, or passes them on to wait for its listing.
    /// Gives the number of changes that are committed now.
    pub(super) fn acknowledge(&mut self, feed: &Feed) -> usize {
        let committed = self.store.positions().committed;
        let listed = self.gauge.listed();
        let mut unlisted = Vec::new();
        let mut answered = 0;
        let is_committed = |first: &Unlisted| first.outcome.lsn <= committed;
        while self.waiting.front().is_some_and(is_committed) {
            let Some(mut first) = self.waiting.pop_front() else {
                break;
            };
            answered += 1;
            first.since = Instant::now();
            match first.wait {
                _ if first.outcome.lsn <= listed => first.answer(Status::Ok),
                Wait::Committed => first.answer(Status::Pending),
                Wait::Briefly if feed.is_away() => first.answer(Status::Pending),
                Wait::Briefly | Wait::Listed => unlisted.push(first),
            }
        }
        let changes = std::mem::take(&mut self.committed);
        if self.standing == Standing::Leading && !(changes.is_empty() && unlisted.is_empty()) {
            feed.committed(self.shard, committed, changes, unlisted);
        }
        answered
    }

    /// Shows the positions and sizes as they are now.
    pub(super) fn measure(&mut self) {
        let positions = self.store.positions();
        let usage = self.store.usage();
        self.used = stored_bytes(&usage.space);
        self.gauge.update(|measures| {
            let epoch = match positions.synced == positions.appended.lsn {
                true => positions.appended.epoch,
                false => measures.epoch_at(positions.synced),
            };
            measures.end = Position {
                epoch,
                lsn: positions.synced,
            };
            measures.committed = positions.committed;
            // What its leader had dropped when a copy began is missing here, too.
            let from = self.consistent_from.unwrap_or(Lsn::ZERO);
            measures.horizon = positions.horizon.max(from);
            measures.complete = positions.synced >= from;
            measures.usage = usage;
            if *measures.epochs != *self.store.epochs() {
                measures.epochs = self.store.epochs().into();
            }
        });
    }

    /// Fails everyone who waits: their changes may become durable, or not.
    pub(super) fn lose(&mut self) {
        for waiting in self.waiting.drain(..) {
            waiting.fail(ChangeFailure::Lost);
        }
        self.broken.clear();
        self.lag.lose();
    }
}

fn log_state(store: &Store, consistent_from: Option<Lsn>) -> LogState {
    let positions = store.positions();
    let start = |start: &store::EpochStart| EpochStart {
        epoch: start.epoch,
        first: start.first,
    };
    LogState {
        appended: positions.appended,
        synced: positions.synced,
        committed: positions.committed,
        horizon: positions.horizon,
        epochs: store.epochs().iter().map(start).collect(),
        consistent_from,
    }
}

/// What a log takes on the disk, in bytes.
fn stored_bytes(space: &Space) -> u64 {
    (space.log + space.index + space.quarantine).saturating_sub(space.holes)
}

mod uploads;

#[cfg(test)]
mod tests;
