//! `client stats`: how full and how busy each node is.

mod past;
mod picture;
mod rows;
mod watch;

use std::time::{Duration, SystemTime};

use wire::stats::{ClusterStats, NodeStats};

use crate::api::Client;
use crate::ui::colour::{Hue, Palette};
use crate::ui::table::Table;
use crate::ui::{Format, Ui, human};

use super::Session;
use super::failure::Failure;
use past::Past;

/// Between two looks with `--watch`: distributors look every second, and one look may be late.
const EVERY: Duration = Duration::from_secs(2);

/// How long a look with `--watch` may take before somebody is told.
const LATE: Duration = Duration::from_secs(5);

const COLUMNS: [&str; 11] = [
    "node",
    ">storage",
    ">of",
    ">%",
    ">memory",
    // Of all that runs there, and not of the node alone.
    ">machine cpu %",
    ">uploads",
    ">contents",
    ">unlisted",
    ">damaged",
    ">up",
];

/// Show every node's statistics, and their sums.
///
/// With --watch on a terminal: charts of what is received, sent and done, of how long that takes, and
/// of each node's load and storage; `q` or Ctrl-C ends. Elsewhere a row of numbers for each look, with
/// --json all statistics.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Look again every two seconds, until interrupted.
    #[arg(long, short)]
    watch: bool,
}

impl Arguments {
    /// Whether the screen of a terminal is drawn on. One that is `dumb` has none, as it has no colours.
    pub(super) fn is_on_screen(&self, ui: &Ui) -> bool {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        self.watch && ui.format() == Format::Text && ui.is_stdout_terminal() && !dumb
    }
}

pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<(), Failure> {
    if arguments.is_on_screen(&session.ui) {
        return watch::run(session).await;
    }
    if !arguments.watch {
        let stats = ask(&session.client).await?;
        return Ok(session
            .ui
            .data(&stats, || text(&stats, session.ui.palette()))?);
    }
    let mut look = tokio::time::interval(EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut past, mut headed) = (Past::default(), false);
    loop {
        look.tick().await;
        let stats = ask_aloud(session).await?;
        let now_ms = now_ms();
        past.look(now_ms, &stats);
        session.ui.data(&stats, || {
            let row = rows::row(now_ms, &stats, &past);
            if headed {
                row
            } else {
                format!("{}\n{row}", rows::heading())
            }
        })?;
        headed = true;
    }
}

async fn ask(client: &Client) -> Result<ClusterStats, Failure> {
    let asked = client.stats().await;
    asked.map_err(|error| Failure::caused("cannot ask for the statistics", &error))
}

/// As [`ask`]; a person is told when it takes long.
async fn ask_aloud(session: &Session) -> Result<ClusterStats, Failure> {
    let mut asked = std::pin::pin!(ask(&session.client));
    if let Ok(answer) = tokio::time::timeout(LATE, &mut asked).await {
        return answer;
    }
    session.ui.note(&no_answer(&session.client));
    asked.await
}

/// That whoever is asked is silent.
fn no_answer(client: &Client) -> String {
    let (url, late) = (client.endpoint(), human::duration(LATE));
    format!("nothing newer: {url} did not answer within {late}")
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

fn text(stats: &ClusterStats, palette: Palette) -> String {
    let mut table = Table::new(&COLUMNS);
    for (name, node) in &stats.nodes {
        match node {
            Some(node) => table.row(cells(name.as_str(), node)),
            None => {
                let mut row = vec!["-".to_owned(); COLUMNS.len()];
                row[0] = name.to_string();
                row[COLUMNS.len() - 1] = palette.paint(Hue::Bad, "down");
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
        let stats = ClusterStats {
            nodes,
            total: node,
            contents_led: 0,
            shards: Vec::new(),
        };
        let text = text(&stats, Palette::PLAIN);
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|l| l.split_whitespace().collect())
            .collect();
        assert!(text.contains("  machine cpu %  "), "{text}");
        assert_eq!(lines[1][..6], ["node1", "1.0", "GiB", "0", "B", "12.3"]);
        assert_eq!((lines[2][0], lines[2].last()), ("node2", Some(&"down")));
        assert_eq!(lines[3][0], "total");
    }
}
