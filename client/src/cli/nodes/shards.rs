//! `client shards`: who holds each shard, and how far.

use wire::NodeName;
use wire::membership::{ReplicaRole, ShardEntry, ShardReplica};
use wire::shard::ShardState;

use crate::ui::colour::{Hue, Palette};
use crate::ui::table::Table;
use crate::ui::{Format, human};

use super::super::Session;
use super::super::failure::Failure;

const WAITS: &str = "hint: `client recover` shows what each shard without a leader waits for";

/// Show each shard: its leader, its replicas, and how far behind they are.
///
/// `position` is the last record that the leader knows committed, `behind` how many records the replica that
/// is furthest behind has yet to get. In `others`, a star marks a node that may lead when none in sync can.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {}

pub(in crate::cli) async fn run(session: &Session, _: Arguments) -> Result<(), Failure> {
    let asked = session.client.nodes().await;
    let answer = asked.map_err(|error| Failure::caused("cannot ask for the shards", &error))?;
    if session.ui.format() == Format::Text {
        let palette = session.ui.palette();
        session
            .ui
            .data(&answer.shards, || text(&answer.shards, palette))?;
        if answer.shards.iter().any(|shard| shard.waits) {
            session.ui.note(WAITS);
        }
        return Ok(());
    }
    for shard in &answer.shards {
        session.ui.data(shard, String::new)?;
    }
    Ok(())
}

fn text(shards: &[ShardEntry], palette: Palette) -> String {
    let headings = [
        ">shard",
        "state",
        ">epoch",
        "leader",
        "in sync",
        "others",
        ">position",
        ">behind",
        ">contents",
        ">size",
        ">damaged",
        "health",
    ];
    let mut table = Table::new(&headings);
    for shard in shards {
        let state = match shard.state {
            ShardState::Open => "open",
            ShardState::Closed => "closed",
        };
        let others = shard.replicas.iter().filter(|replica| !replica.in_sync);
        let damaged: u64 = shard.replicas.iter().map(|r| r.progress.damaged).sum();
        let health = health(shard);
        let hue = match health {
            "ok" => Hue::Good,
            "copies" => Hue::Warning,
            _ => Hue::Bad,
        };
        table.row(vec![
            shard.shard.to_string(),
            state.to_owned(),
            shard.epoch.to_string(),
            leader(shard).map_or("-", NodeName::as_str).to_owned(),
            names(shard.in_sync.iter().map(NodeName::to_string)),
            names(others.map(|replica| other(shard, replica))),
            position(&shard.replicas),
            behind(&shard.replicas),
            shard.contents.to_string(),
            human::size(shard.bytes),
            damaged.to_string(),
            palette.paint(hue, health),
        ]);
    }
    table.text()
}

fn names(nodes: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = nodes.collect();
    if names.is_empty() {
        "-".to_owned()
    } else {
        names.join(",")
    }
}

/// The node that leads; none while the shard waits, although its record names the one that is gone.
fn leader(shard: &ShardEntry) -> Option<&NodeName> {
    shard.leader.as_ref().filter(|_| !shard.waits)
}

/// A replica that is not in sync, with a star if it may lead all the same.
fn other(shard: &ShardEntry, replica: &ShardReplica) -> String {
    let star = if shard.eligible.contains(&replica.node) {
        "*"
    } else {
        ""
    };
    format!("{}{star}", replica.node)
}

/// The last record that the leader knows committed; `?` where nobody leads, or it has not told.
fn position(replicas: &[ShardReplica]) -> String {
    let leader = replicas
        .iter()
        .find(|replica| replica.role == ReplicaRole::Leader);
    let committed = leader.and_then(|leader| leader.progress.committed);
    committed.map_or_else(|| "?".to_owned(), |lsn| lsn.to_string())
}

/// How many records the replica that is furthest behind has not; `?` where one has not told.
fn behind(replicas: &[ShardReplica]) -> String {
    let lags: Option<Vec<u64>> = replicas.iter().map(|r| r.progress.lag).collect();
    lags.map_or_else(
        || "?".to_owned(),
        |lags| lags.iter().max().copied().unwrap_or(0).to_string(),
    )
}

fn health(shard: &ShardEntry) -> &'static str {
    let in_sync = shard.in_sync.len();
    let halted = shard.replicas.iter().any(|replica| replica.progress.halted);
    if leader(shard).is_none() {
        "no leader"
    } else if halted {
        "halted"
    } else if shard.degraded {
        "degraded"
    } else if in_sync < usize::from(shard.min_in_sync) {
        "short"
    } else if in_sync < shard.replicas.len() {
        "copies"
    } else {
        "ok"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::membership::Progress;
    use wire::{Epoch, Lsn, ShardNo};

    fn shard(in_sync: &[&str], all: &[(&str, Option<u64>)]) -> ShardEntry {
        let name = |text: &str| text.parse::<NodeName>().expect("a name");
        let replicas = all.iter().map(|(node, lag)| ShardReplica {
            node: name(node),
            role: ReplicaRole::Follower,
            in_sync: in_sync.contains(node),
            progress: Progress {
                lag: *lag,
                damaged: 1,
                ..Progress::default()
            },
        });
        ShardEntry {
            shard: ShardNo(7),
            state: ShardState::Open,
            epoch: Epoch(3),
            leader: Some(name("node1")),
            in_sync: in_sync.iter().map(|node| name(node)).collect(),
            eligible: Vec::new(),
            min_in_sync: 2,
            degraded: false,
            waits: false,
            bytes: 2048,
            contents: 5,
            replicas: replicas.collect(),
        }
    }

    // If this fails, an operator does not see which shard has lost a copy.
    #[test]
    fn a_row_tells_who_has_it_and_who_is_behind() {
        let mut shard = shard(
            &["node1", "node2"],
            &[("node1", Some(0)), ("node2", Some(0)), ("node3", Some(41))],
        );
        shard.replicas[0].role = ReplicaRole::Leader;
        shard.replicas[0].progress.committed = Some(Lsn(97));
        shard.eligible = vec!["node3".parse().expect("a name")];
        let text = text(&[shard], Palette::PLAIN);
        let row: Vec<&str> = text
            .lines()
            .nth(1)
            .expect("a row")
            .split_whitespace()
            .collect();
        assert_eq!(
            row,
            [
                "7",
                "open",
                "3",
                "node1",
                "node1,node2",
                "node3*",
                "97",
                "41",
                "5",
                "2.0",
                "KiB",
                "3",
                "copies"
            ]
        );
    }

    // If this fails, a shard that waits for an operator looks well.
    #[test]
    fn the_worst_is_told() {
        let whole = shard(&["node1", "node2"], &[("node1", Some(0)), ("node2", None)]);
        assert_eq!(
            (health(&whole), behind(&whole.replicas)),
            ("ok", "?".to_owned())
        );
        assert_eq!(position(&whole.replicas), "?", "nobody leads");
        let alone = shard(&["node1"], &[("node1", Some(0))]);
        assert_eq!(health(&alone), "short");
        let degraded = ShardEntry {
            degraded: true,
            ..alone.clone()
        };
        assert_eq!(health(&degraded), "degraded");
        let mut halted = whole.clone();
        halted.replicas[1].progress.halted = true;
        assert_eq!(health(&halted), "halted");
        halted.waits = true;
        assert_eq!(health(&halted), "no leader", "the one it names is gone");
        let leaderless = ShardEntry {
            leader: None,
            ..degraded
        };
        assert_eq!(health(&leaderless), "no leader");
    }
}
