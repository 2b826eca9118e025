//! `client explain`: where a content is, and why there.

mod account;
#[cfg(test)]
mod bed;
mod words;

use std::time::Duration;

use futures_util::future::join_all;
use wire::content::ContentItem;
use wire::membership::{NodesAnswer, ShardEntry};
use wire::operation::Operation;
use wire::{ContentId, Timestamp};

use crate::api::{Client, RequestError};

use super::Session;
use super::failure::{Failure, Kind};
use account::{Account, Asked, Copy, Listing, State, causes};

/// How long each question is waited for, and repeated: what is wrong now is what is asked for.
const PATIENCE: Duration = Duration::from_secs(3);

/// Show where a content is, and why: its shard, who holds that, and what each copy is.
///
/// Each node that holds the shard and answers reads its copy again, as with `verify`. Whoever does not
/// answer within three seconds is named, and not waited for. Ends with 3 when there is no
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
    let held = nodes.shards.iter().find(|entry| entry.shard == id.shard());
    let held = held.map(|entry| Held {
        nodes: &nodes,
        entry,
    });
    let (looked, asked) = ask(&client, &arguments, held).await;
    let account = account(&client, id, held, looked, asked).await;
    let listing = account.listing;
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

/// A shard, and where the nodes are that hold it.
#[derive(Clone, Copy)]
struct Held<'a> {
    nodes: &'a NodesAnswer,
    entry: &'a ShardEntry,
}

impl<'a> Held<'a> {
    /// For each replica its node's base URI, where that is known.
    fn bases(self) -> impl Iterator<Item = Option<&'a str>> {
        self.entry.replicas.iter().map(move |replica| {
            let entry = self.nodes.nodes.get(&replica.node)?;
            Some(entry.public_url.trim_end_matches('/'))
        })
    }
}

/// What the catalog says, and each node that holds the shard. What costs little is asked first, of all
/// at once: only who answered that is worth waiting for while it reads its disk.
async fn ask(
    client: &Client,
    &Arguments { id, quick }: &Arguments,
    held: Option<Held<'_>>,
) -> (Result<ContentItem, RequestError>, Vec<Asked>) {
    let bases = || held.into_iter().flat_map(Held::bases);
    let told = join_all(bases().map(|base| tell(client, base, id)));
    let (looked, told) = tokio::join!(client.info(id, None), told);
    if quick {
        return (looked, told);
    }
    let size = looked.as_ref().map_or(0, |item| item.row.size);
    let read = bases().zip(told).map(|(base, told)| async move {
        match base {
            Some(base) if told.is_answer() => read(client, base, id, told.size().max(size)).await,
            _ => told,
        }
    });
    let read = join_all(read).await;
    (looked, read)
}

/// What a node has in its log.
async fn tell(client: &Client, base: Option<&str>, id: ContentId) -> Asked {
    match base {
        Some(base) => match client.told_of(base, id).await {
            Ok(told) => Asked::Told(told),
            Err(error) => Asked::Failed(error),
        },
        None => Asked::NoAddress,
    }
}

/// What a node has on its disk, of so many bytes.
async fn read(client: &Client, base: &str, id: ContentId, size: u64) -> Asked {
    match client.verify(base, id, size).await {
        Ok(verified) => Asked::Read(verified),
        Err(error) => Asked::Failed(error),
    }
}

/// What the answers say together, and what can be asked only now.
async fn account(
    client: &Client,
    id: ContentId,
    held: Option<Held<'_>>,
    looked: Result<ContentItem, RequestError>,
    asked: Vec<Asked>,
) -> Account {
    let listing = Listing::of(&looked);
    let (row, unlooked) = match looked {
        Ok(item) => (Some(item.row), None),
        Err(error) => (None, Some(error)),
    };
    let copies = held.map_or_else(Vec::new, |held| {
        let replicas = held.entry.replicas.iter().zip(asked);
        let copy = |(replica, asked)| Copy::new(replica, held.nodes, asked, row.as_ref());
        replicas.map(copy).collect()
    });
    let placed = async {
        // Whoever may not upload is told nothing of it.
        let size = row.as_ref()?.size;
        let base = client.endpoint().as_str();
        client.placement(base, size).await.ok()
    };
    let (last_change, placement) = tokio::join!(last_change(client, id, &copies), placed);
    Account {
        id,
        shard: id.shard(),
        minted: Timestamp(id.time_ms()),
        listing,
        listing_detail: unlooked
            .filter(|_| listing == Listing::Unknown)
            .map(|error| causes(&error)),
        content: row,
        held: held.map(|held| held.entry.clone()),
        copies_wanted: held.and_then(|held| held.nodes.copies),
        copies,
        last_change,
        placement_now: placement
            .and_then(|place| place.explain)
            .unwrap_or_default(),
    }
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
