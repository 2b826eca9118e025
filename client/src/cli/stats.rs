//! `client stats`: how full and how busy each node is.

use std::time::Duration;

use wire::stats::{ClusterStats, NodeStats};

use crate::ui::table::Table;
use crate::ui::{Format, human};

use super::Session;
use super::failure::Failure;

/// Between two looks with `--watch`: as often as the distributor itself looks.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// Moves to the top left corner and clears what is below.
const CLEAR: &[u8] = b"\x1b[H\x1b[J";

const COLUMNS: [&str; 11] = [
    "node",
    ">storage",
    ">of",
    ">%",
    ">memory",
    ">cpu %",
    ">uploads",
    ">contents",
    ">unlisted",
    ">damaged",
    ">up",
];

/// Show every node's statistics, and their sums.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Look again every second, until interrupted.
    #[arg(long, short)]
    watch: bool,
}

pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<(), Failure> {
    let redraw =
        arguments.watch && session.ui.format() == Format::Text && session.ui.is_stdout_terminal();
    let mut look = tokio::time::interval(WATCH_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        let asked = session.client.stats().await;
        let stats =
            asked.map_err(|error| Failure::caused("cannot ask for the statistics", &error))?;
        if redraw {
            session.ui.write(CLEAR)?;
        }
        session.ui.data(&stats, || text(&stats))?;
        if !arguments.watch {
            return Ok(());
        }
    }
}

fn text(stats: &ClusterStats) -> String {
    let mut table = Table::new(&COLUMNS);
    for (name, node) in &stats.nodes {
        match node {
            Some(node) => table.row(cells(name.as_str(), node)),
            None => {
                let mut row = vec!["-".to_owned(); COLUMNS.len()];
                row[0] = name.to_string();
                row[COLUMNS.len() - 1] = "down".to_owned();
                table.row(row);
            }
        }
    }
    let mut total = cells("total", &stats.total);
    total[COLUMNS.len() - 1].clear();
    table.row(total);
    table.text()
}

fn cells(name: &str, node: &NodeStats) -> Vec<String> {
    vec![
        name.to_owned(),
        human::size(node.storage),
        human::size(node.max_storage),
        format!("{:.1}", node.storagep),
        human::size(node.memory),
        format!("{:.0}", node.cpu),
        node.uploads_in_flight.to_string(),
        node.contents.to_string(),
        node.unlisted.to_string(),
        node.damaged.to_string(),
        human::duration(Duration::from_secs(node.uptime_s)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a node that is down vanishes from the statistics, or stops them.
    #[test]
    fn a_node_that_is_down_has_its_row() {
        let node = NodeStats {
            storage: 1 << 30,
            storagep: 12.34,
            ..NodeStats::default()
        };
        let name = |text: &str| text.parse().expect("a name");
        let nodes = [(name("node1"), Some(node.clone())), (name("node2"), None)].into();
        let text = text(&ClusterStats {
            nodes,
            total: node,
            contents_led: 0,
        });
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|l| l.split_whitespace().collect())
            .collect();
        assert_eq!(lines[1][..6], ["node1", "1.0", "GiB", "0", "B", "12.3"]);
        assert_eq!((lines[2][0], lines[2].last()), ("node2", Some(&"down")));
        assert_eq!(lines[3][0], "total");
    }
}
