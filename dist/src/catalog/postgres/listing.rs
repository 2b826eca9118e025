//! Listing: the merged parts of many nodes in one statement.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::postgres::PgConnection;
use sqlx::{Acquire, Row};
use uuid::Uuid;
use wire::content::{ContentRow, Status};
use wire::listing::{ListingOutcome, ListingPart};
use wire::{ContentId, Epoch, Lsn, Position, ShardNo};

use super::line::{LISTING_TIME_MAX, name, within};
use super::{PostgresCatalog, QueryError};
use crate::catalog::listing::{
    Follow, follows, from_column, in_order, shard_from_column, status_text, to_column,
};
use crate::catalog::unlistable::Apply;

const LIST: &str = "
    select part, applied, epoch, lsn
      from list_follow($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
                       $18, $19)";

/// The same columns as listing's, so that exactly the same values are refused. Gives back by how
/// much the shard's count and bytes change.
const INSERT: &str = "
    with replaced as (
        select c.size from unnest($2::uuid[]) as r (id) join content c on c.id = r.id
    ), listed as (
        insert into content (shard, id, filename, size, content_type, checksum, version, collection,
                             attributes, created_at, updated_at, status)
        select r.shard, r.id, r.filename, r.size, r.content_type, r.checksum, r.version,
               r.collection, r.attributes::jsonb, to_timestamp(r.created_ms::float8 / 1000),
               to_timestamp(r.updated_ms::float8 / 1000), r.status
          from unnest($1::integer[], $2::uuid[], $3::text[], $4::bigint[], $5::text[], $6::text[],
                      $7::bigint[], $8::text[], $9::text[], $10::bigint[], $11::bigint[],
                      $12::text[])
               as r (shard, id, filename, size, content_type, checksum, version, collection,
                     attributes, created_ms, updated_ms, status)
        on conflict (id) do update
           set filename = excluded.filename, size = excluded.size,
               content_type = excluded.content_type, checksum = excluded.checksum,
               version = excluded.version, collection = excluded.collection,
               attributes = excluded.attributes, created_at = excluded.created_at,
               updated_at = excluded.updated_at, status = excluded.status
        returning size
    )
    select (select count(*) from listed) - (select count(*) from replaced),
           ((select coalesce(sum(size), 0) from listed)
            - (select coalesce(sum(size), 0) from replaced))::bigint";

/// Rows as columns, the form in which PostgreSQL takes many at once.
#[derive(Default)]
pub(super) struct Columns<'a> {
    shard: Vec<i32>,
    id: Vec<Uuid>,
    filename: Vec<&'a str>,
    size: Vec<i64>,
    content_type: Vec<&'a str>,
    checksum: Vec<String>,
    version: Vec<i64>,
    collection: Vec<Option<&'a str>>,
    attributes: Vec<Option<String>>,
    created_ms: Vec<i64>,
    updated_ms: Vec<i64>,
    status: Vec<&'static str>,
}

impl<'a> Columns<'a> {
    pub(super) fn push(&mut self, row: &'a ContentRow, status: Status) -> Result<(), QueryError> {
        self.shard.push(i32::from(row.id.shard().0));
        self.id.push(row.id.uuid());
        self.filename.push(&row.filename);
        self.size.push(to_column(row.size, "size")?);
        self.content_type.push(&row.content_type);
        self.checksum.push(row.checksum.to_string());
        self.version.push(to_column(row.version, "version")?);
        self.collection.push(row.collection.as_deref());
        let attributes = row
            .attributes
            .as_ref()
            .map(serde_json::to_string)
            .transpose();
        self.attributes
            .push(attributes.map_err(|error| QueryError::Refused(error.to_string()))?);
        self.created_ms
            .push(to_column(row.created_date.0, "created_at")?);
        self.updated_ms
            .push(to_column(row.updated_date.0, "updated_at")?);
        self.status.push(status_text(status));
        Ok(())
    }

    /// The ids of these rows.
    pub(super) fn ids(&self) -> &[Uuid] {
        &self.id
    }

    /// Inserts or replaces these rows, in the connection's transaction. Gives back by how much
    /// contents and bytes grow.
    pub(super) async fn insert(
        &self,
        connection: &mut PgConnection,
    ) -> Result<(i64, i64), sqlx::Error> {
        let row = sqlx::query(INSERT)
            .bind(&self.shard)
            .bind(&self.id)
            .bind(&self.filename)
            .bind(&self.size)
            .bind(&self.content_type)
            .bind(&self.checksum)
            .bind(&self.version)
            .bind(&self.collection)
            .bind(&self.attributes)
            .bind(&self.created_ms)
            .bind(&self.updated_ms)
            .bind(&self.status)
            .fetch_one(connection)
            .await?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    }
}

/// The positions of parts as columns.
#[derive(Default)]
struct Spans {
    shard: Vec<i32>,
    after_epoch: Vec<Option<i64>>,
    after_lsn: Vec<Option<i64>>,
    upto_epoch: Vec<Option<i64>>,
    upto_lsn: Vec<Option<i64>>,
}

impl Spans {
    fn push(&mut self, follow: &Follow<'_>) -> Result<(), QueryError> {
        let column = |value: Option<u64>, name| value.map(|v| to_column(v, name)).transpose();
        let (after, upto) = follow.span.unzip();
        self.shard.push(i32::from(follow.shard.0));
        self.after_epoch
            .push(column(after.map(|p| p.epoch.0), "epoch")?);
        self.after_lsn.push(column(after.map(|p| p.lsn.0), "lsn")?);
        self.upto_epoch
            .push(column(upto.map(|p| p.epoch.0), "epoch")?);
        self.upto_lsn.push(column(upto.map(|p| p.lsn.0), "lsn")?);
        Ok(())
    }
}

impl PostgresCatalog {
    async fn follow(
        &self,
        follows: &[Follow<'_>],
    ) -> Result<BTreeMap<ShardNo, (bool, Position)>, QueryError> {
        let (mut spans, mut columns) = (Spans::default(), Columns::default());
        let (mut gone_shard, mut gone_id) = (Vec::new(), Vec::new());
        for follow in follows {
            spans.push(follow)?;
            for (row, status) in &follow.rows {
                columns.push(row, *status)?;
            }
            for id in &follow.gone {
                gone_shard.push(i32::from(follow.shard.0));
                gone_id.push(id.uuid());
            }
        }
        let statement = sqlx::query(LIST)
            .bind(spans.shard)
            .bind(spans.after_epoch)
            .bind(spans.after_lsn)
            .bind(spans.upto_epoch)
            .bind(spans.upto_lsn)
            .bind(columns.shard)
            .bind(columns.id)
            .bind(columns.filename)
            .bind(columns.size)
            .bind(columns.content_type)
            .bind(columns.checksum)
            .bind(columns.version)
            .bind(columns.collection)
            .bind(columns.attributes)
            .bind(columns.created_ms)
            .bind(columns.updated_ms)
            .bind(columns.status)
            .bind(gone_shard)
            .bind(gone_id);
        let mut held = self.lister.hold().await?;
        let outcome = within(LISTING_TIME_MAX, statement.fetch_all(held.connection())).await;
        held.settle(outcome)?.iter().map(outcome_of).collect()
    }
}

fn outcome_of(row: &sqlx::postgres::PgRow) -> Result<(ShardNo, (bool, Position)), QueryError> {
    let get = |index: usize| row.try_get::<i64, _>(index).map_err(|error| name(&error));
    let shard: i32 = row.try_get(0).map_err(|error| name(&error))?;
    let applied: bool = row.try_get(1).map_err(|error| name(&error))?;
    let listed = Position {
        epoch: Epoch(from_column(get(2)?, "listed_epoch")?),
        lsn: Lsn(from_column(get(3)?, "listed_lsn")?),
    };
    Ok((shard_from_column(i64::from(shard))?, (applied, listed)))
}

impl Apply for PostgresCatalog {
    async fn apply(
        &self,
        parts: &[ListingPart],
        marked: &BTreeSet<ContentId>,
    ) -> Result<Vec<ListingOutcome>, QueryError> {
        let follows = follows(parts, marked);
        let mut outcomes = if follows.is_empty() {
            BTreeMap::new()
        } else {
            self.follow(&follows).await?
        };
        for part in parts {
            if let Some(outcome) = self.walk(part, marked).await? {
                outcomes.insert(part.shard, outcome);
            }
        }
        in_order(parts, &outcomes)
    }

    async fn probe(&self, rows: &[&ContentRow]) -> Result<(), QueryError> {
        let mut columns = Columns::default();
        for row in rows {
            columns.push(row, Status::Ok)?;
        }
        let mut held = self.lister.hold().await?;
        let connection = held.connection();
        let outcome = within(LISTING_TIME_MAX, async {
            let mut transaction = connection.begin().await?;
            let inserted = columns.insert(&mut transaction).await;
            transaction.rollback().await?;
            inserted
        })
        .await;
        held.settle(outcome).map(|_| ())
    }
}
