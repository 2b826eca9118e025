//! Walks over a shard's live contents, for a catalog that cannot follow the shard's log.

use std::collections::BTreeSet;

use sqlx::Connection;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use wire::content::ContentRow;
use wire::listing::{ListingPart, ListingStep};
use wire::{ContentId, Epoch, Lsn, Position, ShardNo};

use super::QueryError;
use super::listing::{JsonRow, json, upsert_counted};
use super::writer::name;
use crate::catalog::listing::{from_column, marked_row, to_column};

const LOCK: &str = "
    insert into shard (id) values (?1)
    on conflict (id) do update set id = excluded.id
    returning listed_epoch, listed_lsn";

const FORGET: &str = "delete from live_walk where shard = ?1";

const BEGIN: &str = "insert into live_walk (shard, at_epoch, at_lsn) values (?1, ?2, ?3)";

const UNDER_WAY: &str =
    "select exists (select 1 from live_walk where shard = ?1 and at_epoch = ?2 and at_lsn = ?3)";

const COUNT_SEEN: &str = "select count(*) from live_walk_content where shard = ?1";

const SEEN: &str = "
    insert into live_walk_content (shard, id) select ?1, value from json_each(?2) where true
    on conflict do nothing";

const DROP_UNSEEN: &str = "
    delete from content
     where shard = ?1
       and not exists (select 1 from live_walk_content w where w.shard = ?1 and w.id = content.id)";

const MOVE: &str = "
    update shard
       set listed_epoch = ?2, listed_lsn = ?3,
           contents = (select count(*) from content where shard = ?1),
           bytes = (select coalesce(sum(size), 0) from content where shard = ?1)
     where id = ?1";

/// Applies a part that belongs to a walk; none for every other part.
pub(super) async fn walk(
    connection: &mut SqliteConnection,
    part: &ListingPart,
    marked: &BTreeSet<ContentId>,
) -> Result<Option<(bool, Position)>, QueryError> {
    let (after, at) = match &part.step {
        ListingStep::Ask | ListingStep::Follow { .. } => return Ok(None),
        ListingStep::Live { after, at, .. } | ListingStep::LiveEnd { after, at, .. } => {
            (*after, *at)
        }
    };
    let mut transaction = connection
        .begin_with("begin immediate")
        .await
        .map_err(|error| name(&error))?;
    let before = lock(&mut transaction, part.shard).await?;
    let mut walk = Walk {
        connection: &mut transaction,
        shard: part.shard,
        at: columns_of(at)?,
    };
    let (applied, listed) = match &part.step {
        _ if before != after => (false, before),
        ListingStep::Live { first, rows, .. } => (walk.show(*first, rows, marked).await?, before),
        ListingStep::LiveEnd { rows, .. } => {
            let ended = walk.end(*rows).await?;
            (ended, if ended { at } else { before })
        }
        ListingStep::Ask | ListingStep::Follow { .. } => (false, before),
    };
    transaction.commit().await.map_err(|error| name(&error))?;
    Ok(Some((applied, listed)))
}

async fn lock(connection: &mut SqliteConnection, shard: ShardNo) -> Result<Position, QueryError> {
    let (epoch, lsn): (i64, i64) = sqlx::query_as(LOCK)
        .bind(shard.0)
        .fetch_one(connection)
        .await
        .map_err(|error| name(&error))?;
    let epoch = Epoch(from_column(epoch, "listed_epoch")?);
    Ok(Position {
        epoch,
        lsn: Lsn(from_column(lsn, "listed_lsn")?),
    })
}

fn columns_of(at: Position) -> Result<(i64, i64), QueryError> {
    Ok((to_column(at.epoch.0, "epoch")?, to_column(at.lsn.0, "lsn")?))
}

/// One shard's walk, inside a transaction.
struct Walk<'a> {
    connection: &'a mut SqliteConnection,
    shard: ShardNo,
    at: (i64, i64),
}

impl Walk<'_> {
    async fn show(
        &mut self,
        first: bool,
        rows: &[ContentRow],
        marked: &BTreeSet<ContentId>,
    ) -> Result<bool, QueryError> {
        if first {
            self.run(sqlx::query(FORGET).bind(self.shard.0)).await?;
            let (epoch, lsn) = self.at;
            self.run(sqlx::query(BEGIN).bind(self.shard.0).bind(epoch).bind(lsn))
                .await?;
        } else if !self.under_way().await? {
            return Ok(false);
        }
        let shown: Vec<_> = rows.iter().map(|row| marked_row(row, marked)).collect();
        let rows: Vec<JsonRow<'_>> = shown
            .iter()
            .map(|(row, status)| JsonRow(row, *status))
            .collect();
        upsert_counted(self.connection, self.shard, &rows).await?;
        let ids: Vec<ContentId> = rows.iter().map(|JsonRow(row, _)| row.id).collect();
        self.run(sqlx::query(SEEN).bind(self.shard.0).bind(json(&ids)?))
            .await?;
        Ok(true)
    }

    async fn end(&mut self, rows: u64) -> Result<bool, QueryError> {
        if !self.under_way().await?
            || self.number(sqlx::query_scalar(COUNT_SEEN)).await? != to_column(rows, "rows")?
        {
            return Ok(false);
        }
        self.run(sqlx::query(DROP_UNSEEN).bind(self.shard.0))
            .await?;
        let (epoch, lsn) = self.at;
        self.run(sqlx::query(MOVE).bind(self.shard.0).bind(epoch).bind(lsn))
            .await?;
        self.run(sqlx::query(FORGET).bind(self.shard.0)).await?;
        Ok(true)
    }

    async fn under_way(&mut self) -> Result<bool, QueryError> {
        let (epoch, lsn) = self.at;
        sqlx::query_scalar(UNDER_WAY)
            .bind(self.shard.0)
            .bind(epoch)
            .bind(lsn)
            .fetch_one(&mut *self.connection)
            .await
            .map_err(|error| name(&error))
    }

    async fn number(
        &mut self,
        query: sqlx::query::QueryScalar<'_, sqlx::Sqlite, i64, SqliteArguments>,
    ) -> Result<i64, QueryError> {
        query
            .bind(self.shard.0)
            .fetch_one(&mut *self.connection)
            .await
            .map_err(|error| name(&error))
    }

    async fn run(
        &mut self,
        query: sqlx::query::Query<'_, sqlx::Sqlite, SqliteArguments>,
    ) -> Result<(), QueryError> {
        query
            .execute(&mut *self.connection)
            .await
            .map(|_| ())
            .map_err(|error| name(&error))
    }
}
