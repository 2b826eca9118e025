//! Listing: rows passed as one JSON text.

use std::collections::{BTreeMap, BTreeSet};

use serde::ser::SerializeTuple;
use serde::{Serialize, Serializer};
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use wire::content::{ContentRow, Status};
use wire::listing::{ListingOutcome, ListingPart};
use wire::{ContentId, ShardNo};

use super::follow::follow;
use super::writer::name;
use super::{QueryError, SqliteCatalog};
use crate::catalog::listing::{follows, in_order, status_text, to_column};
use crate::catalog::unlistable::Apply;

const REPLACED: &str = "
    select count(*), coalesce(sum(size), 0) from content
     where id in (select value from json_each(?1))";

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

/// Inserts or replaces rows. Gives back by how much contents and bytes grow.
async fn upsert(
    connection: &mut SqliteConnection,
    rows: &[JsonRow<'_>],
) -> Result<(i64, i64), QueryError> {
    let ids: Vec<ContentId> = rows.iter().map(|JsonRow(row, _)| row.id).collect();
    let (contents, bytes): (i64, i64) = sqlx::query_as(REPLACED)
        .bind(json(&ids)?)
        .fetch_one(&mut *connection)
        .await
        .map_err(|error| name(&error))?;
    run(connection, UPSERT, json(rows)?).await?;
    let new_bytes = rows.iter().map(|JsonRow(row, _)| row.size).sum();
    Ok((
        rows.len().cast_signed() as i64 - contents,
        to_column(new_bytes, "bytes")? - bytes,
    ))
}

/// Inserts or replaces rows of one shard, and moves its count and bytes.
pub(super) async fn upsert_counted(
    connection: &mut SqliteConnection,
    shard: ShardNo,
    rows: &[JsonRow<'_>],
) -> Result<(), QueryError> {
    let (contents, bytes) = upsert(connection, rows).await?;
    sqlx::query("update shard set contents = contents + ?2, bytes = bytes + ?3 where id = ?1")
        .bind(shard.0)
        .bind(contents)
        .bind(bytes)
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
        let mut outcomes = if follows.is_empty() {
            BTreeMap::new()
        } else {
            follow(&mut *self.writer.hold().await?, &follows).await?
        };
        for part in parts {
            if let Some(outcome) = super::walk::walk(&self.writer, part, marked).await? {
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
        let inserted = upsert(&mut transaction, &rows).await;
        transaction.rollback().await.map_err(|error| name(&error))?;
        inserted.map(|_| ())
    }
}
