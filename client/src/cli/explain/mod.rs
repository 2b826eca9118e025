//! `client explain`: where a content is, and why there.

mod account;
#[cfg(test)]
mod bed;
mod words;

use std::time::Duration;

use futures_util::future::join_all;
use wire::content::ContentRow;
use wire::membership::{NodesAnswer, ShardEntry, ShardReplica};
use wire::operation::Operation;
use wire::{ContentId, Timestamp};

use crate::api::Client;

use super::Session;
use super::failure::{Failure, Kind};
use account::{Account, Asked, Copy, Listing, State};

/// How long a question is repeated: what is wrong now is what is asked for.
const PATIENCE: Duration = Duration::from_secs(3);

/// Show where a content is, and why: its shard, who holds that, and what each copy is.
///
/// Each node that holds the shard reads its copy again, as with `verify`. Ends with 3 when there is no
/// such content, after telling what its id says.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The content.
    id: ContentId,
    /// Have no bytes read: each node looks into its log alone. Damage that nobody met yet is not seen,
    /// and the last change is not told.
    #[arg(long)]
    quick: bool,
}

pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<(), Failure> {
    let id = arguments.id;
    let client = session.client.with_patience(PATIENCE);
    let nodes = client.nodes().await;
    let nodes = nodes.map_err(|error| Failure::caused("cannot ask for the shards", &error))?;
    let looked = client.info(id, None).await;
    let listing = Listing::of(&looked);
    let row = looked.ok().map(|item| item.row);
    let held = nodes.shards.iter().find(|entry| entry.shard == id.shard());
    let copies = match held {
        Some(held) => {
            ask_all(
                &client,
                &nodes,
                held,
                Question::new(&arguments, row.as_ref()),
            )
            .await
        }
        None => Vec::new(),
    };
    let last_change = last_change(&client, id, &copies).await;
    let placement = match &row {
        // Whoever may not upload is told nothing of it.
        Some(row) => client
            .placement(client.endpoint().as_str(), row.size)
            .await
            .ok(),
        None => None,
    };
    let account = Account {
        id,
        shard: id.shard(),
        minted: Timestamp(id.time_ms()),
        listing,
        content: row,
        held: held.cloned(),
        copies,
        last_change,
        placement_now: placement
            .and_then(|place| place.explain)
            .unwrap_or_default(),
    };
    session
        .ui
        .data(&account, || words::text(&account, session.ui.palette()))?;
    match listing {
        Listing::Deleted => Err(Failure::new(Kind::NotFound, format!("{id} was deleted"))),
        Listing::NotFound => Err(Failure::new(
            Kind::NotFound,
            format!("there is no content {id}"),
        )),
        Listing::Listed | Listing::Pending | Listing::Unlistable | Listing::Unknown => Ok(()),
    }
}

/// What each node is asked.
#[derive(Clone, Copy)]
struct Question<'a> {
    id: ContentId,
    quick: bool,
    row: Option<&'a ContentRow>,
}

impl<'a> Question<'a> {
    fn new(arguments: &Arguments, row: Option<&'a ContentRow>) -> Self {
        let Arguments { id, quick } = *arguments;
        Question { id, quick, row }
    }
}

async fn ask_all(
    client: &Client,
    nodes: &NodesAnswer,
    held: &ShardEntry,
    question: Question<'_>,
) -> Vec<Copy> {
    let each = held.replicas.iter().map(|replica| async {
        let asked = ask(client, nodes, replica, question).await;
        Copy::new(replica, nodes, asked, question.row)
    });
    join_all(each).await
}

async fn ask(
    client: &Client,
    nodes: &NodesAnswer,
    replica: &ShardReplica,
    Question { id, quick, row }: Question<'_>,
) -> Asked {
    let Some(entry) = nodes.nodes.get(&replica.node) else {
        return Asked::NoAddress;
    };
    let base = entry.public_url.trim_end_matches('/');
    let asked = if quick {
        client.told_of(base, id).await.map(Asked::Told)
    } else {
        let size = row.map_or(0, |row| row.size);
        client.verify(base, id, size).await.map(Asked::Read)
    };
    asked.unwrap_or_else(Asked::Failed)
}

/// The last operation on it: that of its last record, at a node that has it.
async fn last_change(client: &Client, id: ContentId, copies: &[Copy]) -> Option<Operation> {
    let latest = copies.iter().filter(|copy| copy.state == State::Present);
    let latest = latest.max_by_key(|copy| copy.lsn)?;
    let (url, lsn) = (latest.url.as_deref()?, latest.lsn?);
    let base = url.trim_end_matches('/');
    // What was rewritten since is in no log; who cannot tell it tells nothing else wrong.
    let operation = client
        .operation_at(base, id.shard(), lsn)
        .await
        .ok()
        .flatten();
    operation.filter(|operation| operation.id == Some(id))
}
