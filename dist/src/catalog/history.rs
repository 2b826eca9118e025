//! What both databases share of the history of statistics.

use serde::Serialize;
use wire::history::{HistoryPoint, Measures};
use wire::{NodeName, Timestamp};

use super::QueryError;
use super::listing::from_column;

/// A length of steps, and how long they are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// The length of a step, in seconds.
    pub step_s: u64,
    /// How long its steps are kept, in seconds.
    pub kept_s: u64,
}

/// Every sample goes into one step of each of these: an hour of each sample, a day of minutes, a week
/// of ten minutes are 2,880 rows a node. Each length is a multiple of the one before.
pub const LEVELS: [Level; 3] = [
    Level {
        step_s: 5,
        kept_s: 60 * 60,
    },
    Level {
        step_s: 60,
        kept_s: 24 * 60 * 60,
    },
    Level {
        step_s: 600,
        kept_s: 7 * 24 * 60 * 60,
    },
];

/// Rows that one call forgets, at most: a few milliseconds. More go with the next call.
pub(super) const FORGOTTEN_ROWS_MAX: u64 = 10_000;

/// What all nodes said at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// When, in seconds since 1970.
    pub at_s: u64,
    /// Of each node that answered.
    pub nodes: Vec<(NodeName, Measures)>,
    /// Of all of them together.
    pub cluster: Measures,
}

/// Which part of the history is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Whose; none for the cluster's.
    pub node: Option<NodeName>,
    /// From this second on, a multiple of `step_s`.
    pub from_s: u64,
    /// Before this second.
    pub to_s: u64,
    /// The length of the steps in the answer: a multiple of `stored_s`.
    pub step_s: u64,
    /// The length of the stored steps that are read: one of [`LEVELS`].
    pub stored_s: u64,
}

impl HistoryQuery {
    /// The node's name as it is stored.
    pub(super) fn name(&self) -> &str {
        self.node.as_ref().map_or("", NodeName::as_str)
    }
}

/// A sample of one node, as both databases take it: an object of JSON.
#[derive(Serialize)]
pub(super) struct JsonSample<'a> {
    node: &'a str,
    at_s: u64,
    #[serde(flatten)]
    measures: Measures,
}

impl Sample {
    /// One entry for each node, and one for the cluster.
    pub(super) fn rows(&self) -> Vec<JsonSample<'_>> {
        let row = |node, measures| JsonSample {
            node,
            at_s: self.at_s,
            measures,
        };
        let nodes = self.nodes.iter();
        nodes
            .map(|(node, measures)| row(node.as_str(), *measures))
            .chain([row("", self.cluster)])
            .collect()
    }
}

/// The statement that brings a sample to its steps, given how a database makes rows of it. A step that is
/// there already has its averages moved.
macro_rules! record {
    ($rows:literal) => {
        concat!(
            "
    insert into stats_history as h (
        step_s, node, at_s, samples, nodes, cpu, memory, storage, max_storage, contents,
        unlisted, uploads_in_flight, uploads_per_s, upload_busy, bytes_in_per_s, reads_per_s,
        read_busy, bytes_out_per_s)",
            $rows,
            "
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
           bytes_out_per_s = h.bytes_out_per_s + (excluded.bytes_out_per_s - h.bytes_out_per_s) / (h.samples + 1)"
        )
    };
}
pub(super) use record;

/// The averages of a node's steps, put together into longer ones.
pub(super) const READ: &str = "
    select at_s / $1 * $1, cast(sum(samples) as bigint),
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

/// A row that [`READ`] gives, from its whole numbers and its averages.
pub(super) fn point(
    number: impl Fn(usize) -> Result<i64, QueryError>,
    average: impl Fn(usize) -> Result<f64, QueryError>,
) -> Result<HistoryPoint, QueryError> {
    let at_s: u64 = from_column(number(0)?, "at_s")?;
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
        Timestamp(at_s.saturating_mul(1000)),
        from_column(number(1)?, "samples")?,
        measures,
    ))
}
