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
use trials::bench::{self, Bench};
use trials::binaries::Binaries;
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
    Bench {
        #[command(subcommand)]
        what: Measurement,
    },
}

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
struct Place {
    /// Where data goes, on the disk that counts; emptied afterwards [default: under ./target]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
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
        Trial::Bench { what } => measure(what).await,
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

async fn measure(what: Measurement) -> anyhow::Result<bool> {
    let (Measurement::Small { place, .. }
    | Measurement::Restart { place, .. }
    | Measurement::Large { place, .. }
    | Measurement::Delete { place, .. }) = &what;
    let folder = folder(place.dir.as_ref())?;
    let catalog = place.catalog()?;
    let bench = Bench {
        binaries: Binaries::beside_this_program()?,
        folder: folder.path().to_path_buf(),
        database_url: catalog.url.clone(),
    };
    let figures = match what {
        Measurement::Small { seconds, .. } => bench::small::run(&bench, seconds).await?,
        Measurement::Restart { contents, .. } => bench::restart::run(&bench, contents).await?,
        Measurement::Large { size, .. } => bench::large::run(&bench, size.as_u64()).await?,
        Measurement::Delete { size, .. } => bench::delete::run(&bench, size.as_u64()).await?,
    };
    Ok(bench::print(&figures, &mut std::io::stdout())?)
}
