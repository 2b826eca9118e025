//! `client drain`: a node is emptied.

use wire::NodeName;
use wire::membership::{Draining, NodeEntry, NodesAnswer, ShardEntry};

use super::super::Session;
use super::super::failure::{Failure, Kind};
use super::look::look_again;
use super::watch::{Watch, what_is_left};

/// Empty a node, and wait until it holds nothing any more.
///
/// Others take over what it leads, and make copies of what it holds. It goes on when this command is
/// interrupted; the same command waits for it again.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The node.
    node: NodeName,
    /// Let it be a node like the others again.
    #[arg(long)]
    undo: bool,
    /// Do not wait.
    #[arg(long, conflicts_with = "undo")]
    no_wait: bool,
}

pub(in crate::cli) async fn run(session: &Session, arguments: Arguments) -> Result<(), Failure> {
    let node = arguments.node;
    let ordered = if arguments.undo {
        session.client.undrain(&node).await
    } else {
        session.client.drain(&node).await
    };
    let words = if arguments.undo { "undrain" } else { "drain" };
    let mut entry =
        ordered.map_err(|error| Failure::caused(format!("cannot {words} {node}"), &error))?;
    if !arguments.undo && !arguments.no_wait {
        entry = wait(session, &node, entry).await?;
    }
    session
        .ui
        .data(&entry, || format!("{node} {}", state(entry.draining)))?;
    Ok(())
}

fn state(draining: Option<Draining>) -> String {
    match draining {
        None => "is not drained".to_owned(),
        Some(Draining {
            replicas_left: 0, ..
        }) => "is empty".to_owned(),
        Some(left) => {
            let left = what_is_left(left.replicas_left, left.bytes_left);
            format!("still holds {left} to copy")
        }
    }
}

/// Looks until nothing is left. Ends with a failure when somebody takes the order back.
async fn wait(session: &Session, node: &NodeName, first: NodeEntry) -> Result<NodeEntry, Failure> {
    let mut watch = Watch::new(session, &format!("emptying {node}"), node.as_str());
    let mut entry = first;
    loop {
        let Some(left) = entry.draining else {
            let message = format!("somebody decided that {node} stays");
            return Err(Failure::new(Kind::Conflict, message));
        };
        if left.replicas_left == 0 {
            return Ok(entry);
        }
        watch.show(left.replicas_left, left.bytes_left);
        let mut answer = look_again(&session.client, |text| session.ui.note(text)).await?;
        watch.explain(&answer, &shards_on(node, &answer)).await;
        entry = answer
            .nodes
            .remove(node)
            .ok_or_else(|| Failure::new(Kind::NotFound, format!("{node} was removed meanwhile")))?;
    }
}

/// The shards that a node has a replica of.
pub(super) fn shards_on<'a>(node: &NodeName, cluster: &'a NodesAnswer) -> Vec<&'a ShardEntry> {
    let held = |shard: &&ShardEntry| shard.replicas.iter().any(|replica| replica.node == *node);
    cluster.shards.iter().filter(held).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(replicas_left: u64, bytes_left: u64) -> Draining {
        Draining {
            replicas_left,
            bytes_left,
        }
    }

    // If this fails, an operator is told that a node is empty that is not, or the other way round.
    #[test]
    fn what_is_left_is_said() {
        assert_eq!(state(None), "is not drained");
        assert_eq!(state(Some(left(0, 0))), "is empty");
        let said = state(Some(left(1, 1024)));
        assert_eq!(said, "still holds 1 shard, 1.0 KiB to copy");
    }
}
