//! What is drawn of a cluster, and of a node.

use wire::history::HistoryPoint;

use crate::console::figures::{short, size, whole};

/// Reads what is drawn at a point; none where there was nothing to measure.
pub(super) type Value = fn(&HistoryPoint) -> Option<f64>;

/// One line of a chart.
pub(super) struct Line {
    pub(super) name: &'static str,
    pub(super) value: Value,
}

/// A chart whose lines share a scale.
pub(super) struct Chart {
    pub(super) title: &'static str,
    pub(super) unit: fn(f64) -> String,
    /// By how much the next larger unit is larger.
    pub(super) thousand: f64,
    pub(super) lines: &'static [Line],
}

/// Of all nodes together.
pub(super) const CLUSTER: &[Chart] = &[THROUGHPUT, REQUESTS, LATENCY];

/// Of one node.
pub(super) const NODE: &[Chart] = &[THROUGHPUT, REQUESTS, LATENCY, STORAGE, PROCESSOR, MEMORY];

const THROUGHPUT: Chart = Chart {
    title: "Throughput",
    unit: |value| format!("{}/s", size(whole(value))),
    thousand: 1024.0,
    lines: &[
        Line {
            name: "received",
            value: |point| Some(point.measures.bytes_in_per_s),
        },
        Line {
            name: "sent",
            value: |point| Some(point.measures.bytes_out_per_s),
        },
    ],
};

const REQUESTS: Chart = Chart {
    title: "Requests",
    unit: |value| format!("{}/s", short(value)),
    thousand: 1000.0,
    lines: &[
        Line {
            name: "uploads",
            value: |point| Some(point.measures.uploads_per_s),
        },
        Line {
            name: "reads",
            value: |point| Some(point.measures.reads_per_s),
        },
    ],
};

const LATENCY: Chart = Chart {
    title: "Latency",
    unit: |value| format!("{} ms", short(value)),
    thousand: 1000.0,
    lines: &[
        Line {
            name: "upload",
            value: |point| point.upload_ms,
        },
        Line {
            name: "first byte",
            value: |point| point.read_ms,
        },
    ],
};

/// Without its limit: beside that, days of growth are a flat line.
const STORAGE: Chart = Chart {
    title: "Storage",
    unit: |value| size(whole(value)),
    thousand: 1024.0,
    lines: &[Line {
        name: "used",
        value: |point| Some(point.measures.storage),
    }],
};

const PROCESSOR: Chart = Chart {
    title: "Processor",
    unit: |value| format!("{} %", short(value)),
    thousand: 1000.0,
    lines: &[Line {
        name: "the whole machine",
        value: |point| Some(point.measures.cpu),
    }],
};

const MEMORY: Chart = Chart {
    title: "Memory",
    unit: |value| size(whole(value)),
    thousand: 1024.0,
    lines: &[Line {
        name: "the node's process",
        value: |point| Some(point.measures.memory),
    }],
};
