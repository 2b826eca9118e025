//! `client log`: what was done to contents.

use std::time::Duration;

use wire::ShardNo;

use super::Session;
use super::failure::Failure;
use crate::api::{Leaderless, LogError};

/// Between two looks with `--follow`.
const LOOK_EVERY: Duration = Duration::from_secs(1);

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

pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<(), Failure> {
    let leaderless = if arguments.follow {
        Leaderless::PassOver
    } else {
        Leaderless::Await
    };
    let only = arguments.shard.map(ShardNo);
    let mut log = session.client.log(only, leaderless);
    let failed = |error| {
        let failure = Failure::caused("cannot read the log", &error);
        match error {
            LogError::NoneYet => failure.with_hint(
                "it, or the cluster, began a moment ago: try again in a few seconds, or --follow",
            ),
            _ => failure,
        }
    };
    if let Some(lines) = arguments.tail {
        for operation in log.tail(lines).await.map_err(failed)? {
            session.ui.json(&operation)?;
        }
    }
    let mut is_told = false;
    loop {
        while let Some(operation) = log.next().await.map_err(failed)? {
            session.ui.json(&operation)?;
        }
        if !arguments.follow {
            return Ok(());
        }
        if log.is_without_shards() && !is_told {
            is_told = true;
            session
                .ui
                .note("the distributor knows of no shard yet: waiting for one");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
