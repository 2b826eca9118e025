//! The history of statistics.

use sqlx::Row;
use sqlx::postgres::PgRow;
use wire::history::{HistoryPoint, Measures};

use super::line::{in_time, name};
use super::reading::read;
use super::{HistoryQuery, PostgresCatalog, QueryError, Sample};
use crate::catalog::history::{FORGOTTEN_ROWS_MAX, LEVELS, at};
use crate::catalog::listing::{from_column, to_column};

/// One sample into a step of every length; a step that is there already has its averages moved.
const RECORD: &str = "
    insert into stats_history as h (
        step_s, node, at_s, samples, nodes, cpu, memory, storage, max_storage, contents,
        unlisted, uploads_in_flight, uploads_per_s, upload_busy, bytes_in_per_s, reads_per_s,
        read_busy, bytes_out_per_s)
    select step.s, p.node, p.at_s / step.s * step.s, 1,
           p.nodes, p.cpu, p.memory, p.storage, p.max_storage, p.contents, p.unlisted,
           p.uploads_in_flight, p.uploads_per_s, p.upload_busy, p.bytes_in_per_s, p.reads_per_s,
           p.read_busy, p.bytes_out_per_s
      from jsonb_to_recordset($1::jsonb) as p (
           node text, at_s bigint, nodes float8, cpu float8, memory float8, storage float8,
           max_storage float8, contents float8, unlisted float8, uploads_in_flight float8,
           uploads_per_s float8, upload_busy float8, bytes_in_per_s float8, reads_per_s float8,
           read_busy float8, bytes_out_per_s float8)
     cross join unnest($2::bigint[]) as step (s)
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
    delete from stats_history where ctid in (
        select ctid from stats_history where step_s = $1 and at_s < $2 limit $3)";

const READ: &str = "
    select at_s / $1 * $1, sum(samples)::bigint,
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
     where step_s = $2 and node = $3 and at_s >= $4 and at_s < $5
     group by 1 order by 1";

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
