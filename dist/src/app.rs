//! The whole distributor: its parts put together, started and stopped.

mod board;
mod reload;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix_web::dev::ServerHandle;
use actix_web::middleware::{NormalizePath, from_fn};
use actix_web::{App, HttpServer, web};
use service::access::{AccessError, Gate};
use service::address::{Door, ListenError, listen, reachable};
use service::current::Current;
use telemetry::Traces;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;
use wire::limits::REFUSED_BODY_TIME_MAX;
use wire::{NodeName, Position, ShardNo};

use crate::catalog::{self, Catalog, Database, Identity, OpenError, Order, QueryError};
use crate::config::Config;
use crate::controller::{Controller, Policy};
use crate::coordinator::{Coordinator, CoordinatorError, ZooKeeperError, open_zookeeper};
use crate::history::Recorder;
use crate::http;
use crate::http::console::Live;
use crate::lister::Lister;
use crate::lookups::Lookups;
use crate::members::{Herald, Members, Poller};
use crate::metrics::Metrics;
use crate::peer::Peer;
use crate::setback::Setbacks;

/// The board is exchanged, the office kept and the register read so often in a session: one lost
/// round must not cost the office.
const TICKS_PER_SESSION: u32 = 6;

/// A node whose session just ended is silent for more than one by then.
const JUST_AFTER: Duration = Duration::from_millis(1);

/// Nodes speak twice a second; a client that lists page by page thinks longer.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// How long requests that are under way may take when the distributor is stopped.
const STOP_SECONDS_MAX: u64 = 2;

/// Why a distributor does not start. Displays as one line.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The keys do not suffice for the address.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The catalog cannot be opened.
    #[error(transparent)]
    Catalog(#[from] OpenError),
    /// The catalog was opened and then failed.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The coordinator failed.
    #[error(transparent)]
    Coordinator(#[from] CoordinatorError),
    /// ZooKeeper cannot be used as the coordinator.
    #[error(transparent)]
    ZooKeeper(#[from] ZooKeeperError),
    /// The address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The client for calls to nodes cannot be made.
    #[error("cannot make an HTTP client: {0}")]
    Client(String),
    /// Traces cannot be exported.
    #[error(transparent)]
    Traces(#[from] telemetry::StartError),
}

/// What every request and every task shares.
pub(crate) struct Shared {
    pub(crate) name: NodeName,
    pub(crate) public_url: Current<String>,
    pub(crate) session: Duration,
    pub(crate) poll: Duration,
    pub(crate) identity: Identity,
    pub(crate) gate: Gate,
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) coordinator: Arc<dyn Coordinator>,
    pub(crate) members: Arc<Members>,
    pub(crate) controller: Controller,
    pub(crate) lister: Lister,
    pub(crate) lookups: Lookups,
    pub(crate) poller: Poller,
    pub(crate) peer: Arc<Peer>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) traces: Traces,
    pub(crate) live: Live,
    /// Whether it is about to end.
    pub(crate) is_parting: AtomicBool,
    /// Whether the catalog answered, and was that of this cluster, when it was last asked.
    catalog_up: AtomicBool,
    /// Whether the coordinator answered when it was last asked.
    coordinator_up: AtomicBool,
    /// Nodes of other clusters: refused, and named in the log already.
    strangers: Mutex<HashSet<NodeName>>,
}

/// A distributor that serves.
pub struct Running {
    url: String,
    /// As it counts now.
    config: Config,
    shared: Arc<Shared>,
    door: Door,
    server: ServerHandle,
    serving: JoinHandle<std::io::Result<()>>,
    ticking: JoinHandle<()>,
}

/// Starts a distributor; returns when it accepts requests.
///
/// # Errors
/// When the keys do not suffice, the catalog or the coordinator does not answer, or the address is
/// taken.
pub async fn start(config: Config) -> Result<Running, StartError> {
    let gate = Gate::new(&config.access, config.bind)?;
    let database = catalog::open(&config.database_url).await?;
    let identity = database.catalog.identify(Uuid::new_v4()).await?;
    let database = coordinated(&config, database, identity.cluster).await?;
    start_on(config, gate, database, identity).await
}

/// Puts the coordinator that was chosen into the place of the database's own.
pub(crate) async fn coordinated(
    config: &Config,
    mut database: Database,
    cluster: Uuid,
) -> Result<Database, StartError> {
    if let Some(address) = &config.coordinator {
        database.coordinator = open_zookeeper(address, config.session, cluster).await?;
    }
    Ok(database)
}

/// Starts a distributor on a database that is open already.
pub(crate) async fn start_on(
    config: Config,
    gate: Gate,
    database: Database,
    identity: Identity,
) -> Result<Running, StartError> {
    let (listener, bound) = listen(config.bind)?;
    let url = format!("http://{}", reachable(bound));
    let workers = config.workers;
    let shared = Arc::new(Shared::new(&config, gate, database, identity, &url)?);
    if shared.exchange_once().await {
        shared.decide_once().await;
    }
    let begun = shared.positions().await?;
    let ticking = tokio::spawn(tick(Arc::clone(&shared), begun));
    let unusable = |reason| ListenError {
        address: bound,
        reason,
    };
    let door = Door::of(&listener).map_err(unusable)?;
    let server = serve(listener, workers, Arc::clone(&shared)).map_err(unusable)?;
    let handle = server.handle();
    let serving = tokio::spawn(server);
    tracing::info!(url, cluster = %identity.cluster, "the distributor serves");
    Ok(Running {
        url,
        config,
        shared,
        door,
        server: handle,
        serving,
        ticking,
    })
}

fn serve(
    listener: std::net::TcpListener,
    workers: usize,
    shared: Arc<Shared>,
) -> std::io::Result<actix_web::dev::Server> {
    let data = web::Data::from(shared);
    let app = move || {
        App::new()
            .wrap(from_fn(http::envelope))
            .wrap(NormalizePath::trim())
            .app_data(web::Data::clone(&data))
            .configure(http::routes)
    };
    let server = HttpServer::new(app)
        .workers(workers)
        .disable_signals()
        .keep_alive(KEEP_ALIVE)
        .tcp_nodelay(true)
        .client_disconnect_timeout(REFUSED_BODY_TIME_MAX)
        .shutdown_timeout(STOP_SECONDS_MAX)
        .listen(listener)?
        .run();
    Ok(server)
}

/// Ticks for ever. A coordinator that is not the catalog's database may be slow or away: the
/// exchange does not wait for it.
async fn tick(shared: Arc<Shared>, begun: BTreeMap<ShardNo, Position>) {
    let (exchanged, heard) = watch::channel(Instant::now());
    let cluster = shared.identity.cluster;
    let herald = Herald::new(
        Arc::clone(&shared.members),
        Arc::clone(&shared.peer),
        cluster,
    );
    let recorder = Recorder::new(Arc::clone(&shared.members), Arc::clone(&shared.catalog));
    tokio::join!(
        herald.run(),
        http::console::sample(&shared),
        recorder.run(|| shared.controller.in_office()),
        exchange(&shared, exchanged),
        shared.controller.watch_gathering(),
        decide(&shared, heard, &begun)
    );
}

/// A node whose session ends is looked at just then: its shards wait for that.
async fn exchange(shared: &Shared, exchanged: watch::Sender<Instant>) {
    let pause = shared.session / TICKS_PER_SESSION;
    loop {
        let begun = Instant::now();
        if shared.exchange_once().await {
            exchanged.send_replace(Instant::now());
        }
        let next = begun + pause;
        let silence = shared.members.next_silence(begun);
        let due = silence.map_or(next, |silence| next.min(silence + JUST_AFTER));
        tokio::time::sleep_until(due.into()).await;
    }
}

/// Decides after each exchange: without one, a node that speaks to another distributor would be
/// taken for a silent one. Looks whether the catalog of `begun` had gone back while no distributor
/// ran, and whether it goes back now.
async fn decide(
    shared: &Shared,
    mut exchanged: watch::Receiver<Instant>,
    begun: &BTreeMap<ShardNo, Position>,
) {
    let age_max = shared.session / TICKS_PER_SESSION;
    let mut setbacks = Setbacks::new(shared.session, begun.clone(), Instant::now());
    while exchanged.changed().await.is_ok() {
        if exchanged.borrow_and_update().elapsed() > age_max {
            continue;
        }
        shared.decide_once().await;
        if let Err(error) = shared.look_back(&mut setbacks).await {
            tracing::warn!(error, "positions are compared later");
        }
    }
}

impl Running {
    /// The base URI that it is bound to.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The cluster that its catalog belongs to.
    pub fn cluster(&self) -> Uuid {
        self.shared.identity.cluster
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Ends it: who is connected is answered, and told to come on another connection the next time;
    /// requests under way are answered within two seconds, the office is given back, and a collector
    /// of traces is given what it does not have.
    pub async fn stop(self) {
        self.ticking.abort();
        self.shared.is_parting.store(true, Ordering::Relaxed);
        self.shared.live.close();
        self.door.close().await;
        self.server.stop(true).await;
        match self.serving.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the server ended"),
            Err(error) => tracing::error!(%error, "the server's task"),
        }
        self.shared.controller.resign().await;
        self.shared.catalog.close().await;
        self.shared.traces.stop().await;
    }
}

impl Shared {
    fn new(
        config: &Config,
        gate: Gate,
        database: Database,
        identity: Identity,
        url: &str,
    ) -> Result<Self, StartError> {
        let peer =
            Peer::new(&config.access).map_err(|error| StartError::Client(error.to_string()))?;
        let (peer, metrics) = (Arc::new(peer), Arc::new(Metrics::new()));
        let members = Arc::new(Members::new(config.session));
        let Database {
            catalog,
            coordinator,
        } = database;
        let controller = Controller::new(
            Arc::clone(&coordinator),
            Arc::clone(&members),
            identity,
            (config.session, Policy::of(config.copies.get())),
            Arc::clone(&metrics),
        );
        Ok(Shared {
            name: config.name.clone(),
            public_url: Current::new(config.told(url)),
            session: config.session,
            poll: config.poll,
            identity,
            gate,
            controller,
            lister: Lister::new(Arc::clone(&catalog), Arc::clone(&metrics)),
            lookups: Lookups::new(Arc::clone(&catalog)),
            poller: Poller::new(Arc::clone(&members), Arc::clone(&peer), config.poll),
            catalog,
            coordinator,
            members,
            peer,
            metrics,
            traces: Traces::start(config.traces.as_ref(), "acequia-dist", &config.name)?,
            live: Live::default(),
            is_parting: AtomicBool::new(false),
            catalog_up: AtomicBool::new(true),
            coordinator_up: AtomicBool::new(true),
            strangers: Mutex::default(),
        })
    }

    /// Whether the catalog answered when it was last asked.
    pub(crate) fn catalog_up(&self) -> bool {
        self.catalog_up.load(Ordering::Relaxed)
    }

    /// A node's heartbeat was accepted: it belongs to this cluster.
    pub(crate) fn admit(&self, name: &NodeName) {
        let mut strangers = self
            .strangers
            .lock()
            .expect("no thread panics while it holds these");
        strangers.remove(name);
    }

    /// Whether a node may list: it was accepted, and not refused since. Without this an empty
    /// database in front of another cluster's nodes would be filled with half of it.
    pub(crate) fn may_list(&self, name: &NodeName) -> bool {
        let strangers = self
            .strangers
            .lock()
            .expect("no thread panics while it holds these");
        !strangers.contains(name) && self.members.knows(name)
    }

    /// Says once for each node what to do about it.
    pub(crate) fn warn_of_wrong_cluster(&self, name: &NodeName, its: Uuid) {
        let mut strangers = self
            .strangers
            .lock()
            .expect("no thread panics while it holds these");
        if strangers.insert(name.clone()) {
            tracing::error!(
                node = %name,
                "refused: it belongs to cluster {its}, this catalog to {}. If DATABASE_URL is \
                 right and the catalog was lost, stop this distributor and run \
                 `dist rebuild --adopt {its}` on an empty database",
                self.identity.cluster
            );
        }
    }

    /// Exchanges with the other distributors, by the catalog, what was heard of nodes. Says whether
    /// that went well.
    pub(crate) async fn exchange_once(&self) -> bool {
        let asked = Instant::now();
        let outcome = self.exchange().await;
        let up = outcome.is_ok();
        self.members.exchanged(up.then_some(asked));
        let was_up = self.catalog_up.swap(up, Ordering::Relaxed);
        match outcome {
            Ok(()) if !was_up => tracing::info!("the catalog answers again"),
            Err(error) if was_up => tracing::error!(error, "the catalog cannot be used"),
            _ => {}
        }
        self.metrics.catalog_up.set(i64::from(up));
        up
    }

    /// Whether every node that lives was heard, here or by another distributor that told of it.
    pub(crate) fn hears_all(&self) -> bool {
        self.members.listened(Instant::now()) >= self.session
    }

    /// The shards that wait for an operator. Before everyone was heard, nobody can tell.
    pub(crate) fn waiting_shards(&self) -> BTreeSet<ShardNo> {
        if self.hears_all() {
            self.controller.waiting_shards()
        } else {
            BTreeSet::new()
        }
    }

    /// Keeps or seeks the office, reads the register, and decides if in office.
    async fn decide_once(&self) {
        let outcome = self.controller.tick().await;
        let up = outcome.is_ok();
        let was_up = self.coordinator_up.swap(up, Ordering::Relaxed);
        match outcome {
            Ok(()) if !was_up => tracing::info!("the coordinator answers again"),
            Err(error) if was_up => tracing::error!(%error, "nothing is decided for now"),
            _ => {}
        }
        if self.members.is_rebalancing()
            && self.controller.is_balanced()
            && let Err(error) = self.catalog.order(Order::Settle).await
        {
            tracing::debug!(%error, "the order to rebalance is taken back later");
        }
    }

    /// The catalog's position in each shard.
    pub(crate) async fn positions(&self) -> Result<BTreeMap<ShardNo, Position>, QueryError> {
        let totals = self.catalog.totals().await?;
        Ok(totals
            .iter()
            .map(|each| (each.shard, each.listed))
            .collect())
    }

    /// Notices a catalog that went back, and has leaders that do not know of it begin new epochs, in
    /// which they ask.
    async fn look_back(&self, setbacks: &mut Setbacks) -> Result<(), String> {
        let asked = Instant::now();
        let comparing = setbacks.to_compare(asked).is_some() && self.controller.in_office();
        if !self.catalog_up() || !(comparing || setbacks.is_due(asked)) {
            return Ok(());
        }
        let now = self.positions().await.map_err(|error| error.to_string())?;
        if setbacks.read(now.clone(), asked) {
            self.lister.forget_heard();
            tracing::warn!("the catalog went back in time: leaders list what it lost");
        }
        let Some(before) = setbacks.to_compare(asked) else {
            return Ok(());
        };
        let renewed = self
            .controller
            .renew_behind(before, &now, &self.lister.heard())
            .await;
        if renewed.map_err(|error| error.to_string())? {
            setbacks.settle();
        }
        Ok(())
    }
}
