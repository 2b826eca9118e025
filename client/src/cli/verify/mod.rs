//! `client verify`: whether all copies of contents are what the catalog says.

mod comparison;
mod settled;

use std::num::NonZeroUsize;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::Serialize;
use wire::ContentId;

use super::failure::{Failure, Kind};
use super::transfers::JOBS_DEFAULT;
use super::{Session, report};
use crate::api::Filter;
use crate::ui::{Format, PrintError};
use comparison::Comparison;
use settled::{Settled, settle};

/// Compare all copies of contents, as they are on the disks now, with the catalog.
///
/// Each node that must have a content reads it again and tells its hash. Succeeds only if all agree; one
/// that is changed meanwhile is compared as it is then. Where there are fewer copies than there shall be,
/// that is told; those that there are may agree.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The contents.
    #[arg(required_unless_present = "all", value_name = "ID")]
    ids: Vec<ContentId>,
    /// All contents: prints those whose copies do not agree, with --json each, and a summary.
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
    /// Those of which there are fewer copies than there shall be.
    fewer_copies: u64,
    /// Nobody could tell: a node was silent, for instance.
    not_compared: u64,
    /// Those that were updated faster than they could be compared.
    changing: u64,
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
    match settle(session, item).await? {
        Settled::Compared(comparison) => Ok(comparison),
        Settled::Gone => {
            let message = format!("{id} was deleted meanwhile");
            Err(Failure::new(Kind::NotFound, message))
        }
        Settled::Changing => {
            let message = format!("{id} was updated again and again meanwhile");
            Err(Failure::new(Kind::Conflict, message).with_hint("try again"))
        }
    }
}

/// Compares everything that the catalog lists, some contents at once, whatever becomes of one of them.
async fn all(session: &Session, jobs: usize) -> Result<(), Failure> {
    let mut listing = session.client.list(Filter::default(), u64::MAX);
    let mut running = FuturesUnordered::new();
    let jobs = NonZeroUsize::new(jobs).map_or(1, NonZeroUsize::get);
    let (mut found, mut ended) = (Found::default(), false);
    loop {
        while !ended && running.len() < jobs {
            match listing.next().await {
                Ok(Some(item)) => running.push(settle(session, item)),
                Ok(None) => ended = true,
                Err(error) => {
                    ended = true;
                    let message = "cannot list; not everything was compared";
                    found.fail(session, Failure::caused(message, &error));
                }
            }
        }
        let Some(settled) = running.next().await else {
            break;
        };
        let printed = found.add(session, settled);
        printed.map_err(|error| found.cut_short(error.into()))?;
    }
    session.ui.data(&found.summary, || text(&found.summary))?;
    Failure::several(&found.failures, found.count()).map_or(Ok(()), Err)
}

/// What `--all` has found so far.
#[derive(Default)]
struct Found {
    summary: Summary,
    failures: Vec<Failure>,
}

impl Found {
    /// Counts a content, and prints it if its copies are not as they should be. A program is told of each: it
    /// can see how far it is, and keep what was compared.
    fn add(
        &mut self,
        session: &Session,
        settled: Result<Settled, Failure>,
    ) -> Result<(), PrintError> {
        let comparison = match settled {
            Ok(Settled::Compared(comparison)) => comparison,
            Ok(Settled::Gone) => return Ok(()),
            Ok(Settled::Changing) => {
                self.summary.contents += 1;
                self.summary.changing += 1;
                return Ok(());
            }
            Err(failure) => {
                self.summary.contents += 1;
                self.summary.not_compared += 1;
                self.fail(session, failure);
                return Ok(());
            }
        };
        self.summary.contents += 1;
        self.summary.bytes += comparison.size;
        self.summary.copies += comparison.copies.len() as u64;
        self.summary.fewer_copies += u64::from(comparison.fewer_copies);
        let Some(failure) = comparison.failure() else {
            return match session.ui.format() {
                Format::Json => session.ui.json(&comparison),
                Format::Text => Ok(()),
            };
        };
        match failure.kind {
            Kind::Integrity => self.summary.disagreeing += 1,
            _ => self.summary.not_compared += 1,
        }
        self.failures.push(failure);
        session.ui.data(&comparison, || comparison.table())
    }

    fn fail(&mut self, session: &Session, failure: Failure) {
        report(&session.ui, &failure);
        self.failures.push(failure);
    }

    fn count(&self) -> usize {
        let contents = usize::try_from(self.summary.contents).unwrap_or(usize::MAX);
        // A listing that broke off is no content.
        contents.max(self.failures.len())
    }

    fn cut_short(&self, error: Failure) -> Failure {
        cut_short(error, &self.failures, self.count(), false)
    }
}

fn text(summary: &Summary) -> String {
    let Summary {
        contents,
        copies,
        disagreeing,
        ..
    } = summary;
    let size = crate::ui::human::size(summary.bytes);
    let mut text =
        format!("{contents} contents ({size}) in {copies} copies: {disagreeing} do not agree");
    let others = [
        (summary.fewer_copies, "in fewer copies than wanted"),
        (summary.not_compared, "could not be compared"),
        (summary.changing, "changed again and again meanwhile"),
    ];
    for (count, what) in others.into_iter().filter(|(count, _)| *count > 0) {
        text += &format!(", {count} {what}");
    }
    text
}
