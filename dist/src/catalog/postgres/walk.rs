//! Walks over a shard's live contents, for a catalog that cannot follow the shard's log.

use std::collections::BTreeSet;

use sqlx::postgres::PgConnection;
use sqlx::{Acquire, Row};
use wire::content::ContentRow;
use wire::listing::{ListingPart, ListingStep};
use wire::{ContentId, Epoch, Lsn, Position, ShardNo};

use super::line::{LISTING_TIME_MAX, within};
use super::listing::Columns;
use super::{PostgresCatalog, QueryError};
use crate::catalog::listing::{from_column, marked_row, to_column};

const LOCK: &str = "
    insert into shard (id) values ($1)
    on conflict (id) do update set id = excluded.id
    returning listed_epoch, listed_lsn";

const FORGET: &str = "delete from live_walk where shard = $1";

const BEGIN: &str = "insert into live_walk (shard, at_epoch, at_lsn) values ($1, $2, $3)";

const UNDER_WAY: &str =
    "select exists (select 1 from live_walk where shard = $1 and at_epoch = $2 and at_lsn = $3)";

const COUNT_SEEN: &str = "select count(*) from live_walk_content where shard = $1";

const GROW: &str = "update shard set contents = contents + $2, bytes = bytes + $3 where id = $1";

const SEEN: &str = "
    insert into live_walk_content (shard, id) select $1, unnest($2::uuid[]) on conflict do nothing";

const DROP_UNSEEN: &str = "
    delete from content c
     where c.shard = $1
       and not exists (select 1 from live_walk_content w where w.shard = c.shard and w.id = c.id)";

const MOVE: &str = "update shard set listed_epoch = $2, listed_lsn = $3 where id = $1";

const COUNT: &str = "
    update shard s
       set contents = t.contents, bytes = t.bytes
      from (select count(*) as contents, coalesce(sum(size), 0)::bigint as bytes
              from content where shard = $1) t
     where s.id = $1";

impl PostgresCatalog {
    /// Applies a part that belongs to a walk; none for every other part.
    pub(super) async fn walk(
        &self,
        part: &ListingPart,
        marked: &BTreeSet<ContentId>,
    ) -> Result<Option<(bool, Position)>, QueryError> {
        let step = match &part.step {
            ListingStep::Ask | ListingStep::Follow { .. } => return Ok(None),
            ListingStep::Live {
                after,
                at,
                first,
                rows,
            } => Step::Show {
                after: *after,
                at: *at,
                first: *first,
                rows: rows.as_slice(),
            },
            ListingStep::LiveEnd { after, at, rows } => Step::End {
                after: *after,
                at: *at,
                rows: *rows,
            },
        };
        let shard = i32::from(part.shard.0);
        let shown: Vec<_> = step
            .rows()
            .iter()
            .map(|row| marked_row(row, marked))
            .collect();
        let mut columns = Columns::default();
        for (row, status) in &shown {
            columns.push(row, *status)?;
        }
        let (after, at) = (columns_of(step.after())?, columns_of(step.at())?);
        let mut held = self.lister.hold().await?;
        let connection = held.connection();
        let outcome = within(LISTING_TIME_MAX, async {
            let mut transaction = connection.begin().await?;
            let before = lock(&mut transaction, shard).await?;
            let applied = match step {
                _ if before != after => false,
                Step::Show { first, .. } => {
                    show(&mut transaction, shard, at, first, &columns).await?
                }
                Step::End { rows, .. } => end(&mut transaction, shard, at, rows).await?,
            };
            transaction.commit().await?;
            let moved = applied && matches!(step, Step::End { .. });
            Ok((applied, if moved { at } else { before }))
        })
        .await;
        let (applied, (epoch, lsn)) = held.settle(outcome)?;
        let epoch = Epoch(from_column(epoch, "listed_epoch")?);
        let listed = Position {
            epoch,
            lsn: Lsn(from_column(lsn, "listed_lsn")?),
        };
        tracing::debug!(shard = %ShardNo(part.shard.0), applied, %listed, "walk over live contents");
        Ok(Some((applied, listed)))
    }
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Show {
        after: Position,
        at: Position,
        first: bool,
        rows: &'a [ContentRow],
    },
    End {
        after: Position,
        at: Position,
        rows: u64,
    },
}

fn columns_of(at: Position) -> Result<(i64, i64), QueryError> {
    Ok((to_column(at.epoch.0, "epoch")?, to_column(at.lsn.0, "lsn")?))
}

impl<'a> Step<'a> {
    fn after(&self) -> Position {
        match self {
            Step::Show { after, .. } | Step::End { after, .. } => *after,
        }
    }

    fn at(&self) -> Position {
        match self {
            Step::Show { at, .. } | Step::End { at, .. } => *at,
        }
    }

    fn rows(&self) -> &'a [ContentRow] {
        match self {
            Step::Show { rows, .. } => rows,
            Step::End { .. } => &[],
        }
    }
}

async fn lock(connection: &mut PgConnection, shard: i32) -> Result<(i64, i64), sqlx::Error> {
    let row = sqlx::query(LOCK).bind(shard).fetch_one(connection).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

async fn under_way(
    connection: &mut PgConnection,
    shard: i32,
    at: (i64, i64),
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(UNDER_WAY)
        .bind(shard)
        .bind(at.0)
        .bind(at.1)
        .fetch_one(connection)
        .await
}

async fn show(
    connection: &mut PgConnection,
    shard: i32,
    at: (i64, i64),
    first: bool,
    columns: &Columns<'_>,
) -> Result<bool, sqlx::Error> {
    if first {
        sqlx::query(FORGET)
            .bind(shard)
            .execute(&mut *connection)
            .await?;
        sqlx::query(BEGIN)
            .bind(shard)
            .bind(at.0)
            .bind(at.1)
            .execute(&mut *connection)
            .await?;
    } else if !under_way(connection, shard, at).await? {
        return Ok(false);
    }
    let (contents, bytes) = columns.insert(connection).await?;
    sqlx::query(GROW)
        .bind(shard)
        .bind(contents)
        .bind(bytes)
        .execute(&mut *connection)
        .await?;
    sqlx::query(SEEN)
        .bind(shard)
        .bind(columns.ids())
        .execute(&mut *connection)
        .await?;
    Ok(true)
}

async fn end(
    connection: &mut PgConnection,
    shard: i32,
    at: (i64, i64),
    rows: u64,
) -> Result<bool, sqlx::Error> {
    if !under_way(connection, shard, at).await? {
        return Ok(false);
    }
    let seen: i64 = sqlx::query_scalar(COUNT_SEEN)
        .bind(shard)
        .fetch_one(&mut *connection)
        .await?;
    if i64::try_from(rows) != Ok(seen) {
        return Ok(false);
    }
    sqlx::query(DROP_UNSEEN)
        .bind(shard)
        .execute(&mut *connection)
        .await?;
    sqlx::query(COUNT)
        .bind(shard)
        .execute(&mut *connection)
        .await?;
    sqlx::query(MOVE)
        .bind(shard)
        .bind(at.0)
        .bind(at.1)
        .execute(&mut *connection)
        .await?;
    sqlx::query(FORGET)
        .bind(shard)
        .execute(&mut *connection)
        .await?;
    Ok(true)
}
