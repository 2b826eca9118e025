//! Kills services at random moments under load, and checks that nothing acknowledged is lost.
//!
//! A round: load runs; some of the services are killed (`kill -9`) and started again, several
//! times; then the load ends and everything is killed and started once more. Afterwards every
//! content must be in a state that the answers allow, the catalog must say the same, and the
//! space on disk must be explained by the nodes' statistics.

pub mod ledger;
pub mod space;
pub mod verify;
pub mod worker;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::{Instant, sleep};

use crate::binaries::Binaries;
use crate::fleet::{Fleet, Plan};
use ledger::Ledger;
use worker::Worker;

/// Clients that work at the same time.
const WORKERS: u64 = 8;

/// Kills in one round, beside that of everything at its end.
const KILLS_PER_ROUND: u32 = 3;

/// What to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many rounds.
    pub rounds: u32,
    /// Decides sizes, operations, moments and victims.
    pub seed: u64,
    /// How many storage nodes.
    pub nodes: u16,
    /// The catalog; none for SQLite.
    pub database_url: Option<String>,
    /// Where data and logs go.
    pub folder: PathBuf,
}

/// What happened.
#[derive(Debug, Default)]
pub struct Report {
    /// Processes killed.
    pub kills: u64,
    /// Changes that were acknowledged.
    pub acknowledged: u64,
    /// Changes whose answer was lost.
    pub lost: u64,
    /// Contents read back and compared.
    pub verified: u64,
    /// What should not have happened, a line each.
    pub violations: Vec<String>,
}

/// Runs all rounds, or those until the first violation; writes a line for each to `out`.
///
/// # Errors
/// When a service does not start or does not stop: then nothing can be said.
pub async fn run(
    binaries: &Binaries,
    settings: &Settings,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<Report> {
    let plan = Plan {
        folder: settings.folder.clone(),
        nodes: settings.nodes,
        database_url: settings.database_url.clone(),
    };
    let mut fleet = Fleet::start(binaries, &plan).await?;
    let mut chance = StdRng::seed_from_u64(settings.seed);
    let mut report = Report::default();
    let mut workers = (0..WORKERS)
        .map(|number| Worker::new(fleet.url(), settings.seed ^ (number + 1) << 48))
        .collect::<anyhow::Result<Vec<Worker>>>()?;
    for round in 1..=settings.rounds {
        let begun = Instant::now();
        workers = round_of_load(&mut fleet, workers, &mut chance, &mut report).await?;
        let last = round == settings.rounds;
        check(&mut fleet, &mut workers, last, &mut report).await?;
        let Report {
            kills,
            acknowledged,
            lost,
            verified,
            violations,
        } = &report;
        writeln!(
            out,
            "round {round}: {kills} kills, {acknowledged} acknowledged, {lost} without an answer, \
             {verified} verified, {} violations, {:.1} s",
            violations.len(),
            begun.elapsed().as_secs_f64()
        )?;
        if !report.violations.is_empty() {
            return Ok(report);
        }
    }
    fleet.stop().await?;
    Ok(report)
}

/// Load with kills in it, and the kill of everything at the end.
async fn round_of_load(
    fleet: &mut Fleet,
    workers: Vec<Worker>,
    chance: &mut StdRng,
    report: &mut Report,
) -> anyhow::Result<Vec<Worker>> {
    let stop = Arc::new(AtomicBool::new(false));
    let running: Vec<_> = workers
        .into_iter()
        .map(|worker| tokio::spawn(worker.run(Arc::clone(&stop))))
        .collect();
    for _ in 0..KILLS_PER_ROUND {
        pause(chance, 700).await;
        let victims: Vec<usize> = (0..fleet.size())
            .filter(|_| chance.random_bool(0.4))
            .collect();
        for &place in &victims {
            fleet.kill(place).await?;
        }
        report.kills += victims.len() as u64;
        pause(chance, 300).await;
        for &place in &victims {
            fleet.spawn(place)?;
        }
        fleet.together().await?;
    }
    pause(chance, 300).await;
    // Killed while the load runs: what is under way then has no answer, and no effect later.
    for place in 0..fleet.size() {
        fleet.kill(place).await?;
        report.kills += 1;
    }
    stop.store(true, Ordering::Relaxed);
    let mut workers = Vec::new();
    for worker in running {
        let mut worker = worker.await.context("a worker panicked")?;
        let counts = std::mem::take(&mut worker.counts);
        report.acknowledged += counts.acknowledged;
        report.lost += counts.lost;
        report.violations.append(&mut worker.violations);
        workers.push(worker);
    }
    for place in 0..fleet.size() {
        fleet.spawn(place)?;
    }
    fleet.together().await?;
    Ok(workers)
}

async fn check(
    fleet: &mut Fleet,
    workers: &mut [Worker],
    everything: bool,
    report: &mut Report,
) -> anyhow::Result<()> {
    for worker in workers.iter_mut() {
        let (verified, mut violations) = verify::contents(worker, everything).await;
        report.verified += verified;
        report.violations.append(&mut violations);
    }
    let ledgers: Vec<&Ledger> = workers.iter().map(|worker| &worker.ledger).collect();
    report
        .violations
        .extend(verify::catalog(fleet, &ledgers).await?);
    report
        .violations
        .extend(space::explained(fleet, &ledgers).await?);
    Ok(())
}

async fn pause(chance: &mut StdRng, most_ms: u64) {
    sleep(Duration::from_millis(chance.random_range(0..most_ms))).await;
}
