//! The coordinator in SQLite, where the one distributor always wins, by the same rules.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use sqlx::types::Json;
use uuid::Uuid;
use wire::shard::{Revision, ShardChanged, ShardRecord};

use super::{Coordinator, CoordinatorError, Term, check_order, unchanged};
use crate::catalog::{SqliteWriter, name_sqlite_error};

const RECORDS: &str = "select record from shard_record order by shard";

const RECORD: &str = "select record from shard_record where shard = ?1";

const MAKE: &str = "
    insert into shard_record (shard, lineage, version, record) values (?1, ?2, ?3, ?4)
    on conflict do nothing";

const REPLACE: &str = "
    update shard_record set lineage = ?2, version = ?3, record = ?4
     where shard = ?1 and lineage = ?5 and version = ?6";

const CAMPAIGN: &str = "
    insert into controller as c (singleton, holder, term, expires_at)
    values (1, ?1, 1, strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '+' || ?2 || ' seconds'))
    on conflict (singleton) do update
       set holder = excluded.holder,
           term = c.term
                + case when c.holder = excluded.holder
                            and c.expires_at > strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
                       then 0 else 1 end,
           expires_at = excluded.expires_at
     where c.holder = excluded.holder
        or c.expires_at <= strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
    returning term";

const RESIGN: &str = "update controller set expires_at = '' where holder = ?1";

/// Shard records and the election as rows of the catalog's database.
pub(crate) struct SqliteCoordinator {
    writer: Arc<SqliteWriter>,
}

impl SqliteCoordinator {
    pub(crate) fn new(writer: Arc<SqliteWriter>) -> Self {
        SqliteCoordinator { writer }
    }

    async fn read(&self) -> Result<Vec<ShardRecord>, CoordinatorError> {
        let mut writer = self.writer.hold().await?;
        let records = sqlx::query_scalar::<_, Json<ShardRecord>>(RECORDS).fetch_all(&mut *writer);
        Ok(records
            .await
            .map_err(failed)?
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
        let mut writer = self.writer.hold().await?;
        match change(&mut writer, expected, record)
            .await
            .map_err(failed)?
        {
            (true, _) => Ok(ShardChanged {
                changed: true,
                record: record.clone(),
            }),
            (false, present) => unchanged(present, record),
        }
    }

    async fn take(
        &self,
        candidate: Uuid,
        lease: Duration,
    ) -> Result<Option<Term>, CoordinatorError> {
        let mut writer = self.writer.hold().await?;
        let term: Option<i64> = sqlx::query_scalar(CAMPAIGN)
            .bind(candidate.to_string())
            .bind(lease.as_secs_f64())
            .fetch_optional(&mut *writer)
            .await
            .map_err(failed)?;
        Ok(term.map(|term| Term {
            number: term.unsigned_abs(),
        }))
    }

    async fn give_back(&self, candidate: Uuid) -> Result<(), CoordinatorError> {
        let mut writer = self.writer.hold().await?;
        let done = sqlx::query(RESIGN)
            .bind(candidate.to_string())
            .execute(&mut *writer)
            .await;
        done.map(|_| ()).map_err(failed)
    }
}

async fn change(
    connection: &mut SqliteConnection,
    expected: Revision,
    record: &ShardRecord,
) -> Result<(bool, Option<ShardRecord>), sqlx::Error> {
    let mut transaction = connection.begin_with("begin immediate").await?;
    let is_new = expected == Revision::NONE;
    let change = sqlx::query(if is_new { MAKE } else { REPLACE })
        .bind(record.shard.0)
        .bind(record.lineage.cast_signed())
        .bind(record.version.cast_signed())
        .bind(Json(record));
    let change = if is_new {
        change
    } else {
        let Revision { lineage, version } = expected;
        change
            .bind(lineage.cast_signed())
            .bind(version.cast_signed())
    };
    let changed = change.execute(&mut *transaction).await?.rows_affected() == 1;
    let present = sqlx::query_scalar::<_, Json<ShardRecord>>(RECORD)
        .bind(record.shard.0)
        .fetch_optional(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok((changed, present.map(|Json(record)| record)))
}

fn failed(error: sqlx::Error) -> CoordinatorError {
    name_sqlite_error(&error).into()
}

impl Coordinator for SqliteCoordinator {
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
