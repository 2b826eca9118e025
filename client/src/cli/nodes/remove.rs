//! `client remove`: a node that is gone for good.

use wire::NodeName;

use super::super::Session;
use super::super::failure::Failure;

/// Remove a node from the cluster.
///
/// It must be drained, or dead and hold nothing. A process that was removed does not come back; one
/// that is started anew under its name is a new node.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The node.
    node: NodeName,
    /// Remove a dead node although shards name it: its copies are made anew from others at once.
    #[arg(long)]
    force: bool,
}

pub(in crate::cli) async fn run(session: &Session, arguments: Arguments) -> Result<(), Failure> {
    let Arguments { node, force } = arguments;
    let removed = if force {
        session.client.remove_dead_node(&node).await
    } else {
        session.client.remove_node(&node).await
    };
    let removed =
        removed.map_err(|error| Failure::caused(format!("cannot remove {node}"), &error))?;
    session.ui.data(&removed, || node.to_string())?;
    Ok(())
}
