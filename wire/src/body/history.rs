//! What statistics were: averages over time, as `GET /stats/history` answers them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::name::NodeName;
use crate::timestamp::Timestamp;

/// The averages of one step. Those of a cluster are sums over its nodes, but for `cpu`.
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Measures {
    /// Nodes that answered.
    pub nodes: f64,
    /// CPU load, 0 to 100; a cluster's is the mean of its nodes'.
    pub cpu: f64,
    /// Resident memory, in bytes.
    pub memory: f64,
    /// What the data takes on the disk, in bytes.
    pub storage: f64,
    /// The most that may be stored, in bytes.
    pub max_storage: f64,
    /// Live contents, each copy counted.
    pub contents: f64,
    /// Committed records that are not listed yet.
    pub unlisted: f64,
    /// Uploads whose bodies are being received.
    pub uploads_in_flight: f64,
    /// Uploads and updates, per second.
    pub uploads_per_s: f64,
    /// Seconds that uploads took, per second: how many were under way.
    pub upload_busy: f64,
    /// Bytes received, per second.
    pub bytes_in_per_s: f64,
    /// Reads, per second.
    pub reads_per_s: f64,
    /// Seconds that reads took until their first byte, per second.
    pub read_busy: f64,
    /// Bytes sent, per second.
    pub bytes_out_per_s: f64,
}

impl Measures {
    /// How long an upload took, in milliseconds; none if there were none.
    pub fn upload_ms(&self) -> Option<f64> {
        (self.uploads_per_s > 0.0).then(|| 1000.0 * self.upload_busy / self.uploads_per_s)
    }

    /// How long a read took until its first byte, in milliseconds; none if there were none.
    pub fn read_ms(&self) -> Option<f64> {
        (self.reads_per_s > 0.0).then(|| 1000.0 * self.read_busy / self.reads_per_s)
    }
}

/// One step of a history.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HistoryPoint {
    /// When the step began.
    pub at: Timestamp,
    /// How many samples the averages are of.
    pub samples: u64,
    /// The averages.
    #[serde(flatten)]
    pub measures: Measures,
    /// How long an upload took, in milliseconds; none if there were none.
    pub upload_ms: Option<f64>,
    /// How long a read took until its first byte, in milliseconds; none if there were none.
    pub read_ms: Option<f64>,
}

impl HistoryPoint {
    /// A step with what follows from its averages.
    pub fn new(at: Timestamp, samples: u64, measures: Measures) -> Self {
        HistoryPoint {
            at,
            samples,
            upload_ms: measures.upload_ms(),
            read_ms: measures.read_ms(),
            measures,
        }
    }
}

/// `GET /stats/history`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StatsHistory {
    /// Whose it is; none for the whole cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeName>,
    /// The first step's beginning.
    pub from: Timestamp,
    /// Up to here, exclusively.
    pub to: Timestamp,
    /// The length of a step, in seconds.
    pub step_s: u64,
    /// The steps in which there were samples, in ascending order.
    pub points: Vec<HistoryPoint>,
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a chart of latency shows load, or a pause as infinitely slow.
    #[test]
    fn latency_follows_from_averages() {
        let busy = Measures {
            uploads_per_s: 4.0,
            upload_busy: 0.5,
            ..Measures::default()
        };
        assert_eq!((busy.upload_ms(), busy.read_ms()), (Some(125.0), None));
        let text = serde_json::to_string(&HistoryPoint::new(Timestamp(0), 2, busy));
        let text = text.expect("serialises");
        assert!(text.contains(r#""samples":2,"nodes":0.0,"#), "{text}");
        assert!(
            text.ends_with(r#""upload_ms":125.0,"read_ms":null}"#),
            "{text}"
        );
    }
}
