//! `client nodes`: the services of the cluster.

pub(super) mod drain;
pub(super) mod give_up;
mod look;
mod progress;
pub(super) mod rebalance;
pub(super) mod recover;
pub(super) mod remove;
pub(super) mod shards;
mod watch;

use std::time::Duration;

use serde::Serialize;
use wire::membership::{Health, NodeEntry, NodesAnswer, ReplicaRole, ServiceRole};
use wire::{NodeName, ShardNo};

use crate::ui::Format;
use crate::ui::colour::{Hue, Palette};
use crate::ui::table::Table;

use super::Session;
use super::failure::Failure;
pub(super) use watch::what_is_left;

/// Words about what is left are written so often where no bar is drawn.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Show the cluster's distributors and storage nodes.
///
/// `short` counts the node's replicas that are not in sync, `behind` the records that they have yet
/// to get, `damaged` the contents whose copy there is damaged.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}

/// A shard's number, as it is given.
#[derive(Clone, Copy, Debug)]
struct ShardNumber(ShardNo);

impl std::str::FromStr for ShardNumber {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(|number| ShardNumber(ShardNo(number)))
    }
}

/// One line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    name: &'a NodeName,
    #[serde(flatten)]
    entry: &'a NodeEntry,
}

pub(super) async fn run(session: &Session, _: Arguments) -> Result<(), Failure> {
    let asked = session.client.nodes().await;
    let answer = asked.map_err(|error| Failure::caused("cannot ask for the nodes", &error))?;
    if session.ui.format() == Format::Text {
        session
            .ui
            .data(&answer, || text(&answer, session.ui.palette()))?;
        return Ok(());
    }
    for (name, entry) in &answer.nodes {
        session.ui.data(&Line { name, entry }, String::new)?;
    }
    Ok(())
}

fn text(answer: &NodesAnswer, palette: Palette) -> String {
    let mut table = Table::new(&[
        "name", "role", "health", ">shards", ">led", ">short", ">behind", ">damaged", "url",
    ]);
    for (name, entry) in &answer.nodes {
        let led = entry
            .shards
            .iter()
            .filter(|shard| shard.role == ReplicaRole::Leader)
            .count();
        let short = entry.shards.iter().filter(|shard| !shard.in_sync).count();
        let each = || entry.shards.iter().map(|shard| shard.progress);
        let behind: u64 = each().filter_map(|progress| progress.lag).sum();
        let damaged: u64 = each().map(|progress| progress.damaged).sum();
        let role = match entry.role {
            ServiceRole::Distributor => "distributor",
            ServiceRole::Node => "node",
        };
        let (health, hue) = match (entry.health, entry.draining) {
            (Health::Up, None) => ("up", Hue::Good),
            (Health::Up, Some(_)) => ("draining", Hue::Warning),
            (Health::Down, _) => ("down", Hue::Bad),
        };
        table.row(vec![
            name.to_string(),
            role.to_owned(),
            palette.paint(hue, health),
            entry.shards.len().to_string(),
            led.to_string(),
            short.to_string(),
            behind.to_string(),
            damaged.to_string(),
            entry.public_url.clone(),
        ]);
    }
    table.text()
}
