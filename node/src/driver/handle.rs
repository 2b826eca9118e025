//! What the rest of the node has of the disk thread.

use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use store::{How, Payload};
use tokio::sync::{Semaphore, oneshot};
use wire::membership::HeartbeatAnswer;
use wire::position::Position;
use wire::replication::Envelope;
use wire::shard::ShardRecord;
use wire::{ContentId, Lsn, ShardNo};

use super::admission::Admission;
use super::command::{
    Ack, ChangeFailure, ChangeRequest, ChunkPermit, Command, Heard, Mail, Wait, What,
};
use super::disk::Surroundings;
use super::presence::Presence;
use super::table::{ReplicaView, Standing, Table};
use crate::links::{Outbox, Records};

/// How long a node that stops waits for others to take over.
const HANDOVER_TIME_MAX: Duration = Duration::from_millis(2_500);

/// How long a node that stops waits for leaders to go on without it.
const FAREWELL_TIME_MAX: Duration = Duration::from_millis(700);

const HANDOVER_LOOK_EVERY: Duration = Duration::from_millis(5);

/// Chunks on their way to the disk thread, over all uploads: 32 MiB of memory at most, and enough
/// to keep a fast disk writing. What waits there until its shard takes writes is bounded by the shard's
/// room, what is appended by what a log keeps for its followers.
const CHUNKS_IN_FLIGHT_MAX: usize = 32;

/// Sends work to the disk thread, and shows what it published. Clones are the same handle.
#[derive(Clone)]
pub struct Handle(Arc<Inner>);

struct Inner {
    commands: SyncSender<Command>,
    table: Table,
    admission: Arc<Admission>,
    presence: Arc<Presence>,
    abandoned: Abandoned,
    mailbox: Arc<Mailbox>,
    chunk_permits: Arc<Semaphore>,
}

/// Uploads that will not be committed.
pub(super) type Abandoned = Arc<Mutex<Vec<(ShardNo, Position)>>>;

/// Where mail for the disk thread waits.
pub(super) type Mailbox = Mutex<Vec<Mail>>;

impl Handle {
    pub(super) fn new(
        commands: SyncSender<Command>,
        around: &Surroundings,
        mailbox: Arc<Mailbox>,
    ) -> Self {
        let chunk_permits = Arc::new(Semaphore::new(CHUNKS_IN_FLIGHT_MAX));
        Handle(Arc::new(Inner {
            commands,
            table: around.table.clone(),
            admission: Arc::clone(&around.admission),
            presence: Arc::clone(&around.presence),
            abandoned: Arc::clone(&around.abandoned),
            mailbox,
            chunk_permits,
        }))
    }

    /// The replicas that the node holds.
    pub fn table(&self) -> &Table {
        &self.0.table
    }

    /// The room for uploads.
    pub fn admission(&self) -> &Arc<Admission> {
        &self.0.admission
    }

    /// What heartbeats tell.
    pub fn presence(&self) -> &Arc<Presence> {
        &self.0.presence
    }

    /// Changes a content. The change stands, whether or not its answer is awaited.
    ///
    /// # Errors
    /// See [`ChangeFailure`]; only `Lost` leaves open whether anything changed.
    pub async fn change(
        &self,
        id: ContentId,
        what: What,
        wait: Wait,
    ) -> Result<Ack, ChangeFailure> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Change(Box::new(ChangeRequest {
            id,
            what,
            wait,
            reply,
        })))?;
        answer.await.unwrap_or(Err(ChangeFailure::Lost))
    }

    /// Sends an upload's first chunk, once there is room for it among all chunks in flight.
    pub(super) async fn first_chunk(
        &self,
        id: ContentId,
        how: How,
        payload: Payload,
    ) -> Result<Position, ChangeFailure> {
        let permit = self.chunk_permit(id.shard()).await?;
        let (reply, answer) = oneshot::channel();
        self.send(Command::FirstChunk {
            id,
            how,
            payload,
            permit,
            reply,
        })?;
        answer.await.unwrap_or(Err(ChangeFailure::Lost))
    }

    /// Sends a later chunk, once there is room for it among all chunks in flight. Chunks that are
    /// sent one after the other arrive in this order; their answers can be awaited later.
    pub(super) async fn chunk(
        &self,
        shard: ShardNo,
        upload: Position,
        offset: u64,
        payload: Payload,
    ) -> Result<Sending, ChangeFailure> {
        let permit = self.chunk_permit(shard).await?;
        let (reply, answer) = oneshot::channel();
        self.send(Command::Chunk {
            shard,
            upload,
            offset,
            payload,
            permit,
            reply,
        })?;
        Ok(Sending(answer))
    }

    /// Waits for room for a chunk. The shard's is given back when the followers are not far behind, the
    /// node's when the chunk is appended, or must wait until its shard takes writes: not only when the
    /// uploader asks for the answer, which a slow one does minutes later.
    async fn chunk_permit(&self, shard: ShardNo) -> Result<ChunkPermit, ChangeFailure> {
        let replica = self.table().replica(shard);
        let replica = replica.ok_or(ChangeFailure::NotLed)?;
        // In this order: who waits for its shard takes nothing from the others.
        let of_shard = replica.gauge.chunk_room().acquire_owned().await;
        let of_node = Arc::clone(&self.0.chunk_permits).acquire_owned().await;
        match (of_shard, of_node) {
            (Ok(of_shard), Ok(of_node)) => Ok(ChunkPermit {
                of_node: Some(of_node),
                of_shard,
            }),
            _ => Err(ChangeFailure::NotLed),
        }
    }

    /// Has an upload ended that will not be committed; at the latest within a second.
    pub(super) fn abandon(&self, shard: ShardNo, upload: Position) {
        self.0
            .abandoned
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((shard, upload));
    }

    /// Has the disk thread obey an answer. A full queue drops it, and it must be given again: then it
    /// is false.
    pub(crate) fn follow(&self, answer: HeartbeatAnswer) -> bool {
        let sent = self.send(Command::Follow(Box::new(answer)));
        if sent.is_err() {
            tracing::debug!("an answer of the distributor waits for the next heartbeat");
        }
        sent.is_ok()
    }

    /// A link was made.
    pub(crate) fn link_up(&self, outbox: &Outbox) {
        self.post(Mail::LinkUp(outbox.clone()));
    }

    /// A link is over.
    pub(crate) fn link_down(&self, outbox: &Outbox) {
        self.post(Mail::LinkDown {
            peer: outbox.peer().clone(),
            link: outbox.number(),
        });
    }

    /// The register has this record.
    pub(crate) fn registered(&self, record: ShardRecord) {
        self.post(Mail::Registered(Box::new(record)));
    }

    /// The register did not answer.
    pub(crate) fn unanswered(&self, shard: ShardNo) {
        self.post(Mail::Unanswered(shard));
    }

    fn post(&self, mail: Mail) {
        self.0
            .mailbox
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(mail);
        // A full queue wakes the disk thread as well.
        if self.send(Command::Wake).is_err() {
            tracing::trace!("the disk thread is awake");
        }
    }

    /// Hands over what came on a link; gives it back when there is no room for it now.
    ///
    /// # Errors
    /// When the disk thread has ended.
    pub(crate) fn hear(
        &self,
        outbox: &Outbox,
        envelope: Envelope,
        records: Records,
    ) -> Result<Option<(Envelope, Records)>, ChangeFailure> {
        let heard = Command::Heard(Box::new(Heard {
            peer: outbox.peer().clone(),
            link: outbox.number(),
            envelope,
            records,
        }));
        match self.0.commands.try_send(heard) {
            Ok(()) => Ok(None),
            Err(TrySendError::Full(Command::Heard(heard))) => {
                Ok(Some((heard.envelope, heard.records)))
            }
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                Err(ChangeFailure::NotLed)
            }
        }
    }

    /// A read waits for a leader whose set is too small to commit anything. However many do, and however
    /// often they say so, it is one thing to do.
    pub(crate) fn needs_commit(&self, replica: &ReplicaView) {
        // A full queue wakes the disk thread as well.
        if replica.gauge.need_commit() && self.send(Command::Wake).is_err() {
            tracing::trace!(shard = %replica.shard, "the disk thread is awake");
        }
    }

    /// Has every leadership laid down that another process can take over; returns when that is
    /// done and the new leaders know of it, or after [`HANDOVER_TIME_MAX`].
    pub(crate) async fn hand_over(&self) {
        let replicas = self.table().replicas();
        let led = |view: &&Arc<ReplicaView>| view.standing == Standing::Leading;
        let led: Vec<ShardNo> = replicas
            .values()
            .filter(led)
            .map(|view| view.shard)
            .collect();
        if led.is_empty() || self.send(Command::HandOver).is_err() {
            return;
        }
        let is_under_way = |view: &ReplicaView| match view.standing {
            Standing::Leading => view.record.as_ref().is_some_and(|r| r.in_sync.len() > 1),
            Standing::Following => view.gauge.is_outside(),
            Standing::Idle | Standing::Elected | Standing::Poisoned => false,
        };
        let deadline = tokio::time::Instant::now() + HANDOVER_TIME_MAX;
        loop {
            let now = self.table().replicas();
            let mut views = led.iter().filter_map(|shard| now.get(shard));
            if !views.any(|view| is_under_way(view)) || tokio::time::Instant::now() >= deadline {
                return;
            }
            tokio::time::sleep(HANDOVER_LOOK_EVERY).await;
        }
    }

    /// Has the leaders that this node follows go on without it; returns when they do, or after
    /// [`FAREWELL_TIME_MAX`]. So none of them waits for this node once it is gone.
    pub(crate) async fn say_farewell(&self) {
        if self.send(Command::Farewell).is_err() {
            return;
        }
        let counts = |view: &ReplicaView| {
            let in_sync = view.record.iter().flat_map(|record| &record.in_sync);
            view.standing == Standing::Following
                && in_sync.clone().any(|member| member.replica == view.replica)
        };
        let deadline = tokio::time::Instant::now() + FAREWELL_TIME_MAX;
        while self.table().replicas().values().any(|view| counts(view))
            && tokio::time::Instant::now() < deadline
        {
            tokio::time::sleep(HANDOVER_LOOK_EVERY).await;
        }
    }

    pub(super) fn stop(&self) {
        if self.0.commands.send(Command::Stop).is_err() {
            tracing::error!("the disk thread had ended before it was told to");
        }
    }

    pub(super) fn send(&self, command: Command) -> Result<(), ChangeFailure> {
        match self.0.commands.try_send(command) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(ChangeFailure::Busy),
            Err(TrySendError::Disconnected(_)) => Err(ChangeFailure::NotLed),
        }
    }
}

/// A chunk on its way to the disk thread.
pub(super) struct Sending(oneshot::Receiver<Result<Lsn, ChangeFailure>>);

impl Sending {
    /// Waits until the chunk is appended.
    pub(super) async fn appended(self) -> Result<(), ChangeFailure> {
        self.0.await.unwrap_or(Err(ChangeFailure::Lost)).map(drop)
    }
}
