//! Walks over a shard's live contents, for a catalog that cannot follow the shard's log.
//!
//! A walk may be long, so nothing of it is one statement over all its rows: what it did not show is dropped
//! in batches, and so is what was remembered of it. Each batch finds where the last one ended in the
//! database, so an end that was cut off goes on when it is sent again.

use std::collections::BTreeSet;

use sqlx::postgres::PgConnection;
use sqlx::{Acquire, Row};
use uuid::Uuid;
use wire::listing::{ListingPart, ListingStep};
use wire::{ContentId, Epoch, Lsn, Position};

use super::line::{LISTING_TIME_MAX, within};
use super::listing::Columns;
use super::{PostgresCatalog, QueryError};
use crate::catalog::listing::{Progress, SWEEP_ROWS, from_column, marked_row, to_column};

const LOCK: &str = "
    insert into shard (id) values ($1)
    on conflict (id) do update set id = excluded.id
    returning listed_epoch, listed_lsn";

const FORGET: &str = "delete from live_walk where shard = $1";

/// A walk that is forgotten by and by has no end any more.
const SPOIL: &str = "update live_walk set seen = -1, swept = null where shard = $1";

const FORGET_SOME: &str = "
    delete from live_walk_content
     where shard = $1
       and id = any (array(select id from live_walk_content where shard = $1 order by id limit $2))";

const BEGIN: &str = "insert into live_walk (shard, at_epoch, at_lsn) values ($1, $2, $3)";

const UNDER_WAY: &str =
    "select seen, swept from live_walk where shard = $1 and at_epoch = $2 and at_lsn = $3";

const GROW: &str = "update shard set contents = contents + $2, bytes = bytes + $3 where id = $1";

const SEEN: &str = "
    with shown as (
        insert into live_walk_content (shard, id) select $1, unnest($2::uuid[])
        on conflict do nothing returning id
    )
    update live_walk set seen = seen + (select count(*) from shown) where shard = $1";

/// As in `list_follow`: a plan for a small table would scan all of a large one for each batch.
const PLAN: &str = "
    select set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
           set_config('enable_mergejoin', 'off', true)";

const SWEEP: &str = "
    with batch as materialized (
        select id from content where shard = $1 and id > $2 order by id limit $3
    ), gone as (
        delete from content c
         using batch b
         where c.id = b.id
           and not exists (select 1 from live_walk_content w where w.shard = $1 and w.id = b.id)
        returning c.size
    ), shrunk as (
        update shard
           set contents = contents - (select count(*) from gone),
               bytes = bytes - (select coalesce(sum(size), 0) from gone)::bigint
         where id = $1
    )
    select (select count(*) from batch), (select id from batch order by id desc limit 1)";

const SWEPT: &str = "update live_walk set swept = $2 where shard = $1";

const MOVE: &str = "update shard set listed_epoch = $2, listed_lsn = $3 where id = $1";

/// What is done in one transaction.
#[derive(Clone, Copy)]
enum Step {
    /// Some of what earlier walks showed is forgotten.
    Clear,
    /// The walk shows rows; at its beginning, nothing was seen before.
    Show { at: (i64, i64), first: bool },
    /// Some rows are looked at, and dropped if the walk did not show them; after the last ones the position
    /// moves.
    Sweep { at: (i64, i64), rows: i64 },
    /// The walk has ended: some of what it showed is forgotten.
    Forget { at: (i64, i64) },
}

impl PostgresCatalog {
    /// Applies a part that belongs to a walk; none for every other part.
    pub(super) async fn walk(
        &self,
        part: &ListingPart,
        marked: &BTreeSet<ContentId>,
    ) -> Result<Option<(bool, Position)>, QueryError> {
        let shard = i32::from(part.shard.0);
        let (applied, (epoch, lsn)) = match &part.step {
            ListingStep::Ask | ListingStep::Follow { .. } => return Ok(None),
            ListingStep::Live {
                after,
                at,
                first,
                rows,
            } => {
                let shown: Vec<_> = rows.iter().map(|row| marked_row(row, marked)).collect();
                let mut columns = Columns::default();
                for (row, status) in &shown {
                    columns.push(row, *status)?;
                }
                let (after, at) = (columns_of(*after)?, columns_of(*at)?);
                self.show(shard, (after, at), *first, &columns).await?
            }
            ListingStep::LiveEnd { after, at, rows } => {
                let (after, at) = (columns_of(*after)?, columns_of(*at)?);
                self.end(shard, (after, at), to_column(*rows, "rows")?)
                    .await?
            }
        };
        let epoch = Epoch(from_column(epoch, "listed_epoch")?);
        let listed = Position {
            epoch,
            lsn: Lsn(from_column(lsn, "listed_lsn")?),
        };
        tracing::debug!(shard = %part.shard, applied, %listed, "walk over live contents");
        Ok(Some((applied, listed)))
    }

    async fn show(
        &self,
        shard: i32,
        (after, at): ((i64, i64), (i64, i64)),
        first: bool,
        columns: &Columns<'_>,
    ) -> Result<(bool, (i64, i64)), QueryError> {
        let none = Columns::default();
        while first && self.step((shard, after), Step::Clear, &none).await?.0 == Progress::GoesOn {}
        let step = Step::Show { at, first };
        let (progress, before) = self.step((shard, after), step, columns).await?;
        Ok((progress == Progress::Done, before))
    }

    async fn end(
        &self,
        shard: i32,
        (after, at): ((i64, i64), (i64, i64)),
        rows: i64,
    ) -> Result<(bool, (i64, i64)), QueryError> {
        let none = Columns::default();
        let sweep = Step::Sweep { at, rows };
        loop {
            match self.step((shard, after), sweep, &none).await? {
                (Progress::GoesOn, _) => {}
                (Progress::Refused, before) => return Ok((false, before)),
                (Progress::Done, _) => break,
            }
        }
        let forget = Step::Forget { at };
        while self.step((shard, at), forget, &none).await?.0 == Progress::GoesOn {}
        Ok((true, at))
    }

    /// One transaction, if the catalog stands at `after`. Gives back where it stood.
    async fn step(
        &self,
        (shard, after): (i32, (i64, i64)),
        step: Step,
        columns: &Columns<'_>,
    ) -> Result<(Progress, (i64, i64)), QueryError> {
        let mut held = self.lister.hold().await?;
        let connection = held.connection();
        let outcome = within(LISTING_TIME_MAX, async {
            let mut transaction = connection.begin().await?;
            let before = lock(&mut transaction, shard).await?;
            let progress = match step {
                _ if before != after => Progress::Refused,
                Step::Clear => clear(&mut transaction, shard).await?,
                Step::Show { at, first } => {
                    show(&mut transaction, (shard, at), first, columns).await?
                }
                Step::Sweep { at, rows } => sweep(&mut transaction, (shard, at), rows).await?,
                Step::Forget { at } => forget(&mut transaction, (shard, at)).await?,
            };
            transaction.commit().await?;
            Ok((progress, before))
        })
        .await;
        held.settle(outcome)
    }
}

fn columns_of(at: Position) -> Result<(i64, i64), QueryError> {
    Ok((to_column(at.epoch.0, "epoch")?, to_column(at.lsn.0, "lsn")?))
}

async fn lock(connection: &mut PgConnection, shard: i32) -> Result<(i64, i64), sqlx::Error> {
    let row = sqlx::query(LOCK).bind(shard).fetch_one(connection).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// How many rows a walk has shown, and how far its end has looked; none if there is no such walk.
async fn under_way(
    connection: &mut PgConnection,
    (shard, at): (i32, (i64, i64)),
) -> Result<Option<(i64, Option<Uuid>)>, sqlx::Error> {
    let walk = sqlx::query_as(UNDER_WAY).bind(shard).bind(at.0).bind(at.1);
    walk.fetch_optional(connection).await
}

async fn clear(connection: &mut PgConnection, shard: i32) -> Result<Progress, sqlx::Error> {
    let spoil = sqlx::query(SPOIL).bind(shard);
    spoil.execute(&mut *connection).await?;
    forget_some(connection, shard).await
}

async fn forget_some(connection: &mut PgConnection, shard: i32) -> Result<Progress, sqlx::Error> {
    let some = sqlx::query(FORGET_SOME).bind(shard).bind(SWEEP_ROWS);
    let forgotten = some.execute(connection).await?.rows_affected();
    Ok(match forgotten < SWEEP_ROWS.unsigned_abs() {
        true => Progress::Done,
        false => Progress::GoesOn,
    })
}

async fn show(
    connection: &mut PgConnection,
    (shard, at): (i32, (i64, i64)),
    first: bool,
    columns: &Columns<'_>,
) -> Result<Progress, sqlx::Error> {
    if first {
        let forget = sqlx::query(FORGET).bind(shard);
        forget.execute(&mut *connection).await?;
        let begin = sqlx::query(BEGIN).bind(shard).bind(at.0).bind(at.1);
        begin.execute(&mut *connection).await?;
    } else if under_way(connection, (shard, at)).await?.is_none() {
        return Ok(Progress::Refused);
    }
    let (contents, bytes) = columns.insert(connection).await?;
    let grow = sqlx::query(GROW).bind(shard).bind(contents).bind(bytes);
    grow.execute(&mut *connection).await?;
    let seen = sqlx::query(SEEN).bind(shard).bind(columns.ids());
    seen.execute(&mut *connection).await?;
    Ok(Progress::Done)
}

async fn sweep(
    connection: &mut PgConnection,
    (shard, at): (i32, (i64, i64)),
    rows: i64,
) -> Result<Progress, sqlx::Error> {
    let swept = match under_way(connection, (shard, at)).await? {
        Some((seen, swept)) if seen == rows => swept.unwrap_or(Uuid::nil()),
        _ => return Ok(Progress::Refused),
    };
    sqlx::query(PLAN).execute(&mut *connection).await?;
    let batch = sqlx::query(SWEEP).bind(shard).bind(swept).bind(SWEEP_ROWS);
    let batch = batch.fetch_one(&mut *connection).await?;
    let (looked_at, last): (i64, Option<Uuid>) = (batch.try_get(0)?, batch.try_get(1)?);
    if looked_at == SWEEP_ROWS {
        let note = sqlx::query(SWEPT).bind(shard).bind(last);
        note.execute(connection).await?;
        return Ok(Progress::GoesOn);
    }
    let forward = sqlx::query(MOVE).bind(shard).bind(at.0).bind(at.1);
    forward.execute(connection).await?;
    Ok(Progress::Done)
}

async fn forget(
    connection: &mut PgConnection,
    (shard, at): (i32, (i64, i64)),
) -> Result<Progress, sqlx::Error> {
    if under_way(connection, (shard, at)).await?.is_none() {
        return Ok(Progress::Refused);
    }
    let progress = forget_some(connection, shard).await?;
    if progress == Progress::Done {
        let forget = sqlx::query(FORGET).bind(shard);
        forget.execute(connection).await?;
    }
    Ok(progress)
}
