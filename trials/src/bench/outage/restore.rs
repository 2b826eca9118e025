//! The catalog's database is put back to a backup, after everything that happens to a cluster
//! meanwhile: nothing that was deleted is back, and nothing that was acknowledged is missing.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::ensure;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::crew::{Crew, Proof, prove};
use crate::bench::watch::Watch;
use crate::bench::{Bench, Bound, Figure};
use crate::fleet::{Fleet, Plan};
use crate::servers::Servers;
use crate::torture::worker::Worker;
use crate::torture::{catalog, copies};

/// The nodes of the cluster.
const NODES: u16 = 3;

/// Clients at work.
const WORKERS: u64 = 8;

/// Work before the backup, and after each time that the database was put back.
const WORK: Duration = Duration::from_secs(10);

/// A node that was killed stays away for longer than a session.
const AWAY: Duration = Duration::from_secs(5);

/// How long listing may take to make good what the backup does not have.
const LISTED_TIME_MAX: Duration = Duration::from_secs(120);

/// Backs the database up, has much happen in so many rounds, and puts it back: with the distributor
/// stopped, as the manual says, and then twice while it runs, without and under load.
///
/// # Errors
/// When a service does not start, or copies do not come together.
pub async fn run(bench: &Bench, rounds: usize) -> anyhow::Result<Vec<Figure>> {
    let servers = Servers::start("127.0.0.1", true, false).await?;
    let plan = Plan {
        folder: bench.folder.clone(),
        nodes: NODES,
        database_url: servers.database_url(),
        ..Plan::default()
    };
    let mut fleet = Fleet::start(&bench.binaries, &plan).await?;
    let client = bench.binaries.path("client")?;
    let mut crew = Crew::start(&fleet, WORKERS)?;
    sleep(WORK).await;
    let backup = bench.folder.join("backup.sql");
    servers.back_up(&backup)?;
    let watch = Watch::start(fleet.url());
    for round in 0..rounds {
        much_happens(&mut fleet, &client, round).await?;
    }
    let mut workers = crew.rest().await?;
    let seen = watch.end().await?;
    let before = prove(&fleet, &mut workers).await?;

    fleet.kill(0).await?;
    servers.put_back(&backup)?;
    fleet.spawn(0)?;
    fleet.together().await?;
    let (stopped, first) = listed(&fleet, &mut workers).await?;
    // Between this backup and its return no shard record changes: nothing but the catalog's rows
    // says that it went back.
    servers.back_up(&backup)?;
    crew = Crew::go_on(workers);
    sleep(WORK).await;
    let mut workers = crew.rest().await?;
    let worked = prove(&fleet, &mut workers).await?;

    servers.put_back(&backup)?;
    let (idle, second) = listed(&fleet, &mut workers).await?;
    crew = Crew::go_on(workers);
    sleep(WORK / 2).await;
    servers.put_back(&backup)?;
    sleep(WORK).await;
    let mut workers = crew.rest().await?;
    let third = prove(&fleet, &mut workers).await?;
    fleet.stop().await?;
    let mut figures = vec![
        Figure::plain("after the backup: epochs begun", seen.epochs as f64, ""),
        Figure::plain("after the backup: records changed", seen.changes as f64, ""),
    ];
    figures.extend(before.figures());
    figures.push(Figure::plain(
        "put back, stopped: listed after",
        stopped,
        "s",
    ));
    figures.extend([violations("put back, stopped: violations", &first)]);
    figures.extend([violations("work after it: violations", &worked)]);
    figures.push(Figure::plain("put back, running: listed after", idle, "s"));
    figures.extend([violations("put back, running: violations", &second)]);
    figures.extend([violations("put back under load: violations", &third)]);
    Ok(figures)
}

fn violations(name: &'static str, proof: &Proof) -> Figure {
    let count = proof.violations.len() as f64;
    Figure::bound(name, count, "", Bound::AtMost(0.0))
}

/// The seconds until the catalog is what the clients remember, and the proof of all else.
async fn listed(fleet: &Fleet, workers: &mut Vec<Worker>) -> anyhow::Result<(f64, Proof)> {
    let begun = Instant::now();
    let ledgers: Vec<_> = workers.iter().map(|worker| &worker.ledger).collect();
    let different = catalog::differences_within(fleet, &ledgers, LISTED_TIME_MAX).await?;
    let time = begun.elapsed().as_secs_f64();
    let mut proof = prove(fleet, workers).await?;
    proof.violations.extend(different);
    Ok((time, proof))
}

/// A failover, a handover, and every copy of one node moved away.
async fn much_happens(fleet: &mut Fleet, client: &Path, round: usize) -> anyhow::Result<()> {
    let node = |number: usize| 1 + (round + number) % usize::from(NODES);
    fleet.kill(node(0)).await?;
    sleep(AWAY).await;
    back(fleet, node(0)).await?;
    fleet.stop_one(node(1)).await?;
    back(fleet, node(1)).await?;
    let name = fleet.name(node(2)).to_owned();
    order(fleet, client, &["drain", &name]).await?;
    order(fleet, client, &["drain", &name, "--undo"]).await?;
    back(fleet, node(2)).await
}

async fn back(fleet: &mut Fleet, place: usize) -> anyhow::Result<()> {
    fleet.spawn(place)?;
    fleet.together().await?;
    copies::sets_complete(fleet)
        .await
        .map_err(anyhow::Error::msg)
}

/// As an operator does.
async fn order(fleet: &Fleet, client: &Path, words: &[&str]) -> anyhow::Result<()> {
    let status = Command::new(client)
        .args(["--url", fleet.url()])
        .args(words)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await?;
    ensure!(status.success(), "`client {}` failed", words.join(" "));
    Ok(())
}
