//! `client verify`: whether all copies of contents are what the catalog says.

mod comparison;

use std::num::NonZeroUsize;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use serde::Serialize;
use wire::ContentId;
use wire::content::ContentItem;
use wire::membership::NodesAnswer;

use super::failure::{Caused, Failure, Kind};
use super::transfers::JOBS_DEFAULT;
use super::{Session, report};
use crate::api::{Filter, RequestError};
use comparison::{Comparison, Copy};

/// How often a content that changes while it is compared is compared again.
const ATTEMPTS_MAX: usize = 3;

/// Compare all copies of contents, as they are on the disks now, with the catalog.
///
/// Each node that must have a content reads it again and tells its hash. Succeeds only if all agree.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The contents.
    #[arg(required_unless_present = "all", value_name = "ID")]
    ids: Vec<ContentId>,
    /// All contents: prints those whose copies do not agree, and a summary.
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    /// How many contents to compare at once.
    #[arg(long, short, default_value_t = JOBS_DEFAULT, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
}

/// What `--all` says at its end.
#[derive(Debug, Default, Serialize)]
struct Summary {
    contents: u64,
    bytes: u64,
    copies: u64,
    disagreeing: u64,
}

pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<(), Failure> {
    if arguments.all {
        return all(session, usize::from(arguments.jobs)).await;
    }
    let mut failures = Vec::new();
    let count = arguments.ids.len();
    for (number, id) in (1..).zip(arguments.ids) {
        match compare_by_id(session, id).await {
            Ok(comparison) => {
                failures.extend(comparison.failure());
                let printed = session.ui.data(&comparison, || comparison.table());
                let is_last = number == count;
                printed.map_err(|error| cut_short(error.into(), &failures, number, is_last))?;
            }
            Err(failure) if count == 1 => return Err(failure),
            Err(failure) => {
                report(&session.ui, &failure);
                failures.push(failure);
            }
        }
    }
    match &failures[..] {
        [only] if count == 1 => Err(only.clone()),
        several => Failure::several(several, count).map_or(Ok(()), Err),
    }
}

/// What comes next cannot be printed, and there is no use in going on: what was found counts, and else that
/// something was not compared.
fn cut_short(error: Failure, found: &[Failure], compared: usize, is_last: bool) -> Failure {
    let message = "standard output was closed; not everything was compared";
    match Failure::several(found, compared) {
        Some(found) => found,
        None if is_last => error,
        None => Failure::new(Kind::Local, message),
    }
}

async fn compare_by_id(session: &Session, id: ContentId) -> Result<Comparison, Failure> {
    let looked = session.client.info(id, None).await;
    let item = looked.map_err(|error| Failure::caused(format!("cannot look up {id}"), &error))?;
    compare(session, item)
        .await?
        .ok_or_else(|| Failure::new(Kind::NotFound, format!("{id} was deleted meanwhile")))
}

/// Compares everything that the catalog lists, some contents at once.
async fn all(session: &Session, jobs: usize) -> Result<(), Failure> {
    let mut listing = session.client.list(Filter::default(), u64::MAX);
    let mut running = FuturesUnordered::new();
    let jobs = NonZeroUsize::new(jobs).map_or(1, NonZeroUsize::get);
    let (mut summary, mut failures, mut ended) = (Summary::default(), Vec::new(), false);
    loop {
        while !ended && running.len() < jobs {
            let next = listing.next().await;
            match next.map_err(|error| Failure::caused("cannot list", &error))? {
                Some(item) => running.push(compare(session, item)),
                None => ended = true,
            }
        }
        let Some(compared) = running.next().await else {
            break;
        };
        let Some(comparison) = compared? else {
            continue;
        };
        summary.contents += 1;
        summary.bytes += comparison.size;
        summary.copies += comparison.copies.len() as u64;
        if let Some(failure) = comparison.failure() {
            summary.disagreeing += 1;
            failures.push(failure);
            let printed = session.ui.data(&comparison, || comparison.table());
            let compared = usize::try_from(summary.contents).unwrap_or(usize::MAX);
            printed.map_err(|error| cut_short(error.into(), &failures, compared, false))?;
        }
    }
    session.ui.data(&summary, || text(&summary))?;
    let count = usize::try_from(summary.contents).unwrap_or(usize::MAX);
    Failure::several(&failures, count).map_or(Ok(()), Err)
}

fn text(summary: &Summary) -> String {
    let Summary {
        contents,
        copies,
        disagreeing,
        ..
    } = summary;
    let size = crate::ui::human::size(summary.bytes);
    format!("{contents} contents ({size}) in {copies} copies: {disagreeing} do not agree")
}

/// Compares a content's copies; none when it was deleted meanwhile. One that is changed meanwhile
/// is compared as it is then.
async fn compare(session: &Session, item: ContentItem) -> Result<Option<Comparison>, Failure> {
    let mut item = item;
    let mut attempt = 1;
    loop {
        let id = item.row.id;
        let comparison = compare_once(session, &item).await?;
        if comparison.agree || attempt == ATTEMPTS_MAX {
            return Ok(Some(comparison));
        }
        match session.client.info(id, None).await {
            Ok(now) if now.row.version == item.row.version => return Ok(Some(comparison)),
            Ok(now) => item = now,
            Err(error) if error.kind() == Kind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::caused(format!("cannot look up {id}"), &error)),
        }
        attempt += 1;
    }
}

async fn compare_once(session: &Session, item: &ContentItem) -> Result<Comparison, Failure> {
    let row = &item.row;
    let asked = session.client.nodes().await;
    let nodes = asked.map_err(|error| Failure::caused("cannot ask for the nodes", &error))?;
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
    Ok(Comparison::new(row, join_all(asked).await))
}

/// The nodes that must have a content, and where they are.
fn copies(nodes: &NodesAnswer, id: ContentId) -> Vec<(wire::NodeName, Option<String>)> {
    let shard = nodes.shards.iter().find(|entry| entry.shard == id.shard());
    let names = shard.map(|entry| entry.in_sync.clone()).unwrap_or_default();
    let located = names.into_iter().map(|name| {
        let url = nodes.nodes.get(&name).map(|entry| entry.public_url.clone());
        (name, url)
    });
    located.collect()
}
