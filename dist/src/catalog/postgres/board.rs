//! The board on which distributors tell each other which services they heard from.

use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use uuid::Uuid;
use wire::membership::Heartbeat;

use super::line::{in_time, name};
use super::{Board, PostgresCatalog, QueryError, Sighting};
use crate::catalog::listing::{from_column, role_from_text, role_text, to_column};

const WRITE: &str = "
    insert into node (name, role, internal_url, public_url, incarnation, last_seen, heartbeat)
    select h.name, h.role, h.internal_url, h.public_url, h.incarnation,
           clock_timestamp() - h.age_ms * interval '1 millisecond', h.heartbeat::jsonb
      from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::bigint[],
                  $7::text[])
           as h (name, role, internal_url, public_url, incarnation, age_ms, heartbeat)
     order by h.name
    on conflict (name) do update
       set role = excluded.role, internal_url = excluded.internal_url,
           public_url = excluded.public_url, incarnation = excluded.incarnation,
           last_seen = excluded.last_seen, heartbeat = excluded.heartbeat
     where excluded.last_seen > node.last_seen";

const READ: &str = "
    select name, role, internal_url, public_url, incarnation, heartbeat,
           greatest(round(extract(epoch from clock_timestamp() - last_seen) * 1000), 0)::bigint
      from node order by name";

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
            Ok((cluster, rows))
        })
        .await;
        let (cluster, rows) = held.settle(outcome)?;
        let sightings = rows.iter().map(sighting).collect::<Result<_, _>>()?;
        Ok(Board { cluster, sightings })
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
        name: service
            .parse()
            .map_err(|error: wire::name::RefuseName| QueryError::Corrupt {
                column: "name",
                detail: error.to_string(),
            })?,
        role: role_from_text(row.try_get(1).map_err(unreadable)?)?,
        internal_url: row.try_get(2).map_err(unreadable)?,
        public_url: row.try_get(3).map_err(unreadable)?,
        incarnation: row.try_get(4).map_err(unreadable)?,
        heartbeat: heartbeat.map(|Json(heartbeat)| heartbeat),
        age: Duration::from_millis(from_column(age_ms, "last_seen")?),
    })
}
