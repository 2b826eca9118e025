//! The trials by hand: `cargo xtask torture` and `cargo xtask bench` build the services as a release
//! and run this.

mod measurement;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use measurement::{LOAD_BYTES, Measurement, Place, RECORD_BYTES, folder};
use tokio::signal::unix::{SignalKind, signal};
use trials::bench::{self, Bench, standard};
use trials::binaries::Binaries;
use trials::run::room;
use trials::torture::{self, fault::Fault};

#[derive(Parser)]
#[command(
    name = "trials",
    bin_name = "cargo xtask",
    about = "Experiments on real processes"
)]
struct Arguments {
    #[command(subcommand)]
    trial: Trial,
}

#[derive(Subcommand)]
enum Trial {
    /// Do everything to the services that may happen, and check that nothing acknowledged is lost
    Torture(Torture),
    /// Measure, and compare with what must be reached
    Bench(Measure),
}

/// Without the name of a single measurement, the standard set: every path of a mirrored cluster on
/// PostgreSQL, with nginx beside it.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
struct Measure {
    #[command(flatten)]
    standard: Standard,
    #[command(subcommand)]
    what: Option<Measurement>,
}

#[derive(Args)]
struct Standard {
    /// How long each round of each load lasts
    #[arg(long, default_value_t = 4)]
    seconds: u32,
    /// How often each is measured
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Rows of the catalog whose pages are listed
    #[arg(long, default_value_t = 10_000_000)]
    rows: u64,
    /// Contents of the node that is restarted
    #[arg(long, default_value_t = 1_000_000)]
    contents: u64,
    /// Only these loads, by name; `restart` is one of them [default: all]
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    only: Vec<String>,
    /// Draw a flame graph of each load's first round into a folder [default: target/profiles]
    #[arg(long, value_name = "DIR", num_args = 0..=1)]
    profile: Option<Option<PathBuf>>,
    /// Where data goes, on the disk that counts; emptied afterwards [default: under ./target]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// The measurement among the loads that is no load.
const RESTART: &str = "restart";

#[derive(Args)]
struct Torture {
    /// For how long
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Decides operations, moments and victims [default: drawn, and printed]
    #[arg(long)]
    seed: Option<u64>,
    /// How many storage nodes
    #[arg(long, default_value_t = 3)]
    nodes: u16,
    /// What happens: kill, pause, partition, power, flip, catalog, full, fail [default: all that can be
    /// done here]
    #[arg(long, value_delimiter = ',', value_name = "FAULTS")]
    faults: Vec<Fault>,
    /// Where data goes; emptied afterwards [default: under ./target]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Start a PostgreSQL for the catalog [default: SQLite]
    #[arg(long)]
    postgres: bool,
    /// How many distributors, with --postgres; one of them at a time is the controller
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    distributors: u16,
    /// Start a ZooKeeper for the coordinator [default: the catalog's database]
    #[arg(long)]
    zookeeper: bool,
}

fn main() -> ExitCode {
    let outcome = tokio::runtime::Runtime::new()
        .context("cannot start threads")
        .and_then(|runtime| runtime.block_on(run_until_told(Arguments::parse())));
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("trials: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a trial; told to end, it ends its services and removes its data first.
async fn run_until_told(arguments: Arguments) -> anyhow::Result<bool> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen to signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen to signals")?;
    // Its terminal was closed.
    let mut hangup = signal(SignalKind::hangup()).context("cannot listen to signals")?;
    tokio::select! {
        outcome = run(arguments) => outcome,
        _ = terminate.recv() => Ok(false),
        _ = interrupt.recv() => Ok(false),
        _ = hangup.recv() => Ok(false),
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<bool> {
    match arguments.trial {
        Trial::Torture(torture) => torture_trial(torture).await,
        Trial::Bench(Measure {
            what: Some(what), ..
        }) => measure(what).await,
        Trial::Bench(Measure { standard, .. }) => standard_set(standard).await,
    }
}

async fn torture_trial(torture: Torture) -> anyhow::Result<bool> {
    let mut folder = folder(torture.dir.as_ref())?;
    let mut out = std::io::stdout();
    let settings = torture::Settings {
        time: Duration::from_secs_f64(60.0 * torture.minutes),
        seed: torture.seed.unwrap_or_else(rand::random),
        nodes: torture.nodes,
        faults: possible(&torture, folder.path(), &mut out)?,
        postgres: torture.postgres,
        zookeeper: torture.zookeeper,
        distributors: torture.distributors,
        folder: folder.path().join("run"),
    };
    let (seed, place) = (settings.seed, settings.folder.display());
    writeln!(out, "seed {seed}, data in {place}")?;
    let outcome = torture::run(&Binaries::beside_this_program()?, &settings, &mut out).await;
    // What a violation or an error leaves behind is kept to be looked at.
    let is_clean = outcome
        .as_ref()
        .is_ok_and(|report| report.violations.is_empty());
    folder.keep(!is_clean);
    outcome?.write(&mut out)?;
    Ok(is_clean)
}

/// The faults that were asked for, each of which must be possible; or all that are.
fn possible(torture: &Torture, folder: &Path, out: &mut impl Write) -> anyhow::Result<Vec<Fault>> {
    let has_servers = torture.postgres || torture.zookeeper;
    let mut faults = match torture.faults.is_empty() {
        true => Fault::ALL.to_vec(),
        false => torture.faults.clone(),
    };
    let mut obstacles = Vec::new();
    faults.retain(|fault| {
        let obstacle = fault.obstacle(folder, has_servers);
        obstacles.extend(
            obstacle
                .as_ref()
                .map(|why| format!("no {fault} here: {why}")),
        );
        obstacle.is_none()
    });
    for obstacle in &obstacles {
        anyhow::ensure!(torture.faults.is_empty(), "{obstacle}");
        writeln!(out, "{obstacle}")?;
    }
    Ok(faults)
}

async fn standard_set(standard: Standard) -> anyhow::Result<bool> {
    let folder = folder(standard.dir.as_ref())?;
    let restarts = standard.only.is_empty() || standard.only.iter().any(|name| name == RESTART);
    let is_load = |name: &String| name != RESTART;
    let loads: Vec<String> = standard
        .only
        .iter()
        .filter(|name| is_load(name))
        .cloned()
        .collect();
    let has_loads = standard.only.is_empty() || !loads.is_empty();
    let seconds = standard.seconds.saturating_mul(standard.rounds);
    let uploads = if has_loads {
        standard::bytes(&loads, seconds)
    } else {
        0
    };
    let contents = if restarts {
        RECORD_BYTES * standard.contents
    } else {
        0
    };
    // They come one after the other.
    room::check(folder.path(), LOAD_BYTES + uploads.max(contents))?;
    let binaries = Binaries::beside_this_program()?;
    let mut out = std::io::stdout();
    let mut holds = true;
    if has_loads {
        let target = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/profiles");
        let profiles = standard
            .profile
            .map(|dir| dir.unwrap_or_else(|| target.into()));
        let settings = standard::Settings {
            binaries: binaries.clone(),
            folder: folder.path().to_path_buf(),
            seconds: standard.seconds,
            rounds: standard.rounds,
            rows: standard.rows,
            only: loads,
            profiles,
        };
        let rows = standard::run(&settings, &mut out).await?;
        holds &= standard::print(&rows, &mut out)?;
    }
    if restarts {
        let server = pgtest::Postgres::start_durable()?;
        let bench = Bench {
            binaries,
            folder: folder.path().join(RESTART),
            database_url: Some(server.fresh_database()?),
        };
        let figures = bench::restart::run(&bench, standard.contents).await?;
        holds &= bench::print(&figures, &mut out)?;
    }
    Ok(holds)
}

async fn measure(what: Measurement) -> anyhow::Result<bool> {
    let folder = folder(what.folder())?;
    room::check(folder.path(), what.bytes())?;
    let catalog = what.place().map(Place::catalog).transpose()?;
    let bench = Bench {
        binaries: Binaries::beside_this_program()?,
        folder: folder.path().to_path_buf(),
        database_url: catalog.as_ref().and_then(|catalog| catalog.url.clone()),
    };
    let figures = what.run(&bench).await?;
    Ok(bench::print(&figures, &mut std::io::stdout())?)
}
