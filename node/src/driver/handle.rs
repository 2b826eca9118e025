//! What the rest of the node has of the disk thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};

use store::{How, Payload};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use uuid::Uuid;
use wire::membership::HeartbeatAnswer;
use wire::{ContentId, Lsn, ShardNo};

use super::admission::Admission;
use super::command::{Ack, ChangeFailure, ChangeRequest, Command, Wait, What};
use super::table::Table;

/// Chunks on their way to the disk thread, over all uploads: 32 MiB of memory at most, and enough
/// to keep a fast disk writing.
const CHUNKS_IN_FLIGHT_MAX: usize = 32;

/// Sends work to the disk thread, and shows what it published. Clones are the same handle.
#[derive(Clone)]
pub struct Handle(Arc<Inner>);

struct Inner {
    commands: SyncSender<Command>,
    table: Table,
    admission: Arc<Admission>,
    presence: Arc<Presence>,
    abandoned: Arc<Mutex<Vec<(ShardNo, Lsn)>>>,
    chunk_permits: Arc<Semaphore>,
}

impl Handle {
    pub(super) fn new(
        commands: SyncSender<Command>,
        table: Table,
        admission: Arc<Admission>,
        presence: Arc<Presence>,
        abandoned: Arc<Mutex<Vec<(ShardNo, Lsn)>>>,
    ) -> Self {
        let chunk_permits = Arc::new(Semaphore::new(CHUNKS_IN_FLIGHT_MAX));
        Handle(Arc::new(Inner {
            commands,
            table,
            admission,
            presence,
            abandoned,
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
    ) -> Result<Lsn, ChangeFailure> {
        let _permit = self.0.chunk_permits.acquire().await;
        let (reply, answer) = oneshot::channel();
        self.send(Command::FirstChunk {
            id,
            how,
            payload,
            reply,
        })?;
        answer.await.unwrap_or(Err(ChangeFailure::Lost))
    }

    /// Sends a later chunk, once there is room for it among all chunks in flight. Chunks that are
    /// sent one after the other arrive in this order; their answers can be awaited later.
    pub(super) async fn chunk(
        &self,
        shard: ShardNo,
        upload: Lsn,
        offset: u64,
        payload: Payload,
    ) -> Result<Sending, ChangeFailure> {
        let permit = Arc::clone(&self.0.chunk_permits).acquire_owned().await.ok();
        let (reply, answer) = oneshot::channel();
        self.send(Command::Chunk {
            shard,
            upload,
            offset,
            payload,
            reply,
        })?;
        Ok(Sending {
            answer,
            _permit: permit,
        })
    }

    /// Has an upload ended that will not be committed; at the latest within a second.
    pub(super) fn abandon(&self, shard: ShardNo, upload: Lsn) {
        self.0
            .abandoned
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((shard, upload));
    }

    /// Has the disk thread obey an answer. A full queue drops it: the next heartbeat brings it
    /// again.
    pub(crate) fn follow(&self, answer: HeartbeatAnswer) {
        if self.send(Command::Follow(Box::new(answer))).is_err() {
            tracing::debug!("an answer of the distributor waits for the next heartbeat");
        }
    }

    pub(super) fn stop(&self) {
        if self.0.commands.send(Command::Stop).is_err() {
            tracing::error!("the disk thread had ended before it was told to");
        }
    }

    fn send(&self, command: Command) -> Result<(), ChangeFailure> {
        match self.0.commands.try_send(command) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(ChangeFailure::Busy),
            Err(TrySendError::Disconnected(_)) => Err(ChangeFailure::NotLed),
        }
    }
}

/// A chunk on its way to the disk thread.
pub(super) struct Sending {
    answer: oneshot::Receiver<Result<Lsn, ChangeFailure>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Sending {
    /// Waits until the chunk is appended.
    pub(super) async fn appended(self) -> Result<(), ChangeFailure> {
        self.answer
            .await
            .unwrap_or(Err(ChangeFailure::Lost))
            .map(drop)
    }
}

/// What heartbeats tell of this process, beside its replicas.
pub struct Presence {
    state: Mutex<State>,
    lives: AtomicBool,
    /// Notified when there is something to tell at once.
    pub changed: Notify,
}

#[derive(Clone, Copy)]
struct State {
    cluster: Option<Uuid>,
    offer: Uuid,
    map_version: u64,
}

impl Presence {
    pub(super) fn new(cluster: Option<Uuid>, offer: Uuid) -> Self {
        let state = State {
            cluster,
            offer,
            map_version: 0,
        };
        Presence {
            state: Mutex::new(state),
            lives: AtomicBool::new(true),
            changed: Notify::new(),
        }
    }

    /// Whether the disk thread runs. When it has ended by a fault of ours, nothing but a new start
    /// of the process helps.
    pub fn lives(&self) -> bool {
        self.lives.load(Ordering::Relaxed)
    }

    pub(super) fn died(&self) {
        self.lives.store(false, Ordering::Relaxed);
    }

    /// The cluster that the node belongs to.
    pub fn cluster(&self) -> Option<Uuid> {
        self.lock().cluster
    }

    /// The replica UUID that it offers.
    pub fn offer(&self) -> Uuid {
        self.lock().offer
    }

    /// The version of the shard map that it has obeyed all of.
    pub fn map_version(&self) -> u64 {
        self.lock().map_version
    }

    pub(super) fn joined(&self, cluster: Uuid) {
        self.lock().cluster = Some(cluster);
    }

    pub(super) fn offers(&self, offer: Uuid) {
        self.lock().offer = offer;
    }

    pub(super) fn saw_map(&self, version: u64) {
        self.lock().map_version = version;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
