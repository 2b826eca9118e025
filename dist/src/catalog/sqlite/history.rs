//! The history of statistics.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use wire::history::{HistoryPoint, Measures};

use super::listing::json;
use super::writer::name;
use super::{HistoryQuery, QueryError, Sample, SqliteCatalog};
use crate::catalog::history::{FORGOTTEN_ROWS_MAX, LEVELS, at};
use crate::catalog::listing::{from_column, to_column};

/// One sample into a step of every length; a step that is there already has its averages moved.
const RECORD: &str = "
    insert into stats_history as h (
        step_s, node, at_s, samples, nodes, cpu, memory, storage, max_storage, contents,
        unlisted, uploads_in_flight, uploads_per_s, upload_busy, bytes_in_per_s, reads_per_s,
        read_busy, bytes_out_per_s)
    select step.value, p.value ->> 'node', (p.value ->> 'at_s') / step.value * step.value, 1,
           p.value ->> 'nodes', p.value ->> 'cpu', p.value ->> 'memory', p.value ->> 'storage',
           p.value ->> 'max_storage', p.value ->> 'contents', p.value ->> 'unlisted', p.value
           ->> 'uploads_in_flight', p.value ->> 'uploads_per_s', p.value ->> 'upload_busy',
           p.value ->> 'bytes_in_per_s', p.value ->> 'reads_per_s', p.value ->> 'read_busy',
           p.value ->> 'bytes_out_per_s'
      from json_each(?1) as p, json_each(?2) as step
     where true
    on conflict (step_s, node, at_s) do update
       set samples = h.samples + 1,
           nodes = h.nodes + (excluded.nodes - h.nodes) / (h.samples + 1),
           cpu = h.cpu + (excluded.cpu - h.cpu) / (h.samples + 1),
           memory = h.memory + (excluded.memory - h.memory) / (h.samples + 1),
           storage = h.storage + (excluded.storage - h.storage) / (h.samples + 1),
           max_storage = h.max_storage + (excluded.max_storage - h.max_storage) / (h.samples + 1),
           contents = h.contents + (excluded.contents - h.contents) / (h.samples + 1),
           unlisted = h.unlisted + (excluded.unlisted - h.unlisted) / (h.samples + 1),
           uploads_in_flight = h.uploads_in_flight + (excluded.uploads_in_flight - h.uploads_in_flight) / (h.samples + 1),
           uploads_per_s = h.uploads_per_s + (excluded.uploads_per_s - h.uploads_per_s) / (h.samples + 1),
           upload_busy = h.upload_busy + (excluded.upload_busy - h.upload_busy) / (h.samples + 1),
           bytes_in_per_s = h.bytes_in_per_s + (excluded.bytes_in_per_s - h.bytes_in_per_s) / (h.samples + 1),
           reads_per_s = h.reads_per_s + (excluded.reads_per_s - h.reads_per_s) / (h.samples + 1),
           read_busy = h.read_busy + (excluded.read_busy - h.read_busy) / (h.samples + 1),
           bytes_out_per_s = h.bytes_out_per_s + (excluded.bytes_out_per_s - h.bytes_out_per_s) / (h.samples + 1)";

const FORGET: &str = "
    delete from stats_history where rowid in (
        select rowid from stats_history where step_s = ?1 and at_s < ?2 limit ?3)";

const READ: &str = "
    select at_s / ?1 * ?1, sum(samples),
           sum(nodes * samples) / sum(samples),
           sum(cpu * samples) / sum(samples),
           sum(memory * samples) / sum(samples),
           sum(storage * samples) / sum(samples),
           sum(max_storage * samples) / sum(samples),
           sum(contents * samples) / sum(samples),
           sum(unlisted * samples) / sum(samples),
           sum(uploads_in_flight * samples) / sum(samples),
           sum(uploads_per_s * samples) / sum(samples),
           sum(upload_busy * samples) / sum(samples),
           sum(bytes_in_per_s * samples) / sum(samples),
           sum(reads_per_s * samples) / sum(samples),
           sum(read_busy * samples) / sum(samples),
           sum(bytes_out_per_s * samples) / sum(samples)
      from stats_history
     where step_s = ?2 and node = ?3 and at_s >= ?4 and at_s < ?5
     group by 1 order by 1";

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
    let number = |index: usize, column| {
        row.try_get::<i64, _>(index)
            .map_err(|error| name(&error))
            .and_then(|n| from_column(n, column))
    };
    let average = |index: usize| row.try_get::<f64, _>(index).map_err(|error| name(&error));
    let measures = Measures {
        nodes: average(2)?,
        cpu: average(3)?,
        memory: average(4)?,
        storage: average(5)?,
        max_storage: average(6)?,
        contents: average(7)?,
        unlisted: average(8)?,
        uploads_in_flight: average(9)?,
        uploads_per_s: average(10)?,
        upload_busy: average(11)?,
        bytes_in_per_s: average(12)?,
        reads_per_s: average(13)?,
        read_busy: average(14)?,
        bytes_out_per_s: average(15)?,
    };
    Ok(HistoryPoint::new(
        at(number(0, "at_s")?),
        number(1, "samples")?,
        measures,
    ))
}
