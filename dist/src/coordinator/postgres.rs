//! The coordinator in PostgreSQL: rows and the database's clock, no advisory locks.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::postgres::PgConnectOptions;
use sqlx::types::Json;
use uuid::Uuid;
use wire::shard::{Revision, ShardChanged, ShardRecord};

use super::{Coordinator, CoordinatorError, Term, check_order, unchanged};
use crate::catalog::{Line, QueryError, in_time};

const RECORDS: &str = "select record from shard_record order by shard";

const RECORD: &str = "select record from shard_record where shard = $1";

const MAKE: &str = "
    insert into shard_record (shard, lineage, version, record) values ($1, $2, $3, $4)
    on conflict do nothing";

const REPLACE: &str = "
    update shard_record set lineage = $2, version = $3, record = $4
     where shard = $1 and lineage = $5 and version = $6";

const CAMPAIGN: &str = "
    insert into controller as c (holder, term, expires_at)
    values ($1, 1, clock_timestamp() + $2 * interval '1 millisecond')
    on conflict (singleton) do update
       set holder = excluded.holder,
           term = c.term
                + case when c.holder = excluded.holder and c.expires_at > clock_timestamp()
                       then 0 else 1 end,
           expires_at = excluded.expires_at
     where c.holder = excluded.holder or c.expires_at <= clock_timestamp()
    returning term";

const RESIGN: &str = "update controller set expires_at = '-infinity' where holder = $1";

/// Shard records and the election as rows of the catalog's database.
pub(crate) struct PostgresCoordinator {
    line: Line,
}

impl PostgresCoordinator {
    pub(crate) fn new(options: PgConnectOptions) -> Self {
        PostgresCoordinator {
            line: Line::new(options),
        }
    }

    async fn read(&self) -> Result<Vec<ShardRecord>, CoordinatorError> {
        let mut held = self.line.hold().await?;
        let rows = sqlx::query_scalar::<_, Json<ShardRecord>>(RECORDS);
        let outcome = in_time(rows.fetch_all(held.connection())).await;
        Ok(held
            .settle(outcome)?
            .into_iter()
            .map(|Json(record)| record)
            .collect())
    }

    async fn compare_and_set(
        &self,
        expected: Revision,
        record: &ShardRecord,
    ) -> Result<ShardChanged, CoordinatorError> {
        check_order(expected, record)?;
        let shard = i32::from(record.shard.0);
        let is_new = expected == Revision::NONE;
        let (lineage, version) = (column(record.lineage)?, column(record.version)?);
        let before = (column(expected.lineage)?, column(expected.version)?);
        let mut held = self.line.hold().await?;
        let connection = held.connection();
        let outcome = in_time(async {
            let change = sqlx::query(if is_new { MAKE } else { REPLACE })
                .bind(shard)
                .bind(lineage)
                .bind(version)
                .bind(Json(record));
            let change = if is_new {
                change
            } else {
                change.bind(before.0).bind(before.1)
            };
            if change.execute(&mut *connection).await?.rows_affected() == 1 {
                return Ok((true, None));
            }
            let present = sqlx::query_scalar::<_, Json<ShardRecord>>(RECORD).bind(shard);
            Ok((false, present.fetch_optional(&mut *connection).await?))
        })
        .await;
        match held.settle(outcome)? {
            (true, _) => Ok(ShardChanged {
                changed: true,
                record: record.clone(),
            }),
            (false, present) => unchanged(present.map(|Json(record)| record), record),
        }
    }

    async fn take(
        &self,
        candidate: Uuid,
        lease: Duration,
    ) -> Result<Option<Term>, CoordinatorError> {
        let lease_ms = column(u64::try_from(lease.as_millis()).unwrap_or(u64::MAX))?;
        let mut held = self.line.hold().await?;
        let statement = sqlx::query_scalar::<_, i64>(CAMPAIGN)
            .bind(candidate)
            .bind(lease_ms);
        let outcome = in_time(statement.fetch_optional(held.connection())).await;
        Ok(held.settle(outcome)?.map(|term| Term {
            number: term.unsigned_abs(),
        }))
    }

    async fn give_back(&self, candidate: Uuid) -> Result<(), CoordinatorError> {
        let mut held = self.line.hold().await?;
        let statement = sqlx::query(RESIGN).bind(candidate);
        let outcome = in_time(statement.execute(held.connection())).await;
        held.settle(outcome)?;
        Ok(())
    }
}

impl Coordinator for PostgresCoordinator {
    fn records(&self) -> BoxFuture<'_, Result<Vec<ShardRecord>, CoordinatorError>> {
        self.read().boxed()
    }

    fn change<'a>(
        &'a self,
        expected: Revision,
        record: &'a ShardRecord,
    ) -> BoxFuture<'a, Result<ShardChanged, CoordinatorError>> {
        self.compare_and_set(expected, record).boxed()
    }

    fn campaign(
        &self,
        candidate: Uuid,
        lease: Duration,
    ) -> BoxFuture<'_, Result<Option<Term>, CoordinatorError>> {
        self.take(candidate, lease).boxed()
    }

    fn resign(&self, candidate: Uuid) -> BoxFuture<'_, Result<(), CoordinatorError>> {
        self.give_back(candidate).boxed()
    }
}

impl From<QueryError> for CoordinatorError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Unavailable(detail) | QueryError::Ended(detail) => {
                CoordinatorError::Unavailable(detail)
            }
            other => CoordinatorError::Failed(other.to_string()),
        }
    }
}

fn column(value: u64) -> Result<i64, CoordinatorError> {
    i64::try_from(value).map_err(|_| CoordinatorError::Failed(format!("{value} is beyond 2^63")))
}
