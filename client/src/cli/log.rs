//! `client log`: what was done to contents.

use std::mem;
use std::time::Duration;

use wire::ShardNo;

use super::Session;
use super::failure::Failure;
use crate::api::retry::Remedy;
use crate::api::{Leaderless, Log, LogError};

/// Between two looks with `--follow`.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long distributors may be silent with `--follow` before that is told.
const LATE: Duration = Duration::from_secs(5);

const CANNOT: &str = "cannot read the log";

/// Show the operation log: uploads, updates, descriptions and deletes, a line of JSON for each.
///
/// The lines of a shard come in their order, those of different shards by their times. What was
/// deleted or replaced long ago is in no log any more.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Go on with what is done from now on, until interrupted.
    #[arg(long, short)]
    follow: bool,
    /// Of what there is already only the last N lines; with --follow and 0, only what is done from now on.
    #[arg(long, value_name = "N")]
    tail: Option<usize>,
    /// Only the log of this shard.
    #[arg(long, value_name = "N")]
    shard: Option<u16>,
}

/// What keeps the log from being told whole.
#[derive(Debug)]
enum Hindrance {
    /// No distributor says who leads.
    Silence(LogError),
    NoShards,
    PassedOver(Vec<ShardNo>),
}

pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<(), Failure> {
    let only = arguments.shard.map(ShardNo);
    let mut log = if arguments.follow {
        let client = session.client.with_patience(LATE);
        client.log(only, Leaderless::PassOver)
    } else {
        session.client.log(only, Leaderless::Await)
    };
    if let Some(lines) = arguments.tail {
        for operation in log.tail(lines).await.map_err(|error| failed(&error))? {
            session.ui.json(&operation)?;
        }
    }
    if arguments.follow {
        return follow(session, &mut log).await;
    }
    while let Some(operation) = log.next().await.map_err(|error| failed(&error))? {
        session.ui.json(&operation)?;
    }
    Ok(())
}

/// Tells what comes, for ever. What keeps something from coming is told once, and ends nothing that had begun.
async fn follow(session: &Session, log: &mut Log) -> Result<(), Failure> {
    let mut told: Option<Hindrance> = None;
    loop {
        let hindrance = match log.next().await {
            Ok(Some(operation)) => {
                session.ui.json(&operation)?;
                continue;
            }
            Ok(None) => hindrance(log),
            Err(error) if !log.has_begun() || error.remedy() == Remedy::GiveUp => {
                return Err(failed(&error));
            }
            Err(error) => Some(Hindrance::Silence(error)),
        };
        let is_told = |new: &&Hindrance| told.as_ref().is_some_and(|told| told.is_as(new));
        if let Some(new) = hindrance.as_ref().filter(|new| !is_told(new)) {
            session.ui.note(&new.in_words());
        }
        told = hindrance;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

impl Hindrance {
    /// Whether whoever was told of one knows of the other.
    fn is_as(&self, other: &Hindrance) -> bool {
        match (self, other) {
            (Hindrance::PassedOver(shards), Hindrance::PassedOver(others)) => shards == others,
            _ => mem::discriminant(self) == mem::discriminant(other),
        }
    }

    fn in_words(&self) -> String {
        match self {
            Hindrance::Silence(error) => format!("{CANNOT}: {error}; asking again"),
            Hindrance::NoShards => {
                "the distributor knows of no shard yet: waiting for one".to_owned()
            }
            Hindrance::PassedOver(shards) => {
                let s = if shards.len() == 1 { "" } else { "s" };
                let numbers: Vec<String> = shards.iter().map(ShardNo::to_string).collect();
                let numbers = numbers.join(", ");
                format!(
                    "nobody tells the lines of shard{s} {numbers} at present: they come when somebody does"
                )
            }
        }
    }
}

fn failed(error: &LogError) -> Failure {
    let failure = Failure::caused(CANNOT, error);
    match error {
        LogError::NoneYet => failure.with_hint(
            "it, or the cluster, began a moment ago: try again in a few seconds, or --follow",
        ),
        _ => failure,
    }
}

/// What keeps a log from being whole of which all was told that can be had.
fn hindrance(log: &Log) -> Option<Hindrance> {
    if log.is_without_shards() {
        return Some(Hindrance::NoShards);
    }
    let passed_over: Vec<ShardNo> = log.passed_over().collect();
    (!passed_over.is_empty()).then_some(Hindrance::PassedOver(passed_over))
}
