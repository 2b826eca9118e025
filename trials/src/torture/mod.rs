//! Real processes under load, to which everything happens that may, and the proof that nothing
//! acknowledged is lost.
//!
//! A round: load runs; faults come and go, one or two at a time; then they end, and so does the
//! load, with a kill of everything in every other round. All copies must come together by
//! themselves; then every content must be in a state that the answers allow, the same on every copy,
//! the catalog must say the same, and the space on disk must be explained by the nodes' statistics.

pub mod catalog;
pub mod contended;
pub mod copies;
pub mod failover;
pub mod fault;
pub mod field;
pub mod flip;
pub mod ledger;
pub mod look;
pub mod report;
pub mod space;
pub mod worker;

use std::collections::BTreeSet;
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
use crate::disks::{self, Disk};
use crate::fleet::{Fleet, Place, Plan};
use crate::http;
use crate::network::Network;
use crate::servers::Servers;
use contended::Contended;
use fault::Fault;
use field::Field;
use ledger::{Ledger, SESSION};
use report::Report;

use worker::Worker;

/// Clients that work at the same time.
const WORKERS: u64 = 8;

/// Faults in one round, or pairs of them.
const ACTS_PER_ROUND: u32 = 4;

/// The load runs undisturbed for up to this long between two faults.
const QUIET_MS: u64 = 700;

/// What was sent to a service that stood still has come to its end after that.
const UNDER_WAY: Duration = Duration::from_secs(1);

/// How long a copy may take to answer while nothing goes wrong.
const LOOK_TIME_MAX: Duration = Duration::from_secs(20);

/// What to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// No round begins later than this; there is one at least.
    pub time: Duration,
    /// Decides sizes, operations, moments and victims.
    pub seed: u64,
    /// How many storage nodes.
    pub nodes: u16,
    /// What is done to them.
    pub faults: Vec<Fault>,
    /// Whether the catalog is in a PostgreSQL, else in SQLite.
    pub postgres: bool,
    /// Whether shards are agreed on in a ZooKeeper, else in the catalog's database.
    pub zookeeper: bool,
    /// How many distributors, with PostgreSQL. An SQLite has one.
    pub distributors: u16,
    /// Where data and logs go.
    pub folder: PathBuf,
}

impl Settings {
    fn more_distributors(&self) -> u16 {
        match self.postgres {
            true => self.distributors.saturating_sub(1),
            false => 0,
        }
    }
}

/// Runs rounds until the time is over or there is a violation; writes a line for each to `out`.
///
/// # Errors
/// When a service does not start or does not stop: then nothing can be said.
pub async fn run(
    binaries: &Binaries,
    settings: &Settings,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<Report> {
    let begun = Instant::now();
    let mut field = prepare(binaries, settings, out).await?;
    let mut report = Report::default();
    let contended = Arc::new(Contended::default());
    let mut workers = (0..WORKERS)
        .map(|number| {
            let seed = settings.seed ^ (number + 1) << 48;
            let worker = Worker::new(&field.fleet.distributor_urls(), seed)?;
            Ok(worker.beside(&field.failovers, &contended))
        })
        .collect::<anyhow::Result<Vec<Worker>>>()?;
    let mut is_last = false;
    while !is_last && report.violations.is_empty() {
        let round = Instant::now();
        workers = load(&mut field, workers, &settings.faults, &mut report).await?;
        is_last = begun.elapsed() >= settings.time;
        workers = check(&mut field, workers, (&contended, is_last), &mut report).await?;
        report.rounds += 1;
        report.failovers = field.failovers.times();
        report.write_round(out, round.elapsed())?;
    }
    if report.violations.is_empty() {
        field.fleet.stop().await?;
    }
    Ok(report)
}

/// Starts everything that the faults need.
async fn prepare(
    binaries: &Binaries,
    settings: &Settings,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<Field> {
    let more_distributors = settings.more_distributors();
    let services = 1 + usize::from(settings.nodes) + usize::from(more_distributors);
    let wanted = |fault| settings.faults.contains(&fault);
    let network = match wanted(Fault::Partition) {
        true => Some(Network::make(services)?),
        false => None,
    };
    let host = network
        .as_ref()
        .map_or("127.0.0.1".to_owned(), Network::gateway);
    let servers = Servers::start(&host, settings.postgres, settings.zookeeper).await?;
    std::fs::create_dir_all(&settings.folder)?;
    let disk = |node| Disk::make(&settings.folder.join(format!("node{node}")));
    let disks = match has_disks(settings, out)? {
        true => (1..=settings.nodes)
            .map(disk)
            .collect::<anyhow::Result<_>>()?,
        false => Vec::new(),
    };
    let place = |network: &Network, place| Place {
        host: network.address(place),
        runner: network.runner(place),
    };
    let places = |network: &Network| (0..services).map(|p| place(network, p)).collect();
    let plan = Plan {
        folder: settings.folder.clone(),
        nodes: settings.nodes,
        database_url: servers.database_url(),
        coordinator: servers.coordinator(),
        places: network.as_ref().map(places),
        more_distributors,
        session: Some(SESSION),
        ..Plan::default()
    };
    Ok(Field {
        fleet: Fleet::start(binaries, &plan).await?,
        disks,
        network,
        servers,
        chance: StdRng::seed_from_u64(settings.seed),
        failovers: Arc::default(),
        damaged: BTreeSet::new(),
    })
}

/// Whether each node gets a disk of its own. A disk that fails needs one, too: what could not be synced
/// must be gone when its node is started again.
fn has_disks(settings: &Settings, out: &mut (dyn Write + Send)) -> anyhow::Result<bool> {
    let wanted = |fault| settings.faults.contains(&fault);
    if wanted(Fault::Power) || wanted(Fault::Full) {
        return Ok(true);
    }
    if !wanted(Fault::Fail) {
        return Ok(false);
    }
    let Some(why) = disks::obstacle(&settings.folder) else {
        return Ok(true);
    };
    writeln!(
        out,
        "{} proves less here: what could not be synced stays in the kernel's memory, and is there after \
         the restart, since no power can be cut: {why}",
        Fault::Fail
    )?;
    Ok(false)
}

/// Load with faults in it; at its end nothing is under way any more.
async fn load(
    field: &mut Field,
    workers: Vec<Worker>,
    faults: &[Fault],
    report: &mut Report,
) -> anyhow::Result<Vec<Worker>> {
    let stop = Arc::new(AtomicBool::new(false));
    let running: Vec<_> = workers
        .into_iter()
        .map(|worker| tokio::spawn(worker.run(Arc::clone(&stop))))
        .collect();
    for _ in 0..ACTS_PER_ROUND {
        sleep(Duration::from_millis(
            field.chance.random_range(0..QUIET_MS),
        ))
        .await;
        field.act(faults, report).await?;
    }
    sleep(Duration::from_millis(
        field.chance.random_range(0..QUIET_MS),
    ))
    .await;
    // Killed while the load runs: what is under way then has no answer, and no effect later. In the
    // other rounds everything must come together without any restart.
    let at_once = field.chance.random_bool(0.5);
    if at_once {
        field.kill_all(report).await?;
    }
    stop.store(true, Ordering::Relaxed);
    let mut workers = Vec::new();
    for worker in running {
        let mut worker = worker.await.context("a worker panicked")?;
        report.counts.add(&std::mem::take(&mut worker.counts));
        workers.push(worker);
    }
    field.start_all().await?;
    sleep(UNDER_WAY).await;
    Ok(workers)
}

async fn check(
    field: &mut Field,
    workers: Vec<Worker>,
    (contended, everything): (&Contended, bool),
    report: &mut Report,
) -> anyhow::Result<Vec<Worker>> {
    let mut workers = verify(field, workers, (contended, everything, false), report).await?;
    if everything && !field.damaged.is_empty() && report.violations.is_empty() {
        field.restart_damaged(report).await?;
        workers = verify(field, workers, (contended, true, true), report).await?;
    }
    if !report.violations.is_empty() {
        return Ok(workers);
    }
    let everybodys = contended.ledger();
    let own = workers.iter().map(|worker| &worker.ledger);
    let ledgers: Vec<&Ledger> = own.chain([&everybodys]).collect();
    let mut wrong = catalog::differences(&field.fleet, &ledgers).await?;
    // What is damaged is counted neither as live nor as dead.
    if field.damaged.is_empty() {
        wrong.extend(space::explained(&field.fleet, &ledgers).await?);
    }
    report.violations.extend(wrong);
    Ok(workers)
}

/// Compares all copies, of everything or of some; `are_mended` says that no copy of a content that is
/// there may be damaged any more.
async fn verify(
    field: &Field,
    workers: Vec<Worker>,
    (contended, everything, are_mended): (&Contended, bool, bool),
    report: &mut Report,
) -> anyhow::Result<Vec<Worker>> {
    let copies = match copies::in_sync(&field.fleet, &field.damaged).await {
        Ok(copies) => Arc::new(copies.mended(are_mended)),
        Err(why) => {
            report.violation(why);
            return Ok(workers);
        }
    };
    let client = http::blunt_client(LOOK_TIME_MAX)?;
    let judged = contended.judge(&client, &copies, everything).await;
    report.judged.add(&judged);
    report.violations.extend(judged.violations);
    let looking = workers.into_iter().map(|mut worker| {
        let copies = Arc::clone(&copies);
        tokio::spawn(async move {
            let verified = copies::verify(&mut worker, &copies, everything).await;
            (worker, verified)
        })
    });
    let mut workers = Vec::new();
    for looking in looking.collect::<Vec<_>>() {
        let (mut worker, verified) = looking.await.context("a worker panicked")?;
        report.verified += verified;
        report.violations.append(&mut worker.violations);
        workers.push(worker);
    }
    Ok(workers)
}
