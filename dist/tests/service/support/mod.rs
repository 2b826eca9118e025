//! What the tests of the distributor share: fresh databases of both kinds, and fresh paths in
//! ZooKeeper.

pub(crate) mod chaos_proxy;
pub(crate) mod fake_node;

use dist::catalog::{Database, open};
use dist::coordinator::{Coordinator, ZooKeeperAddress, open_zookeeper};
use pgtest::Postgres;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use uuid::Uuid;
use wire::content::ContentRow;
use wire::listing::{ListedOperation, ListingBatch, ListingOutcome, ListingPart, ListingStep};
use wire::{Checksum, ContentId, Epoch, Lsn, Position, ShardNo, Timestamp};
use zktest::ZooKeeper;

/// A fresh database, and what keeps it there.
pub(crate) struct Fresh {
    pub(crate) url: String,
    /// A fresh path, where the coordinator is not the database.
    pub(crate) coordinator: Option<ZooKeeperAddress>,
    _folder: Option<TempDir>,
}

impl Fresh {
    /// A SQLite file in a folder of its own.
    pub(crate) fn sqlite() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let url = format!("sqlite://{}", folder.path().join("catalog.db").display());
        Fresh {
            url,
            coordinator: None,
            _folder: Some(folder),
        }
    }

    /// The same with a path of the ZooKeeper that all tests share.
    pub(crate) fn zookeeper() -> Self {
        Fresh {
            coordinator: Some(fresh_path(ZooKeeper::shared())),
            ..Self::sqlite()
        }
    }

    /// A database of the server that all tests share.
    pub(crate) fn postgres() -> Self {
        let url = Postgres::shared()
            .fresh_database()
            .expect("a fresh database");
        Fresh {
            url,
            coordinator: None,
            _folder: None,
        }
    }

    /// A distributor before it.
    pub(crate) fn config(&self) -> dist::Config {
        dist::Config {
            coordinator: self.coordinator.clone(),
            ..config(&self.url)
        }
    }

    /// Opens it.
    pub(crate) async fn open(&self) -> Database {
        let mut database = open(&self.url).await.expect("the database opens");
        if let Some(address) = &self.coordinator {
            database.coordinator = coordinator(address, LEASE_MAX).await;
        }
        database
    }
}

/// No lease of a test that opens its own coordinator is longer.
const LEASE_MAX: Duration = Duration::from_secs(60);

/// The cluster that keeps its records in ZooKeeper where no distributor runs.
pub(crate) const CLUSTER: Uuid = Uuid::from_u128(7);

/// A path that nobody used yet.
pub(crate) fn fresh_path(zookeeper: &ZooKeeper) -> ZooKeeperAddress {
    let path = zookeeper.fresh_path();
    path.parse().expect("an address")
}

/// A coordinator for leases up to this length.
pub(crate) async fn coordinator(
    address: &ZooKeeperAddress,
    lease_max: Duration,
) -> Arc<dyn Coordinator> {
    let opened = open_zookeeper(address, lease_max, CLUSTER).await;
    opened.expect("the coordinator opens")
}

/// Runs each of the named suites, which take a [`Fresh`] database, on SQLite and on PostgreSQL.
#[macro_export]
macro_rules! on_both_databases {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::support::Fresh::sqlite()).await;
            })+
        }

        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::support::Fresh::postgres()).await;
            })+
        }
    };
}

/// Runs each of the named suites, which take a [`Fresh`] database, on every coordinator.
#[macro_export]
macro_rules! on_every_coordinator {
    ($($name:ident),+ $(,)?) => {
        $crate::on_both_databases!($($name),+);
        $crate::on_zookeeper!($($name),+);
    };
}

/// Runs each of the named suites on SQLite with the coordinator in ZooKeeper.
#[macro_export]
macro_rules! on_zookeeper {
    ($($name:ident),+ $(,)?) => {
        mod zookeeper {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::support::Fresh::zookeeper()).await;
            })+
        }
    };
}

/// A position.
pub(crate) fn at(epoch: u64, lsn: u64) -> Position {
    Position {
        epoch: Epoch(epoch),
        lsn: Lsn(lsn),
    }
}

/// A row of `shard` whose id is the `number`th.
pub(crate) fn row(shard: u16, number: u64) -> ContentRow {
    ContentRow {
        id: ContentId::mint(ShardNo(shard), 1_769_860_800_000 + number, number),
        filename: format!("file{number}.txt"),
        size: 10 + number,
        content_type: "text/plain".to_owned(),
        checksum: Checksum([7; 32]),
        version: 1,
        collection: None,
        attributes: None,
        created_date: Timestamp(1_769_860_800_123),
        updated_date: Timestamp(1_769_860_800_999),
    }
}

/// A part that follows a shard's log.
pub(crate) fn follow(
    shard: u16,
    after: Position,
    upto: Position,
    operations: Vec<ListedOperation>,
) -> ListingPart {
    ListingPart {
        shard: ShardNo(shard),
        step: ListingStep::Follow {
            after,
            upto,
            operations,
        },
    }
}

/// A part that inserts rows.
pub(crate) fn upserts(
    shard: u16,
    after: Position,
    upto: Position,
    rows: impl IntoIterator<Item = ContentRow>,
) -> ListingPart {
    follow(
        shard,
        after,
        upto,
        rows.into_iter().map(ListedOperation::Upsert).collect(),
    )
}

/// A part that asks.
pub(crate) fn ask(shard: u16) -> ListingPart {
    ListingPart {
        shard: ShardNo(shard),
        step: ListingStep::Ask,
    }
}

/// What an outcome says in short: applied, and where the catalog is.
pub(crate) fn brief(outcomes: &[ListingOutcome]) -> Vec<(u16, bool, Position)> {
    outcomes
        .iter()
        .map(|outcome| (outcome.shard.0, outcome.applied, outcome.listed))
        .collect()
}

/// A distributor that serves on a free port, and a client for it.
pub(crate) struct Service {
    pub(crate) running: Option<dist::Running>,
    url: String,
    client: reqwest::Client,
}

/// A session short enough that a test can wait for several.
pub(crate) const SESSION: Duration = Duration::from_millis(600);

/// A configuration on a free port of loopback.
pub(crate) fn config(database_url: &str) -> dist::Config {
    dist::Config {
        name: "dist".parse().expect("a name"),
        bind: "127.0.0.1:0".parse().expect("an address"),
        public_url: None,
        database_url: database_url.to_owned(),
        coordinator: None,
        copies: wire::Copies::ONE,
        access: dist::Access::default(),
        session: SESSION,
        poll: Duration::from_millis(50),
        workers: 2,
        traces: None,
    }
}

/// A port that was free a moment ago, for a service that keeps it over restarts; below the ephemeral
/// range, so that no outgoing connection takes it meanwhile.
pub(crate) fn free_port() -> u16 {
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let mut tried = (0..1_000).map(|_| rand::random_range(10_000..32_000));
    tried.find(is_free).expect("a free port")
}

impl Service {
    pub(crate) async fn start(config: dist::Config) -> Self {
        let running = dist::start(config).await.expect("the distributor starts");
        Service::of(running)
    }

    pub(crate) fn of(running: dist::Running) -> Self {
        let client = reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("a client");
        Service {
            url: running.url().to_owned(),
            running: Some(running),
            client,
        }
    }

    /// A client for a distributor that others started.
    pub(crate) fn at(url: &str) -> Self {
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        let client = reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("a client");
        Service {
            url: url.to_owned(),
            running: None,
            client,
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) async fn stop(mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = method.parse().expect("a method");
        self.client.request(method, format!("{}{path}", self.url))
    }

    pub(crate) fn post(&self, path: &str) -> reqwest::RequestBuilder {
        self.request("POST", path)
    }

    /// The status and the JSON of an answer.
    pub(crate) async fn ask(&self, method: &str, path: &str) -> (u16, Value) {
        answer(self.request(method, path)).await
    }

    /// The JSON of a GET that succeeds.
    pub(crate) async fn json(&self, path: &str) -> Value {
        let (status, body) = self.ask("GET", path).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// Lists parts as a node does.
    pub(crate) async fn list(&self, parts: Vec<ListingPart>) -> (u16, Value) {
        let batch = ListingBatch {
            node: "node1".parse().expect("a name"),
            parts,
        };
        answer(self.post("/content").json(&batch)).await
    }

    /// Waits until something holds.
    pub(crate) async fn until(&self, mut holds: impl AsyncFnMut() -> bool) {
        let wait = async {
            while !holds().await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait)
            .await
            .expect("it holds in time");
    }
}

/// Sends a request: its status and its JSON.
pub(crate) async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    (status, response.json().await.expect("JSON"))
}
