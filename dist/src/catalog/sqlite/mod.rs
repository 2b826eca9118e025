//! The catalog in SQLite, for exactly one distributor.

mod board;
mod follow;
mod history;
mod identity;
mod listing;
mod reading;
mod walk;
mod writer;

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rustix::fs::{FlockOperation, flock};
use sqlx::ConnectOptions;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use uuid::Uuid;
use wire::ContentId;
use wire::history::HistoryPoint;
use wire::listing::{ListingOutcome, ListingPart};

use super::error::{AdoptError, OpenError, QueryError, one_line};
use super::prefix::PAGE_TIME_MAX;
use super::unlistable::apply_all;
use super::{
    Board, Catalog, Connections, HistoryQuery, Identity, Listed, Order, PageQuery, Sample,
    ShardTotals, Sighting,
};

pub(crate) use writer::{Writer, name};

/// Connections for reading; in WAL mode they never wait for the writer.
const READERS_MAX: u32 = 4;

/// Connections for pages, which may be long: others never wait for them.
const PAGERS_MAX: u32 = 2;

/// How long a connection waits for another one's lock: only a person's `sqlite3` can hold one.
const BUSY_TIME_MAX: Duration = Duration::from_secs(5);

/// Pages in the write-ahead log before they are copied into the database: 32 MiB, so that a busy
/// listing pays for a copy every few seconds and not several times in each.
const CHECKPOINT_PAGES: &str = "8000";

/// Pages kept in memory by each connection, in KiB (negative by SQLite's convention): 64 MiB.
const CACHE_KIB: &str = "-65536";

/// The catalog in SQLite: one connection writes, a pool reads, and another one reads pages.
pub(super) struct SqliteCatalog {
    writer: Arc<Writer>,
    readers: SqlitePool,
    pagers: SqlitePool,
}

/// Takes the lock, opens or makes the file, and applies the migrations.
pub(super) async fn open(path: &Path) -> Result<(SqliteCatalog, Arc<Writer>), OpenError> {
    if path.as_os_str().is_empty() {
        return Err(OpenError::Url(
            "sqlite:// needs a path, like sqlite://data/catalog.db".into(),
        ));
    }
    let place = format!("sqlite://{}", path.display());
    let lock = lock(path)?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIME_MAX)
        .foreign_keys(true)
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        .pragma("cache_size", CACHE_KIB)
        .pragma("temp_store", "memory")
        .disable_statement_logging();
    let unreachable = |error: sqlx::Error| OpenError::Unreachable {
        place: place.clone(),
        detail: one_line(&error),
    };
    let migrating = SqlitePoolOptions::new()
        .max_connections(1)
        .connect_with(options.clone())
        .await
        .map_err(unreachable)?;
    sqlx::migrate!("../migrations/sqlite")
        .run(&migrating)
        .await
        .map_err(|error| OpenError::Migrate {
            place: place.clone(),
            detail: one_line(&error),
        })?;
    migrating.close().await;
    let connection = writer::connect(&options).await.map_err(unreachable)?;
    let reading = options.clone().read_only(true).create_if_missing(false);
    let readers = SqlitePoolOptions::new()
        .max_connections(READERS_MAX)
        .test_before_acquire(false)
        .connect_lazy_with(reading.clone());
    let pagers = SqlitePoolOptions::new()
        .max_connections(PAGERS_MAX)
        .acquire_timeout(PAGE_TIME_MAX)
        .test_before_acquire(false)
        .connect_with(reading)
        .await
        .map_err(unreachable)?;
    let writer = Arc::new(Writer::new(options, connection, lock));
    Ok((
        SqliteCatalog {
            writer: Arc::clone(&writer),
            readers,
            pagers,
        },
        writer,
    ))
}

/// Locks the file beside the database for as long as the result lives.
fn lock(path: &Path) -> Result<File, OpenError> {
    let mut lock_path = path.as_os_str().to_owned();
    lock_path.push(".lock");
    let lock_path = PathBuf::from(lock_path);
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        std::fs::create_dir_all(folder).map_err(|source| OpenError::File {
            path: folder.to_owned(),
            source,
        })?;
    }
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&lock_path)
        .map_err(|source| OpenError::File {
            path: lock_path.clone(),
            source,
        })?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::InUse(path.to_owned())),
        Err(error) => Err(OpenError::File {
            path: lock_path,
            source: error.into(),
        }),
    }
}

impl Catalog for SqliteCatalog {
    fn identify(&self, fresh: Uuid) -> BoxFuture<'_, Result<Identity, QueryError>> {
        self.read_identity(fresh).boxed()
    }

    fn adopt(&self, cluster: Uuid) -> BoxFuture<'_, Result<(), AdoptError>> {
        self.take_identity(cluster).boxed()
    }

    fn list<'a>(
        &'a self,
        parts: &'a [ListingPart],
    ) -> BoxFuture<'a, Result<Vec<ListingOutcome>, QueryError>> {
        apply_all(self, parts).boxed()
    }

    fn contents<'a>(
        &'a self,
        ids: &'a [ContentId],
    ) -> BoxFuture<'a, Result<Vec<Listed>, QueryError>> {
        self.read_contents(ids).boxed()
    }

    fn page<'a>(&'a self, query: &'a PageQuery) -> BoxFuture<'a, Result<Vec<Listed>, QueryError>> {
        self.read_page(query).boxed()
    }

    fn totals(&self) -> BoxFuture<'_, Result<Vec<ShardTotals>, QueryError>> {
        self.read_totals().boxed()
    }

    fn exchange<'a>(&'a self, heard: &'a [Sighting]) -> BoxFuture<'a, Result<Board, QueryError>> {
        self.exchange_sightings(heard).boxed()
    }

    fn order<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Result<(), QueryError>> {
        self.write_order(order).boxed()
    }

    fn record<'a>(&'a self, sample: &'a Sample) -> BoxFuture<'a, Result<(), QueryError>> {
        self.write_sample(sample).boxed()
    }

    fn forget(&self, now_s: u64) -> BoxFuture<'_, Result<(), QueryError>> {
        self.forget_before(now_s).boxed()
    }

    fn history<'a>(
        &'a self,
        query: &'a HistoryQuery,
    ) -> BoxFuture<'a, Result<Vec<HistoryPoint>, QueryError>> {
        self.read_history(query).boxed()
    }

    fn connections(&self) -> Connections {
        Connections::of(&self.readers)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {
            self.readers.close().await;
            self.pagers.close().await;
            self.writer.close().await;
        }
        .boxed()
    }
}
