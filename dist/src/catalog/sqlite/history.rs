//! The history of statistics.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use wire::history::HistoryPoint;

use super::listing::json;
use super::writer::name;
use super::{HistoryQuery, QueryError, Sample, SqliteCatalog};
use crate::catalog::history::{self, FORGOTTEN_ROWS_MAX, LEVELS, READ, record};
use crate::catalog::listing::to_column;

/// One sample into a step of every length.
const RECORD: &str = record!(
    "
    select step.value, p.value ->> 'node', (p.value ->> 'at_s') / step.value * step.value, 1,
           p.value ->> 'nodes', p.value ->> 'cpu', p.value ->> 'memory', p.value ->> 'storage',
           p.value ->> 'max_storage', p.value ->> 'contents', p.value ->> 'unlisted', p.value
           ->> 'uploads_in_flight', p.value ->> 'uploads_per_s', p.value ->> 'upload_busy',
           p.value ->> 'bytes_in_per_s', p.value ->> 'reads_per_s', p.value ->> 'read_busy',
           p.value ->> 'bytes_out_per_s'
      from json_each(?1) as p, json_each(?2) as step
     where true"
);

const FORGET: &str = "
    delete from stats_history where rowid in (
        select rowid from stats_history where step_s = ?1 and at_s < ?2 limit ?3)";

impl SqliteCatalog {
    pub(super) async fn write_sample(&self, sample: &Sample) -> Result<(), QueryError> {
        let (rows, steps) = (
            json(&sample.rows())?,
            json(&LEVELS.map(|level| level.step_s))?,
        );
        let mut writer = self.writer.hold().await?;
        let record = sqlx::query(RECORD).bind(rows).bind(steps);
        let recorded = record.execute(&mut *writer).await;
        recorded.map(|_| ()).map_err(|error| name(&error))
    }

    pub(super) async fn forget_before(&self, now_s: u64) -> Result<(), QueryError> {
        for level in LEVELS {
            // Let go between the levels: a listing may be waiting.
            let mut writer = self.writer.hold().await?;
            let forget = sqlx::query(FORGET)
                .bind(to_column(level.step_s, "step_s")?)
                .bind(to_column(now_s.saturating_sub(level.kept_s), "at_s")?)
                .bind(to_column(FORGOTTEN_ROWS_MAX, "limit")?);
            let forgotten = forget.execute(&mut *writer).await;
            forgotten.map_err(|error| name(&error))?;
        }
        Ok(())
    }

    pub(super) async fn read_history(
        &self,
        query: &HistoryQuery,
    ) -> Result<Vec<HistoryPoint>, QueryError> {
        let rows = sqlx::query(READ)
            .bind(to_column(query.step_s, "step_s")?)
            .bind(to_column(query.stored_s, "step_s")?)
            .bind(query.name())
            .bind(to_column(query.from_s, "at_s")?)
            .bind(to_column(query.to_s, "at_s")?)
            .fetch_all(&self.readers)
            .await;
        let rows = rows.map_err(|error| name(&error))?;
        rows.iter().map(point).collect()
    }
}

fn point(row: &SqliteRow) -> Result<HistoryPoint, QueryError> {
    let refused = |error| name(&error);
    history::point(
        |index| row.try_get(index).map_err(refused),
        |index| row.try_get(index).map_err(refused),
    )
}
