//! `client rebalance`: nodes become equally full.

use wire::membership::{Health, NodeEntry, NodesAnswer, ServiceRole, ShardEntry};

use crate::cli::copying::{Stats, room_of, untold, untold_in_words};
use crate::ui::{Format, human};

use super::super::Session;
use super::super::failure::Failure;
use super::look::look_again;
use super::watch::Watch;

/// Move replicas from the fullest nodes to the emptiest, until they are about equally full.
///
/// A replica is added before another one goes, so nothing is kept in fewer copies meanwhile. It goes
/// on when this command is interrupted; the same command waits for it again.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// Begin no further moves.
    #[arg(long)]
    undo: bool,
    /// Do not wait.
    #[arg(long, conflicts_with = "undo")]
    no_wait: bool,
}

pub(in crate::cli) async fn run(session: &Session, arguments: Arguments) -> Result<(), Failure> {
    let ordered = if arguments.undo {
        session.client.settle().await
    } else {
        session.client.rebalance().await
    };
    let mut answer =
        ordered.map_err(|error| Failure::caused("cannot give the order to rebalance", &error))?;
    if !arguments.undo && !arguments.no_wait {
        answer = wait(session, answer).await?;
    }
    let stats = match session.ui.format() {
        // Without them it is told in bytes alone.
        Format::Text => session.client.stats().await.ok(),
        Format::Json => None,
    };
    let stats = stats.map(|stats| stats.nodes).unwrap_or_default();
    session.ui.data(&answer, || state(&answer, &stats))?;
    Ok(())
}

/// What a node holds that replicas can be moved to or from.
struct Load {
    /// Its replicas, in bytes.
    bytes: u64,
    /// What it may hold, in bytes; none where that is not known of all.
    room: Option<u64>,
}

impl Load {
    /// How full it is, beside others.
    fn share(&self) -> f64 {
        self.bytes as f64 / self.room.unwrap_or(1) as f64
    }

    fn in_words(&self) -> String {
        let size = human::size(self.bytes);
        match self.room {
            Some(_) => format!("{size} ({:.1} %)", self.share() * 100.0),
            None => size,
        }
    }
}

fn state(answer: &NodesAnswer, stats: &Stats) -> String {
    let mut loads = loads(answer, stats);
    loads.sort_by(|a, b| a.share().total_cmp(&b.share()));
    let range = loads.first().zip(loads.last());
    let range = range.map_or_else(String::new, |(least, most)| {
        format!(": {} to {} a node", least.in_words(), most.in_words())
    });
    let moves = if answer.rebalancing {
        "replicas are being moved"
    } else {
        "nothing is being moved"
    };
    format!("{moves}{range}")
}

/// Looks until the controller has found nothing more to move.
async fn wait(session: &Session, first: NodesAnswer) -> Result<NodesAnswer, Failure> {
    let mut watch = Watch::new(session, "moving", "rebalance");
    let mut answer = first;
    while answer.rebalancing {
        let moving = moving(&answer);
        let begins = |stats: &Stats| {
            let untold = moving.is_empty().then(|| untold(&answer, stats));
            untold_in_words(&untold.unwrap_or_default())
        };
        watch.explain_or(&answer, &moving, begins).await;
        let left = excess(&loads(&answer, watch.stats()));
        watch.show_moves(left, moving.len());
        answer = look_again(&session.client, |text| session.ui.note(text)).await?;
    }
    Ok(answer)
}

/// Shards with a replica that is not in sync: copies on their way.
fn moving(answer: &NodesAnswer) -> Vec<&ShardEntry> {
    let each = answer.shards.iter();
    each.filter(|shard| shard.in_sync.len() < shard.replicas.len())
        .collect()
}

/// What nodes hold. The controller weighs it by what they may hold, and where it does not know that of all, by
/// nothing.
fn loads(answer: &NodesAnswer, stats: &Stats) -> Vec<Load> {
    let nodes = answer.nodes.iter().filter(|(_, entry)| {
        entry.role == ServiceRole::Node && entry.health == Health::Up && entry.draining.is_none()
    });
    let load = |(name, entry): (_, &NodeEntry)| Load {
        bytes: entry.shards.iter().map(|shard| shard.progress.bytes).sum(),
        room: room_of(stats, name),
    };
    let mut loads: Vec<Load> = nodes.map(load).collect();
    if loads.iter().any(|load| load.room.is_none()) {
        for load in &mut loads {
            load.room = None;
        }
    }
    loads
}

/// How much is where there should be less, in bytes: above what a node would hold if all were equally full.
fn excess(loads: &[Load]) -> u64 {
    let room = |load: &Load| u128::from(load.room.unwrap_or(1));
    let bytes: u128 = loads.iter().map(|load| u128::from(load.bytes)).sum();
    let rooms: u128 = loads.iter().map(room).sum();
    let above = loads.iter().map(|load| {
        let equal = bytes.saturating_mul(room(load)) / rooms.max(1);
        load.bytes
            .saturating_sub(u64::try_from(equal).unwrap_or(u64::MAX))
    });
    above.sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use wire::stats::NodeStats;

    fn answer(loads: &[u64], rebalancing: bool) -> NodesAnswer {
        let entry = |bytes: &u64| {
            json!({
                "host": "h", "port": 1, "public_url": "http://h", "role": "node", "health": "up",
                "shards": [{"shard": 1, "role": "leader", "state": "open", "bytes": bytes}],
            })
        };
        let nodes: serde_json::Map<String, serde_json::Value> = loads
            .iter()
            .enumerate()
            .map(|(number, bytes)| (format!("node{number}"), entry(bytes)))
            .collect();
        let answer = json!({
            "cluster": "c9a646d3-9c61-4cb7-bfcd-ee2522c8f633", "nodes": nodes,
            "rebalancing": rebalancing,
        });
        serde_json::from_value(answer).expect("reads")
    }

    /// What nodes said that may hold so much.
    fn rooms(rooms: &[u64]) -> Stats {
        let told = |(number, max_storage): (usize, &u64)| {
            let told = NodeStats {
                max_storage: *max_storage,
                ..NodeStats::default()
            };
            let name = format!("node{number}").parse().expect("a name");
            (name, Some(told))
        };
        rooms.iter().enumerate().map(told).collect()
    }

    // If this fails, an operator is told that all is moved while half of it is not.
    #[test]
    fn what_is_above_an_equal_share_is_to_be_moved() {
        let left = |bytes: &[u64], told: &[u64]| excess(&loads(&answer(bytes, true), &rooms(told)));
        assert_eq!(left(&[0, 100, 200], &[]), 100, "nobody has told");
        assert_eq!(left(&[], &[]), 0);
        assert_eq!(left(&[100, 400], &[1000, 4000]), 0);
        assert_eq!(left(&[300, 200], &[1000, 4000]), 200);
        assert_eq!(left(&[300, 200], &[1000]), 50, "one has not told");
        assert_eq!(
            left(&[u64::MAX, 0], &[u64::MAX, u64::MAX]),
            u64::MAX / 2 + 1
        );
    }

    // If this fails, a small node that is full looks like one that is almost empty.
    #[test]
    fn the_range_is_that_of_shares_where_they_are_known() {
        let said = state(&answer(&[1024, 2048], true), &Stats::new());
        assert_eq!(said, "replicas are being moved: 1.0 KiB to 2.0 KiB a node");
        let said = state(&answer(&[1024, 2048], true), &rooms(&[2048, 8192]));
        let range = "2.0 KiB (25.0 %) to 1.0 KiB (50.0 %) a node";
        assert_eq!(said, format!("replicas are being moved: {range}"));
        let said = state(&answer(&[], false), &Stats::new());
        assert_eq!(said, "nothing is being moved");
    }
}
