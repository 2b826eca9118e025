//! Following logs: all parts of a transaction in one script.
//!
//! Each statement that is sent by itself costs two changes of threads; the script costs two for
//! the whole transaction, whatever is in it.

use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use wire::{ContentId, Epoch, Lsn, Position, ShardNo};

use super::QueryError;
use super::listing::{JsonRow, json};
use super::writer::name;
use crate::catalog::listing::{Follow, from_column, shard_from_column, to_column};

/// Where the script remembers which parts begin where the catalog stands; made with the
/// connection.
pub(super) const MAKE_MATCHED: &str = "
    create temp table matched (
        shard    integer not null primary key,
        epoch    integer not null,
        lsn      integer not null,
        contents integer not null,
        bytes    integer not null
    ) strict";

/// Its parameters in order: the parts as `Span` twice, the ids of all operations, the ids to
/// delete, the rows to insert, the parts again. (Numbered ones are not bound right over several
/// statements.) A `+` keeps the planner from looking up by shard what is found by id.
const FOLLOW: &str = "
begin immediate;

delete from temp.matched;

insert into shard (id) select value ->> 0 from json_each(?) where true on conflict do nothing;

insert into temp.matched (shard, epoch, lsn, contents, bytes)
select s.id, p.value ->> 3, p.value ->> 4, p.value ->> 5, p.value ->> 6
  from json_each(?) p
 cross join shard s
 where s.id = p.value ->> 0 and s.listed_epoch = p.value ->> 1 and s.listed_lsn = p.value ->> 2;

update shard
   set contents = shard.contents - gone.contents, bytes = shard.bytes - gone.bytes
  from (select shard as id, count(*) as contents, sum(size) as bytes
          from content
         where id in (select value from json_each(?))
           and +shard in (select shard from temp.matched)
         group by shard) gone
 where shard.id = gone.id;

delete from content
 where id in (select value from json_each(?))
   and +shard in (select shard from temp.matched);

insert into content (id, shard, filename, size, content_type, checksum, version, collection,
                     attributes, created_at, updated_at, status)
select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
       value ->> 6, value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11
  from json_each(?)
 where value ->> 1 in (select shard from temp.matched)
on conflict (id) do update
   set filename = excluded.filename, size = excluded.size,
       content_type = excluded.content_type, checksum = excluded.checksum,
       version = excluded.version, collection = excluded.collection,
       attributes = excluded.attributes, created_at = excluded.created_at,
       updated_at = excluded.updated_at, status = excluded.status;

update shard
   set listed_epoch = m.epoch, listed_lsn = m.lsn,
       contents = shard.contents + m.contents, bytes = shard.bytes + m.bytes
  from temp.matched m
 where shard.id = m.shard;

select s.id, m.shard is not null, s.listed_epoch, s.listed_lsn
  from json_each(?) p
 cross join shard s on s.id = p.value ->> 0
  left join temp.matched m on m.shard = s.id;

commit";

/// What the script does when one of its statements fails.
const UNDO: &str = "rollback";

/// Shard, after (epoch, lsn), upto (epoch, lsn), and how many contents and bytes come with it.
#[derive(Serialize)]
struct Span(
    ShardNo,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    usize,
    u64,
);

impl Span {
    fn of(follow: &Follow<'_>) -> Result<Self, QueryError> {
        let column = |value: Option<u64>, name| value.map(|v| to_column(v, name)).transpose();
        let (after, upto) = follow.span.unzip();
        Ok(Span(
            follow.shard,
            column(after.map(|at| at.epoch.0), "epoch")?,
            column(after.map(|at| at.lsn.0), "lsn")?,
            column(upto.map(|at| at.epoch.0), "epoch")?,
            column(upto.map(|at| at.lsn.0), "lsn")?,
            follow.rows.len(),
            follow.rows.iter().map(|(row, _)| row.size).sum(),
        ))
    }
}

/// Applies the parts that begin where the catalog stands. Durable when it returns.
pub(super) async fn follow(
    connection: &mut SqliteConnection,
    follows: &[Follow<'_>],
) -> Result<BTreeMap<ShardNo, (bool, Position)>, QueryError> {
    let spans = follows
        .iter()
        .map(Span::of)
        .collect::<Result<Vec<_>, _>>()?;
    let all_rows = || follows.iter().flat_map(|follow| &follow.rows);
    let rows: Vec<JsonRow<'_>> = all_rows()
        .map(|(row, status)| JsonRow(row, *status))
        .collect();
    let gone: Vec<ContentId> = follows
        .iter()
        .flat_map(|f| f.gone.iter().copied())
        .collect();
    let touched: Vec<ContentId> = all_rows()
        .map(|(row, _)| row.id)
        .chain(gone.iter().copied())
        .collect();
    let spans = json(&spans)?;
    let script = sqlx::query(FOLLOW)
        .bind(&spans)
        .bind(&spans)
        .bind(json(&touched)?)
        .bind(json(&gone)?)
        .bind(json(&rows)?)
        .bind(&spans);
    match script.fetch_all(&mut *connection).await {
        Ok(outcomes) => outcomes.iter().map(outcome).collect(),
        Err(error) => {
            // Before `begin` succeeded there is nothing to undo.
            if let Err(undo) = sqlx::query(UNDO).execute(connection).await {
                tracing::debug!(%undo, "after a listing that failed");
            }
            Err(name(&error))
        }
    }
}

fn outcome(row: &SqliteRow) -> Result<(ShardNo, (bool, Position)), QueryError> {
    let get = |index: usize| row.try_get::<i64, _>(index).map_err(|error| name(&error));
    let epoch = Epoch(from_column(get(2)?, "listed_epoch")?);
    let lsn = Lsn(from_column(get(3)?, "listed_lsn")?);
    Ok((
        shard_from_column(get(0)?)?,
        (get(1)? == 1, Position { epoch, lsn }),
    ))
}
