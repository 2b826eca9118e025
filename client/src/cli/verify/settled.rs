//! A content compared as it is, also while it changes: the catalog follows the nodes a moment later, and
//! followers their leader. Both end within the pauses here, damage and losses do not.

use std::time::Duration;

use futures_util::future::join_all;
use wire::content::ContentItem;
use wire::membership::NodesAnswer;
use wire::{ContentId, NodeName};

use super::comparison::{Comparison, Copy};
use crate::api::RequestError;
use crate::cli::Session;
use crate::cli::failure::{Caused, Failure, Kind};

/// How often a content is compared at most: after that it changes faster than that can be done.
const ROUNDS_MAX: usize = 8;

/// How often copies must differ from the same version, a pause between, until that is what they are.
const ROUNDS_SAME: usize = 3;

/// More than a follower needs to learn what is committed, and the catalog to list it, mostly.
const PAUSE: Duration = Duration::from_millis(500);

/// What came of a content.
#[derive(Debug)]
pub(super) enum Settled {
    /// It was compared as it is now.
    Compared(Comparison),
    /// It was deleted meanwhile.
    Gone,
    /// It was updated each time before it was compared.
    Changing,
}

/// What a content is by now.
enum Now {
    Same,
    Newer(Box<ContentItem>),
    Gone,
    /// The catalog lists what its shard's leader does not have: that is no change.
    Missing,
}

/// Compares a content's copies, again while they may only be on their way from one version to the next.
pub(super) async fn settle(session: &Session, item: ContentItem) -> Result<Settled, Failure> {
    let (mut item, mut same) = (item, 0);
    for _ in 0..ROUNDS_MAX {
        let comparison = compare(session, &item).await?;
        if comparison.agree || !comparison.may_pass() {
            return Ok(Settled::Compared(comparison));
        }
        match look_again(session, &item).await? {
            Now::Same => same += 1,
            Now::Newer(newer) => (item, same) = (*newer, 0),
            Now::Gone => return Ok(Settled::Gone),
            Now::Missing => return Ok(Settled::Compared(comparison)),
        }
        if same == ROUNDS_SAME {
            return Ok(Settled::Compared(comparison));
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(Settled::Changing)
}

/// Asks the catalog, and where it knows nothing newer, the shard's leader, which is never behind.
async fn look_again(session: &Session, item: &ContentItem) -> Result<Now, Failure> {
    let (id, version) = (item.row.id, item.row.version);
    let looked = |error: RequestError| Failure::caused(format!("cannot look up {id}"), &error);
    match session.client.info(id, Some(version + 1)).await {
        Ok(now) if now.row.version > version => return Ok(Now::Newer(Box::new(now))),
        Ok(now) if now.row.version == version => return Ok(Now::Same),
        Ok(_) => return Ok(Now::Missing),
        Err(error) if error.code() == Some(wire::Code::Deleted) => return Ok(Now::Gone),
        Err(error) if error.kind() == Kind::NotFound => {}
        Err(error) => return Err(looked(error)),
    }
    // What was deleted long ago no node remembers, nor does the catalog.
    match session.client.info(id, None).await {
        Ok(_) => Ok(Now::Missing),
        Err(error) if error.kind() == Kind::NotFound => Ok(Now::Gone),
        Err(error) => Err(looked(error)),
    }
}

async fn compare(session: &Session, item: &ContentItem) -> Result<Comparison, Failure> {
    let row = &item.row;
    let asked = session.client.nodes().await;
    let failed = |error| Failure::caused(format!("cannot ask for the nodes of {}", row.id), &error);
    let nodes = asked.map_err(failed)?;
    let asked = copies(&nodes, row.id).into_iter().map(|(node, url)| async {
        let verified: Result<_, RequestError> = match url {
            Some(url) => session
                .client
                .verify(&url, row.id, row.size)
                .await
                .map(Some),
            None => Ok(None),
        };
        Copy::new(node, verified)
    });
    Ok(Comparison::new(row, join_all(asked).await, nodes.copies))
}

/// The nodes that must have a content, and where they are.
fn copies(nodes: &NodesAnswer, id: ContentId) -> Vec<(NodeName, Option<String>)> {
    let shard = nodes.shards.iter().find(|entry| entry.shard == id.shard());
    let names = shard.map(|entry| entry.in_sync.clone()).unwrap_or_default();
    let located = names.into_iter().map(|name| {
        let url = nodes.nodes.get(&name).map(|entry| entry.public_url.clone());
        (name, url)
    });
    located.collect()
}
