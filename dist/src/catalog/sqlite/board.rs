//! The board of services that were heard from. With one distributor it serves people who query
//! the database, and the first moments after a restart.

use std::time::Duration;

use serde::Serialize;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Connection, Row};
use wire::membership::Heartbeat;

use super::identity::uuid_from_column;
use super::listing::{json, run};
use super::writer::name;
use super::{Board, Order, QueryError, Sighting, SqliteCatalog};
use crate::catalog::listing::{
    from_column, node_from_text, nodes_from_texts, role_from_text, role_text,
};

const WRITE: &str = "
    insert into node (name, role, internal_url, public_url, incarnation, last_seen, heartbeat)
    select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4,
           strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-' || (value ->> 5) || ' seconds'), value ->> 6
      from json_each(?1)
     where not exists (select 1 from removal as r
                        where r.node = value ->> 0 and r.incarnation = value ->> 4)
    on conflict (name) do update
       set role = excluded.role, internal_url = excluded.internal_url,
           public_url = excluded.public_url, incarnation = excluded.incarnation,
           last_seen = excluded.last_seen, heartbeat = excluded.heartbeat
     where excluded.last_seen > node.last_seen";

const READ: &str = "
    select name, role, internal_url, public_url, incarnation, heartbeat,
           max(cast(round((unixepoch('now', 'subsec') - unixepoch(last_seen, 'subsec')) * 1000)
                    as integer), 0)
      from node order by name";

const DRAINING: &str = "select node from draining";

const REMOVED: &str = "select node, incarnation from removal";

const DRAIN: &str = "insert into draining (node) values (?1) on conflict (node) do nothing";

const UNDRAIN: &str = "delete from draining where node = ?1";

const REBALANCING: &str = "select count(*) from rebalance";

const REBALANCE: &str = "
    insert into rebalance (singleton) values (cast(?1 as integer))
    on conflict (singleton) do nothing";

const SETTLE: &str = "delete from rebalance where singleton = cast(?1 as integer)";

const REMEMBER: &str = "
    insert into removal (node, incarnation)
    select name, incarnation from node where name = ?1
    on conflict (node) do update set incarnation = excluded.incarnation";

const FORGET: &str = "delete from node where name = ?1";

const CLUSTER: &str = "select uuid from cluster";

#[derive(Serialize)]
struct JsonSighting<'a>(
    &'a str,
    &'a str,
    &'a str,
    &'a str,
    String,
    f64,
    Option<String>,
);

impl SqliteCatalog {
    pub(super) async fn exchange_sightings(&self, heard: &[Sighting]) -> Result<Board, QueryError> {
        let written = heard
            .iter()
            .map(json_sighting)
            .collect::<Result<Vec<_>, _>>()?;
        let mut writer = self.writer.hold().await?;
        let mut transaction = writer
            .begin_with("begin immediate")
            .await
            .map_err(|error| name(&error))?;
        let cluster: Option<String> = cluster(&mut transaction).await?;
        if cluster.is_some() && !written.is_empty() {
            run(&mut transaction, WRITE, json(&written)?).await?;
        }
        let rows = sqlx::query(READ).fetch_all(&mut *transaction).await;
        let rows = rows.map_err(|error| name(&error))?;
        let draining = sqlx::query_scalar(DRAINING)
            .fetch_all(&mut *transaction)
            .await
            .map_err(|error| name(&error))?;
        let rebalancing: i64 = sqlx::query_scalar(REBALANCING)
            .fetch_one(&mut *transaction)
            .await
            .map_err(|error| name(&error))?;
        let removed = sqlx::query_as(REMOVED).fetch_all(&mut *transaction).await;
        let removed: Vec<(String, String)> = removed.map_err(|error| name(&error))?;
        transaction.commit().await.map_err(|error| name(&error))?;
        let removed = removed.into_iter().map(|(node, incarnation)| {
            let incarnation = uuid_from_column(&incarnation, "incarnation")?;
            Ok((node_from_text(&node)?, incarnation))
        });
        Ok(Board {
            cluster: cluster
                .map(|uuid| uuid_from_column(&uuid, "cluster"))
                .transpose()?,
            sightings: rows.iter().map(sighting).collect::<Result<_, _>>()?,
            draining: nodes_from_texts(&draining)?,
            rebalancing: rebalancing > 0,
            removed: removed.collect::<Result<_, QueryError>>()?,
        })
    }

    pub(super) async fn write_order(&self, order: Order<'_>) -> Result<(), QueryError> {
        let (statements, argument): (&[&'static str], &str) = match order {
            Order::Drain(node) => (&[DRAIN], node.as_str()),
            Order::Undrain(node) => (&[UNDRAIN], node.as_str()),
            Order::Remove(node) => (&[REMEMBER, UNDRAIN, FORGET], node.as_str()),
            Order::Rebalance => (&[REBALANCE], "1"),
            Order::Settle => (&[SETTLE], "1"),
        };
        let mut writer = self.writer.hold().await?;
        let mut transaction = writer
            .begin_with("begin immediate")
            .await
            .map_err(|error| name(&error))?;
        for statement in statements {
            run(&mut transaction, statement, argument.to_owned()).await?;
        }
        transaction.commit().await.map_err(|error| name(&error))
    }
}

async fn cluster(connection: &mut SqliteConnection) -> Result<Option<String>, QueryError> {
    sqlx::query_scalar(CLUSTER)
        .fetch_optional(connection)
        .await
        .map_err(|error| name(&error))
}

fn json_sighting(sighting: &Sighting) -> Result<JsonSighting<'_>, QueryError> {
    Ok(JsonSighting(
        sighting.name.as_str(),
        role_text(sighting.role),
        &sighting.internal_url,
        &sighting.public_url,
        sighting.incarnation.to_string(),
        sighting.age.as_secs_f64(),
        sighting.heartbeat.as_ref().map(json).transpose()?,
    ))
}

fn sighting(row: &SqliteRow) -> Result<Sighting, QueryError> {
    let text = |index: usize| row.try_get::<&str, _>(index).map_err(|error| name(&error));
    let heartbeat: Option<&str> = row.try_get(5).map_err(|error| name(&error))?;
    let age_ms: i64 = row.try_get(6).map_err(|error| name(&error))?;
    Ok(Sighting {
        name: node_from_text(text(0)?)?,
        role: role_from_text(text(1)?)?,
        internal_url: text(2)?.to_owned(),
        public_url: text(3)?.to_owned(),
        incarnation: uuid_from_column(text(4)?, "incarnation")?,
        heartbeat: heartbeat
            .map(serde_json::from_str::<Heartbeat>)
            .transpose()
            .map_err(|error| QueryError::Corrupt {
                column: "heartbeat",
                detail: error.to_string(),
            })?,
        age: Duration::from_millis(from_column(age_ms, "last_seen")?),
    })
}
