//! The catalog in PostgreSQL.

mod board;
mod history;
mod identity;
mod instant;
mod line;
mod listing;
mod reading;
mod walk;

use std::str::FromStr;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Executor};
use uuid::Uuid;
use wire::ContentId;
use wire::history::HistoryPoint;
use wire::listing::{ListingOutcome, ListingPart};

use super::error::{AdoptError, OpenError, QueryError, one_line};
use super::unlistable::apply_all;
use super::{
    Board, Catalog, Connections, HistoryQuery, Identity, Listed, Order, PageQuery, Sample,
    ShardTotals, Sighting,
};

pub(crate) use line::{Line, in_time};

/// Connections for reading: enough that short queries do not wait for a long page.
const READERS_MAX: u32 = 8;

/// An index answers every question. A plan that was made while `content` was small would scan the whole
/// table until the next analyze. The server ends what takes too long: nobody waits for it any more.
const READER: &str = "set enable_seqscan = off; set statement_timeout = 4000";

/// How long a reader waits for a connection before the catalog counts as away.
const READER_WAIT_MAX: Duration = Duration::from_secs(2);

/// A connection that died while nobody used it fails faster than this.
const AT_ONCE: Duration = Duration::from_secs(1);

/// The catalog in PostgreSQL: one connection lists, one keeps the board, one the history, a pool
/// reads.
pub(super) struct PostgresCatalog {
    lister: Line,
    clerk: Line,
    historian: Line,
    readers: PgPool,
}

/// Reads a URL, connects, and applies the migrations.
pub(super) async fn open(url: &str) -> Result<(PostgresCatalog, PgConnectOptions), OpenError> {
    let options = PgConnectOptions::from_str(url)
        .map_err(|error| OpenError::Url(error.to_string()))?
        .application_name("acequia-dist")
        .disable_statement_logging();
    let place = place(&options);
    // Asked on a line first: a pool that cannot connect says only that it took too long.
    let line = Line::new(options.clone());
    line.hold().await.map_err(|error| OpenError::Unreachable {
        place: place.clone(),
        detail: bare(&error),
    })?;
    let readers = PgPoolOptions::new()
        .max_connections(READERS_MAX)
        .acquire_timeout(READER_WAIT_MAX)
        .test_before_acquire(false)
        .after_connect(|connection, _| {
            Box::pin(async { connection.execute(READER).await.map(|_| ()) })
        })
        .connect_lazy_with(options.clone());
    migrate(&options)
        .await
        .map_err(|error| OpenError::Migrate {
            place,
            detail: one_line(&error),
        })?;
    let catalog = PostgresCatalog {
        lister: Line::new(options.clone()),
        clerk: Line::new(options.clone()),
        historian: Line::new(options.clone()),
        readers,
    };
    Ok((catalog, options))
}

/// On a connection of its own: a migration may take longer than any question.
async fn migrate(options: &PgConnectOptions) -> Result<(), sqlx::migrate::MigrateError> {
    let migrating = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(READER_WAIT_MAX)
        .connect_lazy_with(options.clone());
    let migrated = sqlx::migrate!("../migrations/postgres")
        .run(&migrating)
        .await;
    migrating.close().await;
    migrated
}

/// Where the database is, without a password.
fn place(options: &PgConnectOptions) -> String {
    format!(
        "postgres://{}@{}:{}/{}",
        options.get_username(),
        options.get_host(),
        options.get_port(),
        options.get_database().unwrap_or("")
    )
}

/// The error without the words that the caller says himself.
fn bare(error: &QueryError) -> String {
    match error {
        QueryError::Unavailable(detail) => detail.clone(),
        other => other.to_string(),
    }
}

impl PostgresCatalog {
    /// Lists, and again on a new connection if the old one had died unnoticed.
    ///
    /// If it died in the middle and the parts were applied, the second call finds the catalog
    /// behind them, and says so.
    async fn list_surely(&self, parts: &[ListingPart]) -> Result<Vec<ListingOutcome>, QueryError> {
        let (reused, begun) = (self.lister.is_open().await, Instant::now());
        match apply_all(self, parts).await {
            Err(QueryError::Unavailable(detail)) if reused && begun.elapsed() < AT_ONCE => {
                tracing::debug!(detail, "again on a new connection");
                apply_all(self, parts).await
            }
            outcome => outcome,
        }
    }
}

impl Catalog for PostgresCatalog {
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
        self.list_surely(parts).boxed()
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
        self.readers.close().boxed()
    }
}
