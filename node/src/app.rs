//! A node from its configuration to its end.

mod reload;

use std::error::Error;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::dev::{Server, ServerHandle};
use actix_web::middleware::NormalizePath;
use actix_web::{App, HttpServer, web};
use service::access::{AccessError, Gate};
use service::address::{Door, ListenError, listen, reachable};
use service::current::Reloaded;
use store::disk::FileSystem;
use telemetry::Traces;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinHandle;
use uuid::Uuid;
use wire::limits::REFUSED_BODY_TIME_MAX;

use crate::config::Config;
use crate::driver::admission::Admission;
use crate::driver::{self, Driver};
use crate::gauges::{Gauges, Sampler};
use crate::http;
use crate::links::{self, Links};
use crate::lister::{self, Feed, Lister};
use crate::membership::data_dir::DataDir;
use crate::membership::distributors::NewError;
use crate::membership::duty::Me;
use crate::membership::heartbeat::{self, Addresses, Heartbeats, Map};
use crate::membership::register::{ASKED_MAX, Ask};
use crate::metrics::Metrics;
use crate::node::Node;
use crate::others::Others;
use crate::repair::{self, Repairs};
use crate::scrub::{self, Scrubs};
use reload::Changeable;

/// How long running requests may take to end when the node stops, in seconds. A container engine
/// kills what has not ended in ten.
const DRAIN_S: u64 = 5;

/// How long a node that stops goes on answering after nobody is sent here any more: distributors
/// tell each other within half a second, and who was sent here just before comes within as much.
const PARTING_TIME: Duration = Duration::from_millis(1_000);

/// How long an idle connection is kept; longer than the pause between a program's requests, and
/// than the usual minute of a proxy in front.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// Reads that wait for the disk at once, for each worker; a disk's queue holds no more.
const BLOCKING_THREADS_MAX: usize = 32;

/// Records that are read for other nodes' repairs at once: each is in memory whole, and may be
/// looked for in a whole segment.
const RECORD_READS_MAX: usize = 4;

/// Contents that are verified at once: as many as keep a disk busy, and leave it to others between.
const VERIFICATIONS_MAX: usize = 2;

/// Why a node did not start, on one line.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The keys do not fit the address.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Nobody could be told where this node is.
    #[error("{0} is no address that others could be told: an internal or public URL is needed")]
    NoUrl(SocketAddr),
    /// Traces cannot be exported.
    #[error(transparent)]
    Traces(#[from] telemetry::StartError),
    /// The data directory, or what is in it.
    #[error("{}", line(.0.as_ref()))]
    Open(#[source] Box<dyn Error + Send + Sync>),
}

/// A running node. Dropping it ends it without care; [`Running::stop`] ends it properly.
pub struct Running {
    url: String,
    door: Door,
    server: ServerHandle,
    serving: JoinHandle<std::io::Result<()>>,
    parts: Parts,
    changeable: Changeable,
}

/// Everything that runs beside the HTTP server, in the order in which it is stopped.
struct Parts {
    heartbeats: Heartbeats,
    care: Care,
    links: Links,
    driver: Driver,
    lister: Lister,
    sampler: Sampler,
    traces: Traces,
}

/// Looks after what is stored.
struct Care {
    scrubs: Scrubs,
    repairs: Repairs,
}

/// Starts a node. On return it accepts requests; it registers with a distributor as soon as one
/// answers.
///
/// # Errors
/// When the keys do not fit the address, the address or the data directory cannot be used.
pub async fn start(config: Config) -> Result<Running, StartError> {
    let gate = Gate::new(&config.access, config.bind)?;
    let (listener, bound) = listen(config.bind)?;
    let url = format!("http://{}", reachable(bound));
    let changeable = Changeable::new(&config, bound)?;
    let workers = config.workers;
    let traces = Traces::start(config.traces.as_ref(), "acequia-node", &config.name)?;
    let opened = tokio::task::spawn_blocking(move || open(config, gate, changeable, traces)).await;
    let Opened {
        node,
        parts,
        changeable,
    } = opened
        .map_err(|error| StartError::Open(error.into()))?
        .map_err(StartError::Open)?;
    let unusable = |reason| ListenError {
        address: bound,
        reason,
    };
    let door = Door::of(&listener).map_err(unusable)?;
    let server = serve(listener, workers, node).map_err(unusable)?;
    let handle = server.handle();
    let serving = tokio::spawn(server);
    tracing::info!(url, "serves");
    Ok(Running {
        url,
        door,
        server: handle,
        serving,
        parts,
        changeable,
    })
}

impl Running {
    /// The base URI that the node is bound to, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Takes over what may change while the node runs: the most that it may store, the rate of
    /// those who catch up, the distributors, the addresses that others are told.
    pub fn reload(&mut self, config: Config) -> Reloaded {
        let admission = self.parts.driver.handle().admission();
        self.changeable.reload(config, admission)
    }

    /// Lays leaderships down, lets the leaders that it follows go on without it, serves those who
    /// are on their way here, stops accepting, lets running requests end within seconds, syncs, gives
    /// a collector of traces what it does not have, and ends.
    pub async fn stop(self) {
        let Parts {
            heartbeats,
            care,
            links,
            driver,
            lister,
            sampler,
            traces,
        } = self.parts;
        let handle = driver.handle();
        handle.presence().part();
        let parted = tokio::time::Instant::now();
        handle.hand_over().await;
        handle.say_farewell().await;
        if handle.table().has_others() {
            tokio::time::sleep_until(parted + PARTING_TIME).await;
        }
        self.door.close().await;
        links.end();
        self.server.stop(true).await;
        match self.serving.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the HTTP server failed"),
            Err(error) => tracing::error!(%error, "the HTTP server did not end"),
        }
        let rest = tokio::task::spawn_blocking(move || {
            heartbeats.stop();
            care.scrubs.stop();
            care.repairs.stop();
            links.stop();
            driver.stop();
            lister.stop();
            drop(sampler);
        });
        if rest.await.is_err() {
            tracing::error!("the node did not end properly");
        }
        traces.stop().await;
        tracing::info!("ended");
    }
}

/// Where the node is, as others are told.
fn addresses(config: &Config, bound: SocketAddr) -> Result<Addresses, StartError> {
    let trimmed =
        |url: &Option<String>| url.as_ref().map(|url| url.trim_end_matches('/').to_owned());
    let (internal, public) = (trimmed(&config.internal_url), trimmed(&config.public_url));
    let told = (!bound.ip().is_unspecified()).then(|| format!("http://{}", reachable(bound)));
    let internal = internal.or(told).or_else(|| public.clone());
    let internal = internal.ok_or(StartError::NoUrl(bound))?;
    let public = public.unwrap_or_else(|| internal.clone());
    Ok(Addresses { internal, public })
}

/// A node that is open, without its HTTP server.
struct Opened {
    node: Node,
    parts: Parts,
    changeable: Changeable,
}

/// Opens the data directory and starts everything but the HTTP server.
fn open(
    config: Config,
    gate: Gate,
    changeable: Changeable,
    traces: Traces,
) -> Result<Opened, Box<dyn Error + Send + Sync>> {
    let dir = DataDir::open(&config.data_dir, &config.name)?;
    let me = Me {
        name: config.name.clone(),
        incarnation: Uuid::new_v4(),
    };
    let (sampler, gauges) = Sampler::start(&config.data_dir)?;
    let Engine {
        shared,
        driver,
        lister,
        asked,
    } = engine(&config, dir, me.clone(), gauges, &changeable)?;
    let links = Links::start(links::Parts {
        name: config.name.clone(),
        cluster_key: config.access.cluster_key.clone(),
        handle: shared.handle.clone(),
        map: shared.map.clone(),
        pace: Arc::clone(&changeable.pace),
        metrics: Arc::clone(&shared.metrics),
    })?;
    let care = care(&config, &shared)?;
    let others = others(&config, &shared)?;
    let heartbeats = Heartbeats::start(heartbeat::Parts {
        me,
        addresses: changeable.addresses.clone(),
        distributors: changeable.distributors.clone(),
        cluster_key: config.access.cluster_key,
        handle: shared.handle.clone(),
        map: shared.map.clone(),
        asked,
    })?;
    let node = Node {
        name: config.name,
        access: gate,
        cors_origins: changeable.cors_origins.clone(),
        handle: shared.handle,
        links: links.acceptor(),
        scrubs: care.scrubs.view(),
        others,
        record_reads: Semaphore::new(RECORD_READS_MAX),
        verifications: Semaphore::new(VERIFICATIONS_MAX),
        map: shared.map,
        metrics: shared.metrics,
        traces: traces.clone(),
        gauges: shared.gauges,
        started: Instant::now(),
    };
    Ok(Opened {
        node,
        parts: Parts {
            heartbeats,
            care,
            links,
            driver,
            lister,
            sampler,
            traces,
        },
        changeable,
    })
}

/// What several parts of the node share.
struct Shared {
    handle: driver::Handle,
    map: Map,
    metrics: Arc<Metrics>,
    gauges: Gauges,
}

/// The logs, and what brings their changes to the catalog.
struct Engine {
    shared: Shared,
    driver: Driver,
    lister: Lister,
    asked: Receiver<Ask>,
}

fn engine(
    config: &Config,
    dir: DataDir,
    me: Me,
    gauges: Gauges,
    changeable: &Changeable,
) -> Result<Engine, Box<dyn Error + Send + Sync>> {
    let metrics = Arc::new(Metrics::default());
    let feed = Arc::new(Feed::default());
    let (register, asked) = tokio::sync::mpsc::channel(ASKED_MAX);
    let driver = Driver::start(driver::Parts {
        me,
        dir,
        disk: Arc::new(FileSystem),
        admission: Arc::new(Admission::new(config.max_storage, gauges.clone())),
        feed: Arc::clone(&feed),
        metrics: Arc::clone(&metrics),
        register,
    })?;
    let lister = Lister::start(lister::Parts {
        node: config.name.clone(),
        feed,
        distributors: changeable.distributors.clone(),
        cluster_key: config.access.cluster_key.clone(),
        metrics: Arc::clone(&metrics),
    })?;
    let shared = Shared {
        handle: driver.handle().clone(),
        map: Map::default(),
        metrics,
        gauges,
    };
    Ok(Engine {
        shared,
        driver,
        lister,
        asked,
    })
}

fn care(config: &Config, shared: &Shared) -> Result<Care, Box<dyn Error + Send + Sync>> {
    let hints = repair::Hints::default();
    let repairs = Repairs::start(repair::Parts {
        name: config.name.clone(),
        cluster_key: config.access.cluster_key.clone(),
        handle: shared.handle.clone(),
        map: shared.map.clone(),
        hints: hints.clone(),
        metrics: Arc::clone(&shared.metrics),
    })?;
    let scrubs = Scrubs::start(scrub::Parts {
        data_dir: config.data_dir.clone(),
        handle: shared.handle.clone(),
        hints,
        metrics: Arc::clone(&shared.metrics),
    })?;
    Ok(Care { scrubs, repairs })
}

fn others(config: &Config, shared: &Shared) -> Result<Others, NewError> {
    let key = config.access.cluster_key.as_deref();
    Others::new(config.name.clone(), shared.map.clone(), key)
}

fn serve(listener: TcpListener, workers: usize, node: Node) -> std::io::Result<Server> {
    let node = web::Data::new(node);
    let app = move || {
        App::new()
            .app_data(web::Data::clone(&node))
            .wrap(NormalizePath::trim())
            .service(http::service())
    };
    Ok(HttpServer::new(app)
        .workers(workers)
        .disable_signals()
        .keep_alive(KEEP_ALIVE)
        .tcp_nodelay(true)
        .client_disconnect_timeout(REFUSED_BODY_TIME_MAX)
        .worker_max_blocking_threads(BLOCKING_THREADS_MAX)
        .shutdown_timeout(DRAIN_S)
        .listen(listener)?
        .run())
}

/// An error and its causes on one line.
fn line(error: &(dyn Error + Send + Sync)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use service::access::Access;

    pub(super) fn config(bind: &str) -> Config {
        Config {
            name: "node1".parse().expect("a name"),
            bind: bind.parse().expect("an address"),
            internal_url: None,
            public_url: None,
            data_dir: "unused".into(),
            max_storage: None,
            catch_up_rate: None,
            distributors: Vec::new(),
            access: Access::default(),
            cors_origins: Vec::new(),
            workers: 1,
            traces: None,
        }
    }

    // If this fails, clients are sent to addresses where nobody is.
    #[test]
    fn others_are_told_where_the_node_can_be_reached() {
        let bound: SocketAddr = "127.0.0.1:9".parse().expect("an address");
        let told = addresses(&config("127.0.0.1:0"), bound).expect("is reachable");
        assert_eq!(
            (&*told.internal, &*told.public),
            ("http://127.0.0.1:9", "http://127.0.0.1:9")
        );

        let everywhere: SocketAddr = "0.0.0.0:9".parse().expect("an address");
        assert!(addresses(&config("0.0.0.0:0"), everywhere).is_err());
        let public = Some("https://files.example/".to_owned());
        let named = Config {
            public_url: public,
            ..config("0.0.0.0:0")
        };
        let told = addresses(&named, everywhere).expect("is named");
        assert_eq!(told.internal, "https://files.example");
    }

    // If this fails, a failed start says nothing of why.
    #[tokio::test]
    async fn a_failed_start_is_one_line_with_its_cause() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = taken.local_addr().expect("has one").to_string();
        let error = start(config(&address))
            .await
            .err()
            .expect("is taken")
            .to_string();
        assert!(
            error.starts_with(&format!("cannot listen on {address}: ")),
            "{error}"
        );

        let file = tempfile::NamedTempFile::new().expect("a file");
        let blocked = Config {
            data_dir: file.path().join("x"),
            ..config("127.0.0.1:0")
        };
        let error = start(blocked)
            .await
            .err()
            .expect("cannot be made")
            .to_string();
        assert!(
            error.contains("cannot use") && error.contains("os error"),
            "{error}"
        );
        assert_eq!(error.lines().count(), 1);
    }
}
