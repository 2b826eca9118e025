//! `cargo run --release`: a whole cluster on this machine, until Ctrl-C.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use bytesize::ByteSize;
use clap::Parser;
use cluster::{Options, Running};
use service::environment::Environment;
use service::given::Given;
use service::log::{Format, Log};
use service::program::Program;
use service::signals::StopSignals;
use telemetry::Settings;
use wire::Copies;

/// Acequia on one machine: a distributor and storage nodes in one process
#[derive(Parser)]
#[command(name = "cluster", version)]
struct Arguments {
    /// Where everything is kept
    #[arg(long, value_name = "DIR", default_value = "./data")]
    data: PathBuf,
    /// The distributor's port; the nodes take the ports after it
    #[arg(long, value_name = "PORT", default_value_t = 8000)]
    port: u16,
    /// How many storage nodes
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    nodes: u16,
    /// How many nodes keep each content, 1 to 5 [default: 2, and never more than there are nodes]
    #[arg(long, value_name = "N", env = "COPIES")]
    copies: Option<Copies>,
    /// The catalog, postgres://… or sqlite://… [default: SQLite in the data folder]
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// The most that each node may store, like 500M or 2TiB [default: what its disk holds]
    #[arg(long, value_name = "SIZE", env = "MAX_STORAGE")]
    max_storage: Option<ByteSize>,
    /// What is logged to standard error
    #[arg(long, value_name = "FILTER", env = "LOG", default_value = "warn")]
    log: String,
    /// How the log looks: lines, or json
    #[arg(
        long,
        value_name = "FORMAT",
        env = "LOG_FORMAT",
        default_value = "lines"
    )]
    log_format: String,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let format = Given::new("--log-format", arguments.log_format.as_str());
    let log = Log::read(
        Some(Given::new("--log", arguments.log.as_str())),
        Some(format),
    );
    let program = Program::new(
        "cluster",
        log.as_ref().map_or(Format::Lines, |log| log.format),
    );
    let traces = match Settings::read(&Environment::of_process()) {
        Ok(traces) => traces,
        Err(error) => return program.misused(&error),
    };
    match log.and_then(|log| log.start()) {
        Ok(_) => program.ended(run(arguments, traces)),
        Err(error) => program.misused(&error),
    }
}

fn run(arguments: Arguments, traces: Option<Settings>) -> anyhow::Result<()> {
    let options = Options {
        data: arguments.data,
        port: arguments.port,
        nodes: arguments.nodes,
        copies: arguments.copies,
        database_url: arguments.database_url,
        max_storage: arguments.max_storage.map(|size| size.as_u64()),
        traces,
        ..Options::default()
    };
    let runtime = tokio::runtime::Runtime::new().context("cannot start threads")?;
    runtime.block_on(serve(options))
}

/// Runs the cluster until SIGINT or SIGTERM.
async fn serve(options: Options) -> anyhow::Result<()> {
    // Listened to from the start, so that a signal during the start is not lost.
    let mut stop = StopSignals::listen().context("cannot listen to signals")?;
    let cluster = tokio::select! {
        // Its message is a whole line already; its sources would say the same again.
        started = cluster::start(options) => started.map_err(|error| anyhow::anyhow!("{error}"))?,
        () = stop.received() => return Ok(()),
    };
    // A closed standard output (`| head -1`) is no reason to stop serving.
    drop(std::io::stdout().write_all(greeting(&cluster).as_bytes()));
    stop.received().await;
    drop(std::io::stdout().write_all(b"stopping\n"));
    cluster.stop().await;
    Ok(())
}

fn greeting(cluster: &Running) -> String {
    let options = cluster.options();
    let dist = cluster.url();
    let first = cluster.nodes().next().map_or(dist, |(_, url)| url);
    let mut text = format!("Acequia {} runs here:\n\n", env!("CARGO_PKG_VERSION"));
    text += &format!(
        "  dist     {dist}   catalog {}\n",
        without_password(&options.catalog())
    );
    for (name, url) in cluster.nodes() {
        let folder = options.data.join(name.as_str());
        text += &format!("  {:<8} {url}   data {}\n", name.as_str(), folder.display());
    }
    let address = if dist.ends_with(":8000") {
        String::new()
    } else {
        format!(" --url {dist}")
    };
    text + &format!(
        "\nTry in another terminal:\n\n  \
           curl -F file=@README.md {first}/store\n  \
           curl {dist}/content\n  \
           cargo run --release --package client --{address} list\n\n\
         Ctrl-C stops it; started again, everything is still there.\n"
    )
}

/// A database's address as it may be shown.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    match rest.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((name, _)) => format!("{scheme}://{name}:…@{host}"),
            None => url.to_owned(),
        },
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a database's password stands in the scroll-back of every terminal.
    #[test]
    fn passwords_are_not_shown() {
        let cases = [
            (
                "postgres://me:se@cret@db:5432/acequia",
                "postgres://me:…@db:5432/acequia",
            ),
            ("postgres://me@db/acequia", "postgres://me@db/acequia"),
            (
                "sqlite:///srv/a:b/catalog.db",
                "sqlite:///srv/a:b/catalog.db",
            ),
        ];
        for (url, shown) in cases {
            assert_eq!(without_password(url), shown);
        }
    }

    // If this fails, a documented flag is refused, or a nonsensical one accepted.
    #[test]
    fn flags_are_read() {
        let read = |words: &[&str]| Arguments::try_parse_from([&["cluster"], words].concat());
        let arguments =
            read(&["--max-storage", "100M", "--copies", "2", "--port", "0"]).expect("reads");
        assert_eq!(arguments.copies.map(Copies::get), Some(2));
        assert_eq!(
            arguments.max_storage.map(|size| size.as_u64()),
            Some(100_000_000)
        );
        for words in [
            ["--nodes", "0"],
            ["--copies", "6"],
            ["--port", "70000"],
            ["--max-storage", "lots"],
        ] {
            assert!(read(&words).is_err(), "{words:?} was accepted");
        }
    }
}
