//! The trials by hand: `cargo xtask torture` and `cargo xtask bench` build the services as a release
//! and run this.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use bytesize::ByteSize;
use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use trials::bench::outage::Victim;
use trials::bench::{self, Bench, Figure, standard};
use trials::binaries::Binaries;
use trials::servers::Outage;
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
    /// Start a ZooKeeper for the coordinator [default: the catalog's database]
    #[arg(long)]
    zookeeper: bool,
}

#[derive(Subcommand)]
enum Measurement {
    /// Uploads and reads of 1 KiB, with probes of disk and database in the same run
    Small {
        /// How long each is measured
        #[arg(long, default_value_t = 10)]
        seconds: u32,
        #[command(flatten)]
        place: Place,
    },
    /// A node with very many small contents: restart and memory
    Restart {
        /// How many
        #[arg(long, default_value_t = 1_000_000)]
        contents: u64,
        #[command(flatten)]
        place: Place,
    },
    /// One large content, up and down: memory, and small uploads beside it
    Large {
        /// How large
        #[arg(long, default_value = "4GiB")]
        size: ByteSize,
        #[command(flatten)]
        place: Place,
    },
    /// A follower that was away catches up; a node is lost, and its copies are made anew
    CatchUp {
        /// What the cluster holds, counted once
        #[arg(long, default_value = "10GiB")]
        size: ByteSize,
        /// What the follower misses
        #[arg(long, default_value = "1GiB")]
        missed: ByteSize,
        /// `CATCH_UP_RATE` of the nodes; 0 for no bound [default: theirs]
        #[arg(long)]
        rate: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// The database or ZooKeeper is away for a while, under load
    Outage {
        /// Which
        #[arg(value_enum)]
        server: Victim,
        /// How
        #[arg(long, value_enum, default_value = "down")]
        how: Outage,
        /// For how long
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        #[command(flatten)]
        at: Folder,
    },
    /// The database is put back to a backup, after failovers, handovers and moves
    Restore {
        /// Of these, three each
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        #[command(flatten)]
        at: Folder,
    },
    /// Full load for long: no leader changes, and no session is lost
    Steady {
        /// For how long
        #[arg(long, default_value_t = 30)]
        minutes: u64,
        #[command(flatten)]
        place: Place,
    },
    /// Leaders are killed (`kill -9`) under load: when writes go on
    Failover {
        /// How many
        #[arg(long, default_value_t = 100)]
        kills: u32,
        /// How long a node may be silent, in seconds
        #[arg(long, default_value_t = 1.0)]
        session: f64,
        #[command(flatten)]
        place: Place,
    },
    /// Nodes are stopped and drained under load: how long writes wait
    Handover {
        /// How often each node is
        #[arg(long, default_value_t = 5)]
        rounds: u32,
        /// How long a node may be silent, in seconds
        #[arg(long, default_value_t = 3.0)]
        session: f64,
        #[command(flatten)]
        place: Place,
    },
    /// Every service is restarted in turn, under load: no request fails
    Rolling {
        /// How often each is
        #[arg(long, default_value_t = 3)]
        rounds: u32,
        /// How long a node may be silent, in seconds
        #[arg(long, default_value_t = 3.0)]
        session: f64,
        #[command(flatten)]
        place: Place,
    },
    /// How soon a deleted content's space is free
    Delete {
        /// How large
        #[arg(long, default_value = "1GiB")]
        size: ByteSize,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Args)]
struct Folder {
    /// Where data goes, on the disk that counts; emptied afterwards [default: under ./target]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

#[derive(Args)]
struct Place {
    #[command(flatten)]
    at: Folder,
    /// An empty database for the catalog, postgres://… [default: SQLite]
    #[arg(long, value_name = "URL", conflicts_with = "postgres")]
    database_url: Option<String>,
    /// Start a PostgreSQL for the catalog, and end it afterwards
    #[arg(long)]
    postgres: bool,
}

/// The catalog of one trial; the server that was started for it ends with it.
struct Catalog {
    url: Option<String>,
    _server: Option<pgtest::Postgres>,
}

/// A fresh folder, removed when dropped. Not under /tmp, which may be memory.
fn folder(dir: Option<&PathBuf>) -> anyhow::Result<tempfile::TempDir> {
    let target = concat!(env!("CARGO_MANIFEST_DIR"), "/../target");
    let parent = dir.cloned().unwrap_or_else(|| target.into());
    tempfile::Builder::new()
        .prefix("trial-")
        .tempdir_in(&parent)
        .with_context(|| format!("cannot use {}", parent.display()))
}

impl Place {
    fn catalog(&self) -> anyhow::Result<Catalog> {
        if !self.postgres {
            return Ok(Catalog {
                url: self.database_url.clone(),
                _server: None,
            });
        }
        let server = pgtest::Postgres::start_durable()?;
        Ok(Catalog {
            url: Some(server.fresh_database()?),
            _server: Some(server),
        })
    }
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
    tokio::select! {
        outcome = run(arguments) => outcome,
        _ = terminate.recv() => Ok(false),
        _ = interrupt.recv() => Ok(false),
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
        folder: folder.path().join("run"),
    };
    let (seed, place) = (settings.seed, settings.folder.display());
    writeln!(out, "seed {seed}, data in {place}")?;
    let outcome = torture::run(&Binaries::beside_this_program()?, &settings, &mut out).await;
    // What a violation or an error leaves behind is kept to be looked at.
    let is_clean = outcome
        .as_ref()
        .is_ok_and(|report| report.violations.is_empty());
    folder.disable_cleanup(!is_clean);
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

impl Measurement {
    fn folder(&self) -> Option<&PathBuf> {
        match self {
            Measurement::Outage { at, .. } | Measurement::Restore { at, .. } => at.dir.as_ref(),
            _ => self.place().and_then(|place| place.at.dir.as_ref()),
        }
    }

    /// Where the catalog is; none where servers are part of what is measured.
    fn place(&self) -> Option<&Place> {
        match self {
            Measurement::Small { place, .. }
            | Measurement::Restart { place, .. }
            | Measurement::Large { place, .. }
            | Measurement::CatchUp { place, .. }
            | Measurement::Steady { place, .. }
            | Measurement::Failover { place, .. }
            | Measurement::Handover { place, .. }
            | Measurement::Rolling { place, .. }
            | Measurement::Delete { place, .. } => Some(place),
            Measurement::Outage { .. } | Measurement::Restore { .. } => None,
        }
    }

    async fn run(self, bench: &Bench) -> anyhow::Result<Vec<Figure>> {
        match self {
            Measurement::Small { seconds, .. } => bench::small::run(bench, seconds).await,
            Measurement::Restart { contents, .. } => bench::restart::run(bench, contents).await,
            Measurement::Large { size, .. } => bench::large::run(bench, size.as_u64()).await,
            Measurement::Delete { size, .. } => bench::delete::run(bench, size.as_u64()).await,
            Measurement::CatchUp {
                size, missed, rate, ..
            } => {
                let settings = bench::mirror::Settings {
                    size: size.as_u64(),
                    missed: missed.as_u64(),
                    rate,
                };
                bench::mirror::run(bench, &settings).await
            }
            Measurement::Outage {
                server,
                how,
                seconds,
                ..
            } => bench::outage::run(bench, (server, how), Duration::from_secs(seconds)).await,
            Measurement::Restore { rounds, .. } => bench::outage::restore::run(bench, rounds).await,
            Measurement::Failover { kills, session, .. } => {
                bench::failover::run(bench, kills, session).await
            }
            Measurement::Handover {
                rounds, session, ..
            } => bench::handover::run(bench, rounds, session).await,
            Measurement::Rolling {
                rounds, session, ..
            } => bench::rolling::run(bench, rounds, session).await,
            Measurement::Steady { minutes, .. } => {
                bench::steady::run(bench, Duration::from_secs(60 * minutes)).await
            }
        }
    }
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
    let binaries = Binaries::beside_this_program()?;
    let mut out = std::io::stdout();
    let mut holds = true;
    if standard.only.is_empty() || !loads.is_empty() {
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
    let catalog = what.place().map(Place::catalog).transpose()?;
    let bench = Bench {
        binaries: Binaries::beside_this_program()?,
        folder: folder.path().to_path_buf(),
        database_url: catalog.as_ref().and_then(|catalog| catalog.url.clone()),
    };
    let figures = what.run(&bench).await?;
    Ok(bench::print(&figures, &mut std::io::stdout())?)
}
