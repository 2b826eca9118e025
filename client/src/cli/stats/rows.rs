//! `client stats --watch` where there is no terminal: a row for each look.

use wire::history::Measures;
use wire::stats::ClusterStats;

use super::past::Past;
use super::picture::time;

/// The columns' names and widths; numbers all, without units, so that `awk` can reckon with them.
const COLUMNS: [(&str, usize); 12] = [
    ("time", 12),
    ("up", 4),
    ("nodes", 5),
    ("used_%", 6),
    ("contents", 10),
    ("in_MiB/s", 9),
    ("out_MiB/s", 9),
    ("uploads/s", 9),
    ("reads/s", 9),
    ("upload_ms", 9),
    ("read_ms", 9),
    ("unlisted", 8),
];

pub(super) fn heading() -> String {
    line(COLUMNS.map(|(name, _)| name.to_owned()))
}

/// The last look, with what follows from the one before; `-` where nothing does.
pub(super) fn row(now_ms: u64, stats: &ClusterStats, past: &Past) -> String {
    let now = past.cluster.now();
    let of = |value: fn(&Measures) -> Option<f64>| {
        now.and_then(value)
            .map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"))
    };
    const MIB: f64 = 1_048_576.0;
    line([
        time(now_ms).replace(' ', ""),
        stats.nodes.values().flatten().count().to_string(),
        stats.nodes.len().to_string(),
        format!("{:.1}", stats.total.storagep),
        stats.contents_led.to_string(),
        of(|measures| Some(measures.bytes_in_per_s / MIB)),
        of(|measures| Some(measures.bytes_out_per_s / MIB)),
        of(|measures| Some(measures.uploads_per_s)),
        of(|measures| Some(measures.reads_per_s)),
        of(Measures::upload_ms),
        of(Measures::read_ms),
        stats.total.unlisted.to_string(),
    ])
}

fn line(cells: [String; COLUMNS.len()]) -> String {
    let cells = cells
        .iter()
        .zip(COLUMNS)
        .map(|(cell, (_, width))| format!("{cell:>width$}"));
    cells.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::stats::{NodeStats, Traffic};

    // If this fails, a script that watches reads another column than its heading says.
    #[test]
    fn each_row_has_a_number_for_each_heading() {
        let stats = |bytes_in: u64| {
            let node = NodeStats {
                storagep: 12.34,
                unlisted: 3,
                traffic: Traffic {
                    uploads: bytes_in >> 20,
                    upload_us: (bytes_in >> 20) * 1500,
                    bytes_in,
                    ..Traffic::default()
                },
                ..NodeStats::default()
            };
            let name = |text: &str| text.parse().expect("a name");
            ClusterStats {
                nodes: [(name("node1"), Some(node.clone())), (name("node2"), None)].into(),
                total: node,
                contents_led: 42,
                shards: Vec::new(),
            }
        };
        let mut past = Past::default();
        past.look(1_769_860_800_000, &stats(0));
        let first = row(1_769_860_800_000, &stats(0), &past);
        past.look(1_769_860_802_000, &stats(8 << 20));
        let second = row(1_769_860_802_000, &stats(8 << 20), &past);
        let cells = |line: &str| {
            line.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(cells(&heading()).len(), COLUMNS.len());
        let expected = "12:00:00UTC 1 2 12.3 42 - - - - - - 3";
        assert_eq!(cells(&first).join(" "), expected);
        let expected = "12:00:02UTC 1 2 12.3 42 4.00 0.00 4.00 0.00 1.50 - 3";
        assert_eq!(cells(&second).join(" "), expected);
        assert_eq!(
            first.len(),
            heading().len(),
            "columns stand below each other"
        );
    }
}
