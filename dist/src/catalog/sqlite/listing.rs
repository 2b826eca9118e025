//! Listing: the merged parts of many nodes in one transaction, rows passed as one JSON text.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::ser::SerializeTuple;
use serde::{Serialize, Serializer};
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row};
use wire::content::{ContentRow, Status};
use wire::listing::{ListingOutcome, ListingPart};
use wire::{ContentId, Epoch, Lsn, Position, ShardNo};

use super::writer::name;
use super::{QueryError, SqliteCatalog};
use crate::catalog::listing::{
    Follow, follows, from_column, in_order, shard_from_column, status_text,
};
use crate::catalog::unlistable::Apply;

const POSITIONS: &str = "
    select id, listed_epoch, listed_lsn from shard
     where id in (select value from json_each(?1))";

const ADD_SHARDS: &str =
    "insert into shard (id) select value from json_each(?1) where true on conflict do nothing";

const REPLACED: &str = "
    select shard, count(*), sum(size) from content
     where id in (select value from json_each(?1)) group by shard";

const UPSERT: &str = "
    insert into content (id, shard, filename, size, content_type, checksum, version, collection,
                         attributes, created_at, updated_at, status)
    select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
           value ->> 6, value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11
      from json_each(?1) where true
    on conflict (id) do update
       set filename = excluded.filename, size = excluded.size,
           content_type = excluded.content_type, checksum = excluded.checksum,
           version = excluded.version, collection = excluded.collection,
           attributes = excluded.attributes, created_at = excluded.created_at,
           updated_at = excluded.updated_at, status = excluded.status";

const DELETE: &str = "delete from content where id in (select value from json_each(?1))";

const MOVE: &str = "
    update shard
       set listed_epoch = p.epoch, listed_lsn = p.lsn,
           contents = shard.contents + p.contents, bytes = shard.bytes + p.bytes
      from (select value ->> 0 as id, value ->> 1 as epoch, value ->> 2 as lsn,
                   value ->> 3 as contents, value ->> 4 as bytes
              from json_each(?1)) p
     where shard.id = p.id";

/// A row as the JSON array that `UPSERT` takes apart.
pub(super) struct JsonRow<'a>(pub(super) &'a ContentRow, pub(super) Status);

impl Serialize for JsonRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let JsonRow(row, status) = self;
        let attributes = row
            .attributes
            .as_ref()
            .map(serde_json::to_string)
            .transpose();
        let mut tuple = serializer.serialize_tuple(12)?;
        tuple.serialize_element(&row.id)?;
        tuple.serialize_element(&row.id.shard())?;
        tuple.serialize_element(&row.filename)?;
        tuple.serialize_element(&row.size)?;
        tuple.serialize_element(&row.content_type)?;
        tuple.serialize_element(&row.checksum)?;
        tuple.serialize_element(&row.version)?;
        tuple.serialize_element(&row.collection)?;
        tuple.serialize_element(&attributes.map_err(serde::ser::Error::custom)?)?;
        tuple.serialize_element(&row.created_date)?;
        tuple.serialize_element(&row.updated_date)?;
        tuple.serialize_element(status_text(*status))?;
        tuple.end()
    }
}

/// How a shard's count and bytes change.
#[derive(Clone, Copy, Default)]
struct Change {
    contents: i64,
    bytes: i64,
}

type Outcomes = BTreeMap<ShardNo, (bool, Position)>;

async fn follow(
    connection: &mut SqliteConnection,
    follows: &[Follow<'_>],
) -> Result<Outcomes, QueryError> {
    let mut transaction = connection
        .begin_with("begin immediate")
        .await
        .map_err(|error| name(&error))?;
    let shards: Vec<ShardNo> = follows.iter().map(|follow| follow.shard).collect();
    let positions = positions(&mut transaction, &shards).await?;
    let (mut outcomes, mut matched) = (Outcomes::new(), Vec::new());
    for follow in follows {
        let listed = positions.get(&follow.shard).copied().unwrap_or_default();
        match follow.span {
            Some((after, upto)) if after == listed => {
                outcomes.insert(follow.shard, (true, upto));
                matched.push((follow, upto));
            }
            _ => {
                outcomes.insert(follow.shard, (false, listed));
            }
        }
    }
    if !matched.is_empty() {
        apply_matched(&mut transaction, &matched).await?;
    }
    transaction.commit().await.map_err(|error| name(&error))?;
    Ok(outcomes)
}

async fn positions(
    connection: &mut SqliteConnection,
    shards: &[ShardNo],
) -> Result<HashMap<ShardNo, Position>, QueryError> {
    let list = json(shards)?;
    let rows = sqlx::query(POSITIONS)
        .bind(&list)
        .fetch_all(&mut *connection)
        .await;
    let rows = rows.map_err(|error| name(&error))?;
    if rows.len() < shards.len() {
        run(connection, ADD_SHARDS, list).await?;
    }
    rows.iter()
        .map(|row| {
            let get = |index| {
                row.try_get::<i64, usize>(index)
                    .map_err(|error| name(&error))
            };
            let epoch = Epoch(from_column(get(1)?, "listed_epoch")?);
            let lsn = Lsn(from_column(get(2)?, "listed_lsn")?);
            Ok((shard_from_column(get(0)?)?, Position { epoch, lsn }))
        })
        .collect()
}

async fn apply_matched(
    connection: &mut SqliteConnection,
    matched: &[(&Follow<'_>, Position)],
) -> Result<(), QueryError> {
    let rows: Vec<JsonRow<'_>> = matched
        .iter()
        .flat_map(|(follow, _)| {
            follow
                .rows
                .iter()
                .map(|(row, status)| JsonRow(row, *status))
        })
        .collect();
    let gone: Vec<ContentId> = matched
        .iter()
        .flat_map(|(follow, _)| follow.gone.iter().copied())
        .collect();
    let mut changes = upsert(connection, &rows, &gone).await?;
    if !gone.is_empty() {
        run(connection, DELETE, json(&gone)?).await?;
    }
    let moves: Vec<(ShardNo, Epoch, Lsn, i64, i64)> = matched
        .iter()
        .map(|(follow, upto)| {
            let change = changes.remove(&follow.shard).unwrap_or_default();
            (
                follow.shard,
                upto.epoch,
                upto.lsn,
                change.contents,
                change.bytes,
            )
        })
        .collect();
    run(connection, MOVE, json(&moves)?).await
}

/// Inserts or replaces rows. Gives back each shard's change by these rows, and by the deletion of
/// `gone` that must follow.
async fn upsert(
    connection: &mut SqliteConnection,
    rows: &[JsonRow<'_>],
    gone: &[ContentId],
) -> Result<HashMap<ShardNo, Change>, QueryError> {
    let mut changes: HashMap<ShardNo, Change> = HashMap::new();
    // A first version has no row yet, but one that is listed again after a restored backup has.
    let touched: Vec<ContentId> = rows
        .iter()
        .map(|JsonRow(row, _)| row.id)
        .chain(gone.iter().copied())
        .collect();
    if touched.is_empty() {
        return Ok(changes);
    }
    let replaced = sqlx::query(REPLACED)
        .bind(json(&touched)?)
        .fetch_all(&mut *connection)
        .await;
    for row in replaced.map_err(|error| name(&error))? {
        let get = |index| {
            row.try_get::<i64, usize>(index)
                .map_err(|error| name(&error))
        };
        let change = changes.entry(shard_from_column(get(0)?)?).or_default();
        change.contents -= get(1)?;
        change.bytes -= get(2)?;
    }
    for JsonRow(row, _) in rows {
        let change = changes.entry(row.id.shard()).or_default();
        change.contents += 1;
        change.bytes += row.size.cast_signed();
    }
    if !rows.is_empty() {
        run(connection, UPSERT, json(rows)?).await?;
    }
    Ok(changes)
}

/// Inserts or replaces rows of one shard, and moves its count and bytes.
pub(super) async fn upsert_counted(
    connection: &mut SqliteConnection,
    shard: ShardNo,
    rows: &[JsonRow<'_>],
) -> Result<(), QueryError> {
    let change = upsert(connection, rows, &[])
        .await?
        .remove(&shard)
        .unwrap_or_default();
    sqlx::query("update shard set contents = contents + ?2, bytes = bytes + ?3 where id = ?1")
        .bind(shard.0)
        .bind(change.contents)
        .bind(change.bytes)
        .execute(connection)
        .await
        .map_err(|error| name(&error))?;
    Ok(())
}

/// Runs a statement that takes one JSON text.
pub(super) async fn run(
    connection: &mut SqliteConnection,
    statement: &'static str,
    argument: String,
) -> Result<(), QueryError> {
    let done = sqlx::query(statement)
        .bind(argument)
        .execute(connection)
        .await;
    done.map(|_| ()).map_err(|error| name(&error))
}

/// The text of a value, for `json_each`.
pub(super) fn json<T: Serialize + ?Sized>(value: &T) -> Result<String, QueryError> {
    serde_json::to_string(value).map_err(|error| QueryError::Failed(error.to_string()))
}

impl Apply for SqliteCatalog {
    async fn apply(
        &self,
        parts: &[ListingPart],
        marked: &BTreeSet<ContentId>,
    ) -> Result<Vec<ListingOutcome>, QueryError> {
        let follows = follows(parts, marked);
        let mut writer = self.writer.hold().await?;
        let mut outcomes = if follows.is_empty() {
            Outcomes::new()
        } else {
            follow(&mut writer, &follows).await?
        };
        for part in parts {
            if let Some(outcome) = super::walk::walk(&mut writer, part, marked).await? {
                outcomes.insert(part.shard, outcome);
            }
        }
        in_order(parts, &outcomes)
    }

    async fn probe(&self, rows: &[&ContentRow]) -> Result<(), QueryError> {
        let rows: Vec<JsonRow<'_>> = rows.iter().map(|row| JsonRow(row, Status::Ok)).collect();
        let mut writer = self.writer.hold().await?;
        let mut transaction = writer
            .begin_with("begin immediate")
            .await
            .map_err(|error| name(&error))?;
        let inserted = upsert(&mut transaction, &rows, &[]).await;
        transaction.rollback().await.map_err(|error| name(&error))?;
        inserted.map(|_| ())
    }
}
