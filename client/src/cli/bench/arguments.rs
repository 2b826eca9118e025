//! What a benchmark is told on the command line.

use std::path::PathBuf;
use std::time::Duration;

use crate::bench::mix::{Mix, Operation};
use crate::bench::sizes::Sizes;
use crate::bench::{Bound, Load, Target, Wait};
use crate::cli::Global;
use crate::ui::human;

/// A load's shape.
#[derive(Debug, clap::Args)]
pub(super) struct LoadArguments {
    /// The size of a content, or a range of sizes like 1KiB..64KiB.
    #[arg(long, default_value = "1KiB")]
    size: Sizes,
    /// Operations under way at once.
    #[arg(long, short, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,
    /// Stop after so many requests.
    #[arg(long, short = 'n', conflicts_with = "duration")]
    count: Option<u64>,
    /// Stop after this time.
    #[arg(long, short, default_value = "10s", value_parser = human::parse_duration)]
    duration: Duration,
    /// Threads of this process.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Contents in one upload; several are sent as a form.
    #[arg(long, default_value_t = 1, value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=1000))]
    files_per_request: u16,
    /// What the answer to a change waits for.
    #[arg(long, value_enum, default_value_t = WaitArgument::Both)]
    wait: WaitArgument,
    /// Hash the bytes of one content in so many; sizes and ETags are compared of all.
    #[arg(long, default_value_t = 16, value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..))]
    hash_one_in: u64,
    /// Measure a folder of a plain HTTP server instead, nginx with WebDAV for instance: --url is the
    /// folder's.
    #[arg(long)]
    plain: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum WaitArgument {
    /// All in-sync mirrors have synced it.
    Committed,
    /// The catalog has it.
    Listed,
    /// One in sixteen for the first, the rest for the second: both latencies are shown.
    Both,
}

/// The contents that are read, changed or deleted.
#[derive(Debug, clap::Args)]
pub(super) struct ContentsArguments {
    /// How many contents to upload first.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(super) contents: u64,
    /// Use these instead: a file with an id at the beginning of each line.
    #[arg(long, value_name = "FILE")]
    pub(super) ids: Option<PathBuf>,
}

/// A load on contents that are there.
#[derive(Debug, clap::Args)]
pub(super) struct OnContents {
    #[command(flatten)]
    pub(super) load: LoadArguments,
    #[command(flatten)]
    pub(super) contents: ContentsArguments,
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum What {
    /// Upload contents.
    Upload {
        #[command(flatten)]
        load: LoadArguments,
        /// Write the ids of what was uploaded to this file, a line each.
        #[arg(long, value_name = "FILE")]
        ids_out: Option<PathBuf>,
    },
    /// Read contents at random, after uploading some.
    Get(OnContents),
    /// Replace contents at random, after uploading some.
    Update(OnContents),
    /// Delete contents, each once, after uploading some.
    Delete(OnContents),
    /// Read the metadata of contents at random from the distributor, after uploading some.
    Metadata(OnContents),
    /// Read pages of the catalog, each behind a content at random, after uploading some.
    List {
        #[command(flatten)]
        on: OnContents,
        /// Rows in a page.
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
    /// Read, upload, update and delete, by weights: reads are of contents that it uploads first,
    /// updates and deletes of what it uploads meanwhile.
    Mixed {
        #[command(flatten)]
        on: OnContents,
        /// The weights.
        #[arg(long, default_value = "get=70,upload=20,update=5,delete=5")]
        mix: Mix,
    },
    /// Measure what the parts under an upload take alone: a 4 KiB append with fdatasync on a
    /// folder's disk, and a commit in the catalog of an idle cluster.
    Probe {
        /// A folder on the disk of a node, where this machine has it.
        #[arg(long)]
        dir: Option<PathBuf>,
        /// Leave the cluster alone.
        #[arg(long, requires = "dir")]
        no_commit: bool,
    },
}

impl What {
    /// The operations, the load and the contents, where it is a load on contents.
    pub(super) fn on_contents(self) -> Option<(Mix, OnContents, Option<u16>)> {
        let only = |operation, on| Some((Mix::only(operation), on, None));
        match self {
            What::Get(on) => only(Operation::Get, on),
            What::Update(on) => only(Operation::Update, on),
            What::Delete(on) => only(Operation::Delete, on),
            What::Metadata(on) => only(Operation::Metadata, on),
            What::List { on, limit } => Some((Mix::only(Operation::List), on, Some(limit))),
            What::Mixed { on, mix } => Some((mix, on, None)),
            What::Upload { .. } | What::Probe { .. } => None,
        }
    }
}

impl LoadArguments {
    pub(super) fn load(&self, global: &Global) -> Load {
        let target = match self.plain {
            true => Target::Plain(global.first_url()),
            false => Target::Cluster(global.first_url()),
        };
        Load {
            access_key: global.access_key.clone(),
            sizes: self.size,
            concurrency: self.concurrency.into(),
            threads: self.threads.into(),
            bound: self
                .count
                .map_or(Bound::Duration(self.duration), Bound::Count),
            files_per_request: self.files_per_request.into(),
            wait: match self.wait {
                WaitArgument::Committed => Wait::Committed,
                WaitArgument::Listed => Wait::Listed,
                WaitArgument::Both => Wait::Both,
            },
            hashed_one_in: self.hash_one_in,
            ..Load::on(target)
        }
    }
}
