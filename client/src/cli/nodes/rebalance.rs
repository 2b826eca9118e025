//! `client rebalance`: nodes become equally full.

use std::time::Instant;

use wire::membership::{Health, NodesAnswer, ServiceRole};

use crate::ui::human;

use super::super::Session;
use super::super::failure::Failure;
use super::TELL_EVERY;
use super::look::look_again;
use super::progress::Progress;

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
    session.ui.data(&answer, || state(&answer))?;
    Ok(())
}

fn state(answer: &NodesAnswer) -> String {
    let loads = loads(answer);
    let range = loads.iter().min().zip(loads.iter().max());
    let range = range.map_or_else(String::new, |(least, most)| {
        format!(": {} to {} a node", human::size(*least), human::size(*most))
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
    let bar = session.ui.board().work("moving");
    let mut progress = Progress::new(excess(&first), Instant::now());
    let mut answer = first;
    let mut told: Option<Instant> = None;
    while answer.rebalancing {
        let left = excess(&answer);
        let (done, of) = progress.look(left);
        let moving = moving(&answer);
        bar.show_whole(done, of);
        bar.say(format!("copies on their way: {moving}"));
        let now = Instant::now();
        let is_time = told.is_none_or(|told| now.saturating_duration_since(told) >= TELL_EVERY);
        if !session.ui.board().is_shown() && is_time {
            told = Some(now);
            let left = human::size(left);
            let estimate = progress.estimate_in_words(now);
            session.ui.note(&format!(
                "about {left} to move, copies on their way: {moving}{estimate}"
            ));
        }
        answer = look_again(&session.client, |text| session.ui.note(text)).await?;
    }
    Ok(answer)
}

/// Shards with a replica that is not in sync: copies on their way.
fn moving(answer: &NodesAnswer) -> usize {
    let each = answer.shards.iter();
    each.filter(|shard| shard.in_sync.len() < shard.replicas.len())
        .count()
}

/// What each node holds that replicas can be moved to or from, in bytes.
fn loads(answer: &NodesAnswer) -> Vec<u64> {
    let nodes = answer.nodes.values().filter(|entry| {
        entry.role == ServiceRole::Node && entry.health == Health::Up && entry.draining.is_none()
    });
    nodes
        .map(|entry| entry.shards.iter().map(|shard| shard.progress.bytes).sum())
        .collect()
}

/// How much is where there should be less, in bytes.
fn excess(answer: &NodesAnswer) -> u64 {
    let loads = loads(answer);
    let mean = loads.iter().sum::<u64>() / (loads.len() as u64).max(1);
    loads.iter().map(|load| load.saturating_sub(mean)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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

    // If this fails, an operator is told that all is moved while half of it is not.
    #[test]
    fn what_is_above_the_mean_is_to_be_moved() {
        assert_eq!(excess(&answer(&[0, 100, 200], true)), 100);
        assert_eq!(excess(&answer(&[], true)), 0);
        let said = state(&answer(&[1024, 2048], true));
        assert_eq!(said, "replicas are being moved: 1.0 KiB to 2.0 KiB a node");
        assert_eq!(state(&answer(&[], false)), "nothing is being moved");
    }
}
