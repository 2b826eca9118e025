//! `client remove`: a node that is gone for good.

use std::collections::BTreeSet;

use wire::membership::{NodesAnswer, ShardEntry};
use wire::{NodeName, ShardNo};

use super::super::Session;
use super::super::failure::Failure;
use super::drain::shards_on;
use super::look::look_again;
use super::watch::Watch;

/// Remove a node from the cluster.
///
/// It must be drained, or dead and hold nothing. A process that was removed does not come back; one
/// that is started anew under its name is a new node.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The node.
    node: NodeName,
    /// Remove a dead node although shards name it: its copies are made anew from others at once, and
    /// waited for.
    #[arg(long)]
    force: bool,
    /// Do not wait for the copies.
    #[arg(long, requires = "force")]
    no_wait: bool,
}

pub(in crate::cli) async fn run(session: &Session, arguments: Arguments) -> Result<(), Failure> {
    let Arguments {
        node,
        force,
        no_wait,
    } = arguments;
    let held = match force && !no_wait {
        true => numbers(&shards_on(&node, &look(session).await?)),
        false => BTreeSet::new(),
    };
    let removed = if force {
        session.client.remove_dead_node(&node).await
    } else {
        session.client.remove_node(&node).await
    };
    let removed =
        removed.map_err(|error| Failure::caused(format!("cannot remove {node}"), &error))?;
    // It is gone, whatever becomes of the wait.
    session.ui.data(&removed, || node.to_string())?;
    if held.is_empty() {
        return Ok(());
    }
    wait(session, &node, &held).await
}

async fn look(session: &Session) -> Result<NodesAnswer, Failure> {
    let asked = session.client.nodes().await;
    asked.map_err(|error| Failure::caused("cannot ask for the nodes", &error))
}

fn numbers(shards: &[&ShardEntry]) -> BTreeSet<ShardNo> {
    shards.iter().map(|shard| shard.shard).collect()
}

/// Looks until what the node held is kept in as many copies as there shall be.
async fn wait(session: &Session, node: &NodeName, held: &BTreeSet<ShardNo>) -> Result<(), Failure> {
    let mut watch = Watch::new(session, "copying", node.as_str());
    loop {
        let cluster = look_again(&session.client, |text| session.ui.note(text)).await?;
        let all = cluster
            .shards
            .iter()
            .filter(|shard| held.contains(&shard.shard));
        let lacking =
            all.filter_map(|shard| Some((shard, bytes_left(shard, node, cluster.copies)?)));
        let (shards, bytes): (Vec<&ShardEntry>, Vec<u64>) = lacking.unzip();
        if shards.is_empty() {
            session.ui.note("what it held has all its copies again");
            return Ok(());
        }
        watch.show(shards.len() as u64, bytes.iter().sum());
        watch.explain(&cluster, &shards).await;
    }
}

/// How much is to be copied until a shard has its copies without the node; none if it has them.
fn bytes_left(shard: &ShardEntry, node: &NodeName, copies: Option<u8>) -> Option<u64> {
    let wanted = usize::from(copies.unwrap_or(shard.min_in_sync));
    let has = shard.in_sync.iter().filter(|name| *name != node).count();
    let lacks = wanted.checked_sub(has).filter(|lacks| *lacks > 0)?;
    let joining = shard
        .replicas
        .iter()
        .filter(|r| !r.in_sync && r.node != *node);
    let got: u64 = joining.map(|r| r.progress.bytes.min(shard.bytes)).sum();
    Some((shard.bytes * lacks as u64).saturating_sub(got))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bed::cluster;

    // If this fails, an operator believes that all is mirrored again while half of it is not, or waits for ever.
    #[test]
    fn what_a_new_replica_has_already_is_done() {
        let (gone, copies) = ("node2".parse().expect("a name"), Some(2));
        let mut shard = cluster().shards.remove(0);
        assert_eq!(
            bytes_left(&shard, &gone, copies),
            Some(2048),
            "its own do not count"
        );
        assert_eq!(bytes_left(&shard, &gone, Some(3)), Some(4096));
        assert_eq!(bytes_left(&shard, &gone, Some(1)), None);
        assert_eq!(
            bytes_left(&shard, &gone, None),
            Some(2048),
            "an older distributor's"
        );
        shard.in_sync.pop();
        let mut next = shard.replicas[1].clone();
        (next.node, next.in_sync) = ("node3".parse().expect("a name"), false);
        next.progress.bytes = 2000;
        shard.replicas[1] = next;
        assert_eq!(bytes_left(&shard, &gone, copies), Some(48));
        shard.in_sync.push("node3".parse().expect("a name"));
        assert_eq!(bytes_left(&shard, &gone, copies), None);
    }
}
