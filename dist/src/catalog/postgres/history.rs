//! The history of statistics.

use sqlx::Row;
use sqlx::postgres::PgRow;
use wire::history::HistoryPoint;

use super::line::{in_time, name};
use super::reading::read;
use super::{HistoryQuery, PostgresCatalog, QueryError, Sample};
use crate::catalog::history::{self, FORGOTTEN_ROWS_MAX, LEVELS, READ, record};
use crate::catalog::listing::to_column;

/// One sample into a step of every length.
const RECORD: &str = record!(
    "
    select step.s, p.node, p.at_s / step.s * step.s, 1,
           p.nodes, p.cpu, p.memory, p.storage, p.max_storage, p.contents, p.unlisted,
           p.uploads_in_flight, p.uploads_per_s, p.upload_busy, p.bytes_in_per_s, p.reads_per_s,
           p.read_busy, p.bytes_out_per_s
      from jsonb_to_recordset($1::jsonb) as p (
           node text, at_s bigint, nodes float8, cpu float8, memory float8, storage float8,
           max_storage float8, contents float8, unlisted float8, uploads_in_flight float8,
           uploads_per_s float8, upload_busy float8, bytes_in_per_s float8, reads_per_s float8,
           read_busy float8, bytes_out_per_s float8)
     cross join unnest($2::bigint[]) as step (s)"
);

const FORGET: &str = "
    delete from stats_history where ctid in (
        select ctid from stats_history where step_s = $1 and at_s < $2 limit $3)";

impl PostgresCatalog {
    pub(super) async fn write_sample(&self, sample: &Sample) -> Result<(), QueryError> {
        let rows = serde_json::to_string(&sample.rows());
        let rows = rows.map_err(|error| QueryError::Refused(error.to_string()))?;
        let steps: Vec<i64> = LEVELS
            .iter()
            .map(|level| to_column(level.step_s, "step_s"))
            .collect::<Result<_, _>>()?;
        let mut held = self.historian.hold().await?;
        let record = sqlx::query(RECORD).bind(rows).bind(steps);
        let outcome = in_time(record.execute(held.connection())).await;
        held.settle(outcome).map(|_| ())
    }

    pub(super) async fn forget_before(&self, now_s: u64) -> Result<(), QueryError> {
        for level in LEVELS {
            let mut held = self.historian.hold().await?;
            let forget = sqlx::query(FORGET)
                .bind(to_column(level.step_s, "step_s")?)
                .bind(to_column(now_s.saturating_sub(level.kept_s), "at_s")?)
                .bind(to_column(FORGOTTEN_ROWS_MAX, "limit")?);
            let outcome = in_time(forget.execute(held.connection())).await;
            held.settle(outcome)?;
        }
        Ok(())
    }

    pub(super) async fn read_history(
        &self,
        query: &HistoryQuery,
    ) -> Result<Vec<HistoryPoint>, QueryError> {
        let step = to_column(query.step_s, "step_s")?;
        let stored = to_column(query.stored_s, "step_s")?;
        let (from, to) = (
            to_column(query.from_s, "at_s")?,
            to_column(query.to_s, "at_s")?,
        );
        let statement = || {
            sqlx::query(READ)
                .bind(step)
                .bind(stored)
                .bind(query.name())
                .bind(from)
                .bind(to)
        };
        let rows = read(&self.readers, statement).await?;
        rows.iter().map(point).collect()
    }
}

fn point(row: &PgRow) -> Result<HistoryPoint, QueryError> {
    let refused = |error| name(&error);
    history::point(
        |index| row.try_get(index).map_err(refused),
        |index| row.try_get(index).map_err(refused),
    )
}
