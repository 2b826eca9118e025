//! The board on which distributors tell each other which services they heard from.

use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use uuid::Uuid;
use wire::membership::Heartbeat;

use super::line::{in_time, name};
use super::{Board, Order, PostgresCatalog, QueryError, Sighting};
use crate::catalog::listing::{
    from_column, node_from_text, nodes_from_texts, role_from_text, role_text, to_column,
};

const WRITE: &str = "
    insert into node (name, role, internal_url, public_url, incarnation, last_seen, heartbeat)
    select h.name, h.role, h.internal_url, h.public_url, h.incarnation,
           clock_timestamp() - h.age_ms * interval '1 millisecond', h.heartbeat::jsonb
      from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::bigint[],
                  $7::text[])
           as h (name, role, internal_url, public_url, incarnation, age_ms, heartbeat)
     where not exists (select 1 from removal as r
                        where r.node = h.name and r.incarnation = h.incarnation)
     order by h.name
    on conflict (name) do update
       set role = excluded.role, internal_url = excluded.internal_url,
           public_url = excluded.public_url, incarnation = excluded.incarnation,
           last_seen = excluded.last_seen, heartbeat = excluded.heartbeat
     where excluded.last_seen > node.last_seen";

const READ: &str = "
    select name, role, internal_url, public_url, incarnation, heartbeat,
           greatest(round(extract(epoch from clock_timestamp() - last_seen) * 1000), 0)::bigint
      from node
     where not exists (select 1 from removal as r
                        where r.node = node.name and r.incarnation = node.incarnation)
     order by name";

const DRAINING: &str = "select node from draining";

const REMOVED: &str = "select node, incarnation from removal";

const DRAIN: &str = "insert into draining (node) values ($1) on conflict (node) do nothing";

const UNDRAIN: &str = "delete from draining where node = $1";

const REBALANCING: &str = "select exists (select 1 from rebalance)";

const REBALANCE: &str = "
    insert into rebalance (singleton) values (1) on conflict (singleton) do nothing";

const SETTLE: &str = "delete from rebalance";

/// One statement, so that nobody sees a half of it. A distributor that writes the row at the same
/// moment may bring it back; nobody reads it then, because its process is remembered.
const REMOVE: &str = "
    with undrained as (delete from draining where node = $1),
         forgotten as (delete from node where name = $1 returning name, incarnation)
    insert into removal (node, incarnation)
    select name, incarnation from forgotten
    on conflict (node) do update set incarnation = excluded.incarnation";

const CLUSTER: &str = "select uuid from cluster";

impl PostgresCatalog {
    pub(super) async fn exchange_sightings(&self, heard: &[Sighting]) -> Result<Board, QueryError> {
        let columns = Columns::of(heard)?;
        let mut held = self.clerk.hold().await?;
        let connection = held.connection();
        let outcome = in_time(async {
            // First, so that a database that was replaced by another cluster's is not written to.
            let cluster: Option<Uuid> = sqlx::query_scalar(CLUSTER)
                .fetch_optional(&mut *connection)
                .await?;
            if cluster.is_some() && !columns.name.is_empty() {
                columns.write().execute(&mut *connection).await?;
            }
            let rows = sqlx::query(READ).fetch_all(&mut *connection).await?;
            let draining = sqlx::query_scalar(DRAINING)
                .fetch_all(&mut *connection)
                .await?;
            let rebalancing = sqlx::query_scalar(REBALANCING)
                .fetch_one(&mut *connection)
                .await?;
            let removed = sqlx::query_as(REMOVED).fetch_all(&mut *connection).await?;
            Ok((cluster, rows, (draining, rebalancing, removed)))
        })
        .await;
        let (cluster, rows, orders) = held.settle(outcome)?;
        let (draining, rebalancing, removed): (Vec<String>, bool, Vec<(String, Uuid)>) = orders;
        let removed = removed.into_iter();
        Ok(Board {
            cluster,
            sightings: rows.iter().map(sighting).collect::<Result<_, _>>()?,
            draining: nodes_from_texts(&draining)?,
            rebalancing,
            removed: removed
                .map(|(node, incarnation)| Ok((node_from_text(&node)?, incarnation)))
                .collect::<Result<_, QueryError>>()?,
        })
    }

    pub(super) async fn write_order(&self, order: Order<'_>) -> Result<(), QueryError> {
        let query = match order {
            Order::Drain(node) => sqlx::query(DRAIN).bind(node.as_str()),
            Order::Undrain(node) => sqlx::query(UNDRAIN).bind(node.as_str()),
            Order::Remove(node) => sqlx::query(REMOVE).bind(node.as_str()),
            Order::Rebalance => sqlx::query(REBALANCE),
            Order::Settle => sqlx::query(SETTLE),
        };
        let mut held = self.clerk.hold().await?;
        let outcome = in_time(query.execute(held.connection())).await;
        held.settle(outcome).map(|_| ())
    }
}

#[derive(Default)]
struct Columns<'a> {
    name: Vec<&'a str>,
    role: Vec<&'static str>,
    internal_url: Vec<&'a str>,
    public_url: Vec<&'a str>,
    incarnation: Vec<Uuid>,
    age_ms: Vec<i64>,
    heartbeat: Vec<Option<String>>,
}

impl<'a> Columns<'a> {
    fn of(heard: &'a [Sighting]) -> Result<Self, QueryError> {
        let mut columns = Columns::default();
        for each in heard {
            let heartbeat = each
                .heartbeat
                .as_ref()
                .map(serde_json::to_string)
                .transpose();
            columns.name.push(each.name.as_str());
            columns.role.push(role_text(each.role));
            columns.internal_url.push(&each.internal_url);
            columns.public_url.push(&each.public_url);
            columns.incarnation.push(each.incarnation);
            columns.age_ms.push(to_column(
                u64::try_from(each.age.as_millis()).unwrap_or(u64::MAX),
                "last_seen",
            )?);
            columns
                .heartbeat
                .push(heartbeat.map_err(|e| QueryError::Refused(e.to_string()))?);
        }
        Ok(columns)
    }

    fn write(&self) -> sqlx::query::Query<'_, sqlx::Postgres, sqlx::postgres::PgArguments> {
        sqlx::query(WRITE)
            .bind(&self.name)
            .bind(&self.role)
            .bind(&self.internal_url)
            .bind(&self.public_url)
            .bind(&self.incarnation)
            .bind(&self.age_ms)
            .bind(&self.heartbeat)
    }
}

fn sighting(row: &PgRow) -> Result<Sighting, QueryError> {
    let unreadable = |error: sqlx::Error| name(&error);
    let service: &str = row.try_get(0).map_err(unreadable)?;
    let heartbeat: Option<Json<Heartbeat>> = row.try_get(5).map_err(unreadable)?;
    let age_ms: i64 = row.try_get(6).map_err(unreadable)?;
    Ok(Sighting {
        name: node_from_text(service)?,
        role: role_from_text(row.try_get(1).map_err(unreadable)?)?,
        internal_url: row.try_get(2).map_err(unreadable)?,
        public_url: row.try_get(3).map_err(unreadable)?,
        incarnation: row.try_get(4).map_err(unreadable)?,
        heartbeat: heartbeat.map(|Json(heartbeat)| heartbeat),
        age: Duration::from_millis(from_column(age_ms, "last_seen")?),
    })
}
