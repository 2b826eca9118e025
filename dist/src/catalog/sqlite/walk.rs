//! Walks over a shard's live contents, for a catalog that cannot follow the shard's log.
//!
//! In batches, as in PostgreSQL: between them others write, such as who keeps the office.

use std::collections::BTreeSet;

use sqlx::Connection;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use wire::content::ContentRow;
use wire::listing::{ListingPart, ListingStep};
use wire::{ContentId, Epoch, Lsn, Position, ShardNo};

use super::QueryError;
use super::listing::{JsonRow, json, upsert_counted};
use super::writer::{Writer, name};
use crate::catalog::listing::{Progress, SWEEP_ROWS, from_column, marked_row, to_column};

const LOCK: &str = "
    insert into shard (id) values (?1)
    on conflict (id) do update set id = excluded.id
    returning listed_epoch, listed_lsn";

const FORGET: &str = "delete from live_walk where shard = ?1";

/// A walk that is forgotten by and by has no end any more.
const SPOIL: &str = "update live_walk set seen = -1, swept = null where shard = ?1";

const FORGET_SOME: &str = "
    delete from live_walk_content
     where shard = ?1
       and id in (select id from live_walk_content where shard = ?1 order by id limit ?2)";

const BEGIN: &str = "insert into live_walk (shard, at_epoch, at_lsn) values (?1, ?2, ?3)";

const UNDER_WAY: &str =
    "select seen, swept from live_walk where shard = ?1 and at_epoch = ?2 and at_lsn = ?3";

const SHOW: &str = "
    insert into live_walk_content (shard, id) select ?1, value from json_each(?2) where true
    on conflict do nothing";

const SEEN: &str = "update live_walk set seen = seen + ?2 where shard = ?1";

/// The last one of the rows that a batch looks at, if it is full.
const BATCH: &str =
    "select id from content where shard = ?1 and id > ?2 order by id limit 1 offset ?3 - 1";

const SHRINK: &str = "
    update shard set contents = shard.contents - gone.contents, bytes = shard.bytes - gone.bytes
      from (select count(*) as contents, coalesce(sum(size), 0) as bytes
              from content
             where shard = ?1 and id > ?2 and id <= ?3
               and not exists (select 1 from live_walk_content w
                                where w.shard = ?1 and w.id = content.id)) gone
     where shard.id = ?1";

const DROP_UNSEEN: &str = "
    delete from content
     where shard = ?1 and id > ?2 and id <= ?3
       and not exists (select 1 from live_walk_content w where w.shard = ?1 and w.id = content.id)";

const SWEPT: &str = "update live_walk set swept = ?2 where shard = ?1";

const MOVE: &str = "update shard set listed_epoch = ?2, listed_lsn = ?3 where id = ?1";

/// An id of no content, which is greater than all that are.
const BEYOND_IDS: &str = "g";

/// What is done in one transaction.
enum Step<'a> {
    /// Some of what earlier walks showed is forgotten.
    Clear,
    /// The walk shows rows; at its beginning, nothing was seen before.
    Show {
        first: bool,
        rows: &'a [ContentRow],
        marked: &'a BTreeSet<ContentId>,
    },
    /// Some rows are looked at, and dropped if the walk did not show them; after the last ones the position
    /// moves.
    Sweep { rows: i64 },
    /// The walk has ended: some of what it showed is forgotten.
    Forget,
}

/// Applies a part that belongs to a walk; none for every other part.
pub(super) async fn walk(
    writer: &Writer,
    part: &ListingPart,
    marked: &BTreeSet<ContentId>,
) -> Result<Option<(bool, Position)>, QueryError> {
    let shard = part.shard;
    match &part.step {
        ListingStep::Ask | ListingStep::Follow { .. } => Ok(None),
        ListingStep::Live {
            after,
            at,
            first,
            rows,
        } => {
            let way = (*after, *at);
            while *first && step(writer, shard, way, &Step::Clear).await?.0 == Progress::GoesOn {}
            let show = Step::Show {
                first: *first,
                rows,
                marked,
            };
            let (progress, before) = step(writer, shard, way, &show).await?;
            Ok(Some((progress == Progress::Done, before)))
        }
        ListingStep::LiveEnd { after, at, rows } => {
            let sweep = Step::Sweep {
                rows: to_column(*rows, "rows")?,
            };
            end(writer, shard, (*after, *at), &sweep).await.map(Some)
        }
    }
}

async fn end(
    writer: &Writer,
    shard: ShardNo,
    (after, at): (Position, Position),
    sweep: &Step<'_>,
) -> Result<(bool, Position), QueryError> {
    loop {
        match step(writer, shard, (after, at), sweep).await? {
            (Progress::GoesOn, _) => {}
            (Progress::Refused, before) => return Ok((false, before)),
            (Progress::Done, _) => break,
        }
    }
    while step(writer, shard, (at, at), &Step::Forget).await?.0 == Progress::GoesOn {}
    Ok((true, at))
}

/// One transaction, if the catalog stands at `after`. Gives back where it stood.
async fn step(
    writer: &Writer,
    shard: ShardNo,
    (after, at): (Position, Position),
    step: &Step<'_>,
) -> Result<(Progress, Position), QueryError> {
    let mut connection = writer.hold().await?;
    let mut transaction = connection
        .begin_with("begin immediate")
        .await
        .map_err(|error| name(&error))?;
    let before = lock(&mut transaction, shard).await?;
    let mut walk = Walk {
        connection: &mut transaction,
        shard,
        at: columns_of(at)?,
    };
    let progress = match step {
        _ if before != after => Progress::Refused,
        Step::Clear => walk.clear().await?,
        Step::Show {
            first,
            rows,
            marked,
        } => walk.show(*first, rows, marked).await?,
        Step::Sweep { rows } => walk.sweep(*rows).await?,
        Step::Forget => walk.forget().await?,
    };
    transaction.commit().await.map_err(|error| name(&error))?;
    Ok((progress, before))
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
    async fn clear(&mut self) -> Result<Progress, QueryError> {
        self.run(sqlx::query(SPOIL).bind(self.shard.0)).await?;
        self.forget_some().await
    }

    async fn forget_some(&mut self) -> Result<Progress, QueryError> {
        let some = sqlx::query(FORGET_SOME).bind(self.shard.0);
        let forgotten = self.run(some.bind(SWEEP_ROWS)).await?;
        Ok(match forgotten < SWEEP_ROWS.unsigned_abs() {
            true => Progress::Done,
            false => Progress::GoesOn,
        })
    }

    async fn show(
        &mut self,
        first: bool,
        rows: &[ContentRow],
        marked: &BTreeSet<ContentId>,
    ) -> Result<Progress, QueryError> {
        if first {
            self.run(sqlx::query(FORGET).bind(self.shard.0)).await?;
            let (epoch, lsn) = self.at;
            self.run(sqlx::query(BEGIN).bind(self.shard.0).bind(epoch).bind(lsn))
                .await?;
        } else if self.under_way().await?.is_none() {
            return Ok(Progress::Refused);
        }
        let shown: Vec<_> = rows.iter().map(|row| marked_row(row, marked)).collect();
        let rows: Vec<JsonRow<'_>> = shown
            .iter()
            .map(|(row, status)| JsonRow(row, *status))
            .collect();
        upsert_counted(self.connection, self.shard, &rows).await?;
        let ids: Vec<ContentId> = rows.iter().map(|JsonRow(row, _)| row.id).collect();
        let show = sqlx::query(SHOW).bind(self.shard.0).bind(json(&ids)?);
        let shown = to_column(self.run(show).await?, "seen")?;
        self.run(sqlx::query(SEEN).bind(self.shard.0).bind(shown))
            .await?;
        Ok(Progress::Done)
    }

    async fn sweep(&mut self, rows: i64) -> Result<Progress, QueryError> {
        let swept = match self.under_way().await? {
            Some((seen, swept)) if seen == rows => swept.unwrap_or_default(),
            _ => return Ok(Progress::Refused),
        };
        let last: Option<String> = sqlx::query_scalar(BATCH)
            .bind(self.shard.0)
            .bind(&swept)
            .bind(SWEEP_ROWS)
            .fetch_optional(&mut *self.connection)
            .await
            .map_err(|error| name(&error))?;
        let upto = last.as_deref().unwrap_or(BEYOND_IDS);
        for statement in [SHRINK, DROP_UNSEEN] {
            let query = sqlx::query(statement).bind(self.shard.0);
            self.run(query.bind(&swept).bind(upto)).await?;
        }
        if last.is_some() {
            self.run(sqlx::query(SWEPT).bind(self.shard.0).bind(upto))
                .await?;
            return Ok(Progress::GoesOn);
        }
        let (epoch, lsn) = self.at;
        self.run(sqlx::query(MOVE).bind(self.shard.0).bind(epoch).bind(lsn))
            .await?;
        Ok(Progress::Done)
    }

    async fn forget(&mut self) -> Result<Progress, QueryError> {
        if self.under_way().await?.is_none() {
            return Ok(Progress::Refused);
        }
        let progress = self.forget_some().await?;
        if progress == Progress::Done {
            self.run(sqlx::query(FORGET).bind(self.shard.0)).await?;
        }
        Ok(progress)
    }

    /// How many rows the walk has shown, and how far its end has looked; none if there is no such walk.
    async fn under_way(&mut self) -> Result<Option<(i64, Option<String>)>, QueryError> {
        let (epoch, lsn) = self.at;
        let walk = sqlx::query_as(UNDER_WAY).bind(self.shard.0);
        let walk = walk.bind(epoch).bind(lsn);
        let walk = walk.fetch_optional(&mut *self.connection).await;
        walk.map_err(|error| name(&error))
    }

    /// Runs a statement; gives back how many rows it changed.
    async fn run(
        &mut self,
        query: sqlx::query::Query<'_, sqlx::Sqlite, SqliteArguments>,
    ) -> Result<u64, QueryError> {
        let done = query.execute(&mut *self.connection).await;
        done.map(|done| done.rows_affected())
            .map_err(|error| name(&error))
    }
}
