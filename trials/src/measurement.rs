//! The single measurements, as they are asked for.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use clap::{Args, Subcommand};
use trials::bench::outage::Victim;
use trials::bench::{self, Bench, Figure};
use trials::run::RunFolder;
use trials::servers::Outage;

/// What the logs of some nodes reserve, and small contents of some seconds.
const FEW_BYTES: u64 = 1 << 30;

/// What contents take that come and go for minutes, with what is dead of them.
pub(crate) const LOAD_BYTES: u64 = 4 << 30;

/// What a content of some bytes takes, in its log and in the catalog.
pub(crate) const RECORD_BYTES: u64 = 1024;

/// What a node takes that holds nothing: its logs reserve 8 MiB each.
const NODE_BYTES: u64 = 32 << 20;

#[derive(Subcommand)]
pub(crate) enum Measurement {
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
    /// The web console of many nodes and contents: its first page, and its live updates
    Console {
        /// Nodes on the board
        #[arg(long, default_value_t = 100)]
        nodes: u16,
        /// Rows of the catalog, in a PostgreSQL that is started for it
        #[arg(long, default_value_t = 10_000_000)]
        rows: u64,
        /// Who look at the board at the same time
        #[arg(long, default_value_t = 10)]
        viewers: usize,
        /// How long the distributor is watched, each time with and without viewers
        #[arg(long, default_value_t = 30)]
        seconds: u64,
        #[command(flatten)]
        at: Folder,
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
pub(crate) struct Folder {
    /// Where data goes, on the disk that counts; emptied afterwards [default: under ./target]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Place {
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
pub(crate) struct Catalog {
    pub(crate) url: Option<String>,
    _server: Option<pgtest::Postgres>,
}

/// A fresh folder. Not under /tmp, which may be memory.
pub(crate) fn folder(dir: Option<&PathBuf>) -> anyhow::Result<RunFolder> {
    let target = concat!(env!("CARGO_MANIFEST_DIR"), "/../target");
    RunFolder::make(dir.map_or(Path::new(target), PathBuf::as_path))
}

impl Place {
    pub(crate) fn catalog(&self) -> anyhow::Result<Catalog> {
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

impl Measurement {
    pub(crate) fn folder(&self) -> Option<&PathBuf> {
        match self {
            Measurement::Outage { at, .. }
            | Measurement::Restore { at, .. }
            | Measurement::Console { at, .. } => at.dir.as_ref(),
            _ => self.place().and_then(|place| place.at.dir.as_ref()),
        }
    }

    /// Where the catalog is; none where servers are part of what is measured.
    pub(crate) fn place(&self) -> Option<&Place> {
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
            Measurement::Outage { .. }
            | Measurement::Restore { .. }
            | Measurement::Console { .. } => None,
        }
    }

    /// What its nodes write at the most, about, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        let own = match self {
            Measurement::Large { size, .. } | Measurement::Delete { size, .. } => size.as_u64(),
            // Two copies, and those that are made anew of what was on the lost node, whose folder stays.
            Measurement::CatchUp { size, missed, .. } => 3 * (size.as_u64() + missed.as_u64()),
            Measurement::Restart { contents, .. } => RECORD_BYTES * contents,
            Measurement::Console { nodes, .. } => NODE_BYTES * u64::from(*nodes),
            Measurement::Small { .. } => 0,
            Measurement::Outage { .. }
            | Measurement::Restore { .. }
            | Measurement::Steady { .. }
            | Measurement::Failover { .. }
            | Measurement::Handover { .. }
            | Measurement::Rolling { .. } => LOAD_BYTES,
        };
        FEW_BYTES + own
    }

    pub(crate) async fn run(self, bench: &Bench) -> anyhow::Result<Vec<Figure>> {
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
            Measurement::Console {
                nodes,
                rows,
                viewers,
                seconds,
                ..
            } => {
                let settings = bench::console::Settings {
                    nodes,
                    rows,
                    viewers,
                    turn: Duration::from_secs(seconds),
                };
                bench::console::run(bench, &settings).await
            }
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
