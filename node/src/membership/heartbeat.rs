//! Heartbeats, on a thread and a runtime of their own so that no load can hold them up.

use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use service::current::Current;
use tokio::sync::mpsc::Receiver;
use tokio::sync::watch;
use wire::limits::{SESSION_DEFAULT, SESSION_MAX};
use wire::membership::{Heartbeat, HeartbeatAnswer, ReplicaReport, ShardMap};
use wire::shard::{Revision, ShardRecord};
use wire::{Code, routes};

use super::distributors::{CallError, Distributors, NewError};
use super::duty::Me;
use super::register::{self, Ask};
use crate::clock;
use crate::driver::Handle;
use crate::driver::table::{ReplicaView, Standing};

/// Heartbeats of one session: five may be lost before a node counts as dead.
const PER_SESSION: u32 = 6;

/// Between two heartbeats, whatever a distributor says of sessions.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// An answer is waited for that long at least.
const DEADLINE_MIN: Duration = Duration::from_millis(100);

/// An answer that takes a third of a session is late enough to ask another distributor.
const DEADLINES_PER_SESSION: u32 = 3;

/// The shard map and when a distributor last confirmed it.
#[derive(Clone, Default)]
pub struct Map(Arc<RwLock<Confirmed>>);

/// A reading of [`Map`].
#[derive(Clone, Default)]
pub struct Confirmed {
    /// The map; empty before the first.
    pub map: Arc<ShardMap>,
    /// When a distributor last said that it is current.
    pub at: Option<Instant>,
}

impl Map {
    /// The map as it is now.
    pub fn read(&self) -> Confirmed {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How long ago the map was confirmed; none if it never was.
    pub fn age(&self) -> Option<Duration> {
        self.read().at.map(|at| at.elapsed())
    }

    /// A distributor said that its map is this one, or the last one still.
    pub(crate) fn confirm(&self, map: Option<&ShardMap>) {
        let mut confirmed = self.0.write().unwrap_or_else(PoisonError::into_inner);
        confirmed.at = Some(Instant::now());
        if let Some(map) = map {
            confirmed.map = Arc::new(map.clone());
        }
    }
}

/// Where a node is, as it tells others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Base URI for other services.
    pub internal: String,
    /// Base URI for clients.
    pub public: String,
}

/// What heartbeats are built from.
pub struct Parts {
    /// This node's name and process.
    pub me: Me,
    /// Where it is.
    pub addresses: Current<Addresses>,
    /// Base URIs of the distributors.
    pub distributors: Current<Vec<String>>,
    /// The key between services.
    pub cluster_key: Option<String>,
    /// The disk thread, which obeys the answers.
    pub handle: Handle,
    /// Where the answers' maps go.
    pub map: Map,
    /// What the disk thread asks the register.
    pub asked: Receiver<Ask>,
}

/// The running heartbeats.
pub struct Heartbeats {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

/// Why heartbeats could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartHeartbeatsError {
    /// No client for the distributors.
    #[error(transparent)]
    Distributors(#[from] NewError),
    /// No thread or runtime.
    #[error("cannot start a thread")]
    Thread(#[from] std::io::Error),
}

impl Heartbeats {
    /// Starts to send heartbeats, the first one at once.
    ///
    /// # Errors
    /// When a thread or its client cannot be had.
    pub fn start(parts: Parts) -> Result<Heartbeats, StartHeartbeatsError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let deadline = SESSION_DEFAULT / DEADLINES_PER_SESSION;
        let (urls, key) = (parts.distributors, parts.cluster_key.as_deref());
        let distributors = Arc::new(Distributors::new(urls, key, deadline)?);
        let (stop, stopped) = watch::channel(false);
        let register = register::answer(
            parts.asked,
            Arc::clone(&distributors),
            parts.handle.clone(),
            stopped.clone(),
        );
        let pulse = Pulse {
            me: parts.me,
            addresses: parts.addresses,
            handle: parts.handle,
            map: parts.map,
            distributors,
            pause: SESSION_DEFAULT / PER_SESSION,
            session_ms: None,
            send_records: true,
            trouble: None,
            has_parted: false,
        };
        let thread = std::thread::Builder::new()
            .name("node-heartbeat".to_owned())
            .spawn(move || {
                runtime.spawn(register);
                runtime.block_on(pulse.run(stopped));
            })?;
        Ok(Heartbeats { stop, thread })
    }

    /// Ends the heartbeats; one that is under way is given up. Blocks until then.
    pub fn stop(self) {
        self.stop.send_replace(true);
        if self.thread.join().is_err() {
            tracing::error!("the heartbeat thread panicked");
        }
    }
}

struct Pulse {
    me: Me,
    addresses: Current<Addresses>,
    handle: Handle,
    map: Map,
    distributors: Arc<Distributors>,
    pause: Duration,
    /// How long a node may be silent, as the disk thread was told.
    session_ms: Option<u64>,
    /// The next heartbeat carries the shard records.
    send_records: bool,
    /// What the log was last told of: once for each kind of trouble is enough.
    trouble: Option<Trouble>,
    /// Every distributor was told that this process is about to end.
    has_parted: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Stuck,
    Unreachable,
    WrongCluster,
    Refused,
}

impl Pulse {
    async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        while !*stopped.borrow() {
            let beat = self.beat();
            tokio::select! {
                () = beat => {}
                _ = stopped.changed() => return,
            }
            let presence = Arc::clone(self.handle.presence());
            tokio::select! {
                () = tokio::time::sleep(self.pause) => {}
                () = presence.changed.notified() => {}
                _ = stopped.changed() => return,
            }
        }
    }

    async fn beat(&mut self) {
        if self.handle.presence().is_stuck(clock::monotone_ms()) {
            self.report_trouble(Trouble::Stuck, &self.me.name.clone());
            return;
        }
        let heartbeat = self.heartbeat();
        let had_parted = std::mem::replace(&mut self.has_parted, heartbeat.parting);
        let name = self.me.name.clone();
        // Distributors tell each other too late that nobody should be sent here any more; and one that
        // starts at this moment hears it only when it is said again.
        if heartbeat.parting {
            let told = self
                .distributors
                .post_to_all(|base| routes::heartbeat(base, &name), &heartbeat);
            if let Err(error) = told.await {
                self.failed(&error);
            }
            if !had_parted {
                return;
            }
        }
        let result: Result<HeartbeatAnswer, CallError> = self
            .distributors
            .post(|base| routes::heartbeat(base, &name), &heartbeat)
            .await;
        match result {
            Ok(answer) => self.answered(answer),
            Err(error) => self.failed(&error),
        }
    }

    fn heartbeat(&self) -> Heartbeat {
        let presence = self.handle.presence();
        // The offer first: one that is used meanwhile is still told beside its replica, and never
        // is neither of the two.
        let offer = presence.offer();
        let replicas = self.handle.table().replicas();
        let addresses = self.addresses.get();
        Heartbeat {
            cluster: presence.cluster(),
            incarnation: self.me.incarnation,
            offer,
            internal_url: addresses.internal.clone(),
            public_url: addresses.public.clone(),
            replicas: replicas
                .values()
                .map(|view| report(view, self.send_records))
                .collect(),
            map_version: presence.map_version(),
            parting: presence.is_parting(),
            linked: Some(presence.linked()),
        }
    }

    fn answered(&mut self, answer: HeartbeatAnswer) {
        let cluster = self.handle.presence().cluster();
        if cluster.is_some_and(|cluster| cluster != answer.cluster) {
            self.report_trouble(Trouble::WrongCluster, &answer.cluster);
            return;
        }
        if self.trouble.take().is_some() {
            tracing::info!("the distributor answers again");
        }
        let session = Duration::from_millis(answer.session_ms);
        self.pause = (session / PER_SESSION).clamp(PAUSE_MIN, SESSION_MAX);
        self.distributors
            .set_deadline((session / DEADLINES_PER_SESSION).max(DEADLINE_MIN));
        self.send_records = answer.want_records;
        self.map.confirm(answer.map.as_ref());
        let session_ms = Some(answer.session_ms);
        let is_news = answer.map.is_some() || self.session_ms != session_ms;
        if (cluster.is_none() || is_news) && self.handle.follow(answer) {
            self.session_ms = session_ms;
        }
    }

    fn failed(&mut self, error: &CallError) {
        let trouble = match (error.code(), error) {
            (Some(Code::WrongCluster), _) => Trouble::WrongCluster,
            (_, CallError::Refused { .. }) => Trouble::Refused,
            _ => Trouble::Unreachable,
        };
        self.report_trouble(trouble, &error);
    }

    fn report_trouble(&mut self, trouble: Trouble, detail: &dyn std::fmt::Display) {
        if self.trouble.replace(trouble) == Some(trouble) {
            return;
        }
        match trouble {
            Trouble::Stuck => {
                tracing::error!(node = %detail, "the disk does not answer; others take over");
            }
            Trouble::Unreachable => {
                tracing::warn!(%detail, "no distributor answers; what is led is still served");
            }
            Trouble::WrongCluster => {
                tracing::error!(%detail, "the distributor is another cluster's; it is not obeyed");
            }
            Trouble::Refused => tracing::error!(%detail, "the distributor refuses this node"),
        }
    }
}

fn report(view: &ReplicaView, with_record: bool) -> ReplicaReport {
    let measures = view.gauge.measures();
    let space = measures.usage.space;
    let revision = view.record.as_ref().map(ShardRecord::revision);
    let revision = revision.unwrap_or(Revision::NONE);
    ReplicaReport {
        shard: view.shard,
        replica: view.replica,
        record_lineage: revision.lineage,
        record_version: revision.version,
        record_mark: view.record.as_ref().map(ShardRecord::mark),
        record: view.record.clone().filter(|_| with_record),
        end: measures.end,
        committed: measures.committed,
        bytes: space.log.saturating_sub(space.holes),
        contents: measures.usage.contents,
        damaged: measures.usage.damaged,
        halted: view.standing == Standing::Poisoned,
        complete: measures.complete,
        log: Some(view.log),
    }
}
