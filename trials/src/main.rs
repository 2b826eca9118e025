//! The trials by hand: `cargo xtask crash` and `cargo xtask bench` build the services as a release
//! and run this.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use bytesize::ByteSize;
use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use trials::bench::{self, Bench};
use trials::binaries::Binaries;
use trials::crash;

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
    /// Kill services at random moments under load, and check that nothing acknowledged is lost
    Crash {
        /// How many rounds
        #[arg(long, default_value_t = 20)]
        rounds: u32,
        /// Decides operations, moments and victims [default: drawn, and printed]
        #[arg(long)]
        seed: Option<u64>,
        /// How many storage nodes
        #[arg(long, default_value_t = 3)]
        nodes: u16,
        #[command(flatten)]
        place: Place,
    },
    /// Measure, and compare with what must be reached
    Bench {
        #[command(subcommand)]
        what: Measurement,
    },
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

impl Place {
    /// A fresh folder, removed when dropped. Not under /tmp, which may be memory.
    fn folder(&self) -> anyhow::Result<tempfile::TempDir> {
        let target = concat!(env!("CARGO_MANIFEST_DIR"), "/../target");
        let parent = self.dir.clone().unwrap_or_else(|| target.into());
        tempfile::Builder::new()
            .prefix("trial-")
            .tempdir_in(&parent)
            .with_context(|| format!("cannot use {}", parent.display()))
    }

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
        Trial::Crash {
            rounds,
            seed,
            nodes,
            place,
        } => {
            let seed = seed.unwrap_or_else(rand::random);
            crash_trial(rounds, seed, nodes, &place).await
        }
        Trial::Bench { what } => measure(what).await,
    }
}

async fn crash_trial(rounds: u32, seed: u64, nodes: u16, place: &Place) -> anyhow::Result<bool> {
    let mut folder = place.folder()?;
    let catalog = place.catalog()?;
    let settings = crash::Settings {
        rounds,
        seed,
        nodes,
        database_url: catalog.url.clone(),
        folder: folder.path().to_path_buf(),
    };
    let mut out = std::io::stdout();
    writeln!(out, "seed {seed}, data in {}", folder.path().display())?;
    let outcome = crash::run(&Binaries::beside_this_program()?, &settings, &mut out).await;
    // What a violation or an error leaves behind is kept to be looked at.
    folder.disable_cleanup(
        outcome
            .as_ref()
            .map_or(true, |report| !report.violations.is_empty()),
    );
    let report = outcome?;
    for violation in &report.violations {
        writeln!(out, "VIOLATION {violation}")?;
    }
    Ok(report.violations.is_empty())
}

async fn measure(what: Measurement) -> anyhow::Result<bool> {
    let (Measurement::Small { place, .. }
    | Measurement::Restart { place, .. }
    | Measurement::Large { place, .. }
    | Measurement::Delete { place, .. }) = &what;
    let folder = place.folder()?;
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
