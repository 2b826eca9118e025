//! The command line: one file for each subcommand, and what they have in common.

#[cfg(test)]
mod bed;
mod bench;
mod copying;
mod delete;
mod doctor;
mod explain;
pub mod failure;
mod get;
mod help;
mod info;
mod list;
mod log;
mod nodes;
mod stats;
mod transfers;
mod update;
mod upload;
mod verify;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use serde::Serialize;
use uuid::Uuid;

use crate::api::{Client, Endpoint, Options};
use crate::ui::{Format, Ui};
use failure::{Failure, Kind};
use wire::trace::TraceParent;

const EXIT_CODES: &str = "\
Exit codes:
    0  done
    1  failed in another way than these, or in several ways
    2  wrong usage
    3  the content does not exist, or was deleted
    4  nobody answers
    5  wrong bytes: a hash differs
    6  no access key, or a wrong one
    7  conflict: the content is not as the request demands
    8  the cluster answers, but cannot do it now
    9  a file on this machine, or standard output, cannot be read or written
  130  interrupted";

/// Stores files in an Acequia cluster, and gets them back.
///
/// Data goes to standard output, everything else to standard error.
#[derive(Debug, Parser)]
#[command(name = "client", version, after_help = EXIT_CODES, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "With every command")]
struct Global {
    /// The base URL of a distributor; with commas between them of several, for when one is away.
    #[arg(
        long,
        env = "ACEQUIA_URL",
        default_value = "http://127.0.0.1:8000",
        global = true,
        value_delimiter = ',',
        value_name = "URL"
    )]
    url: Vec<Endpoint>,
    /// The cluster's access key, where it demands one.
    #[arg(
        long,
        env = "ACCESS_KEY",
        hide_env_values = true,
        global = true,
        value_name = "KEY"
    )]
    access_key: Option<String>,
    /// The trace that all requests belong to, a W3C traceparent; services name it in their logs. By
    /// default a new one.
    #[arg(long, env = "TRACEPARENT", global = true, value_name = "TRACEPARENT")]
    trace: Option<TraceParent>,
    /// Print data as JSON, one value a line; failures too, on standard error.
    #[arg(long, global = true)]
    json: bool,
    /// Show no progress bars.
    #[arg(long, short, global = true)]
    quiet: bool,
}

impl Global {
    /// The first distributor's base URL: a measurement asks no other one.
    fn first_url(&self) -> String {
        self.url
            .first()
            .map(Endpoint::to_string)
            .unwrap_or_default()
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    Upload(upload::Arguments),
    Get(get::Arguments),
    Update(update::Arguments),
    Delete(delete::Arguments),
    List(list::Arguments),
    Log(log::Arguments),
    Info(info::Arguments),
    Nodes(nodes::Arguments),
    Shards(nodes::shards::Arguments),
    Drain(nodes::drain::Arguments),
    Remove(nodes::remove::Arguments),
    Rebalance(nodes::rebalance::Arguments),
    Recover(nodes::recover::Arguments),
    GiveUp(nodes::give_up::Arguments),
    Verify(verify::Arguments),
    Stats(stats::Arguments),
    Explain(explain::Arguments),
    Doctor(doctor::Arguments),
    Bench(bench::Arguments),
    Completions(help::completions::Arguments),
    Man(help::man::Arguments),
}

/// What every subcommand works with.
#[derive(Clone)]
struct Session {
    client: Client,
    ui: Ui,
}

/// Reads the command line, runs the command and gives the process's exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let format = if cli.global.json {
        Format::Json
    } else {
        Format::Text
    };
    let ui = Ui::new(format, cli.global.quiet);
    match run(cli, &ui) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report(&ui, &failure);
            ExitCode::from(failure.kind.exit_code())
        }
    }
}

fn run(cli: Cli, ui: &Ui) -> Result<(), Failure> {
    match cli.command {
        // It makes its own light connections, on threads of its own.
        Command::Bench(arguments) => bench::run(arguments, &cli.global, ui),
        Command::Completions(arguments) => help::completions::run(&arguments, ui),
        Command::Man(arguments) => help::man::run(&arguments, ui),
        command => run_session(cli.global, command, ui),
    }
}

/// Runs a command that talks to the cluster.
fn run_session(global: Global, command: Command, ui: &Ui) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Kind::Failure, format!("cannot start: {error}")))?;
    let interruption = interruption(&command, ui);
    let outcome = runtime.block_on(async {
        let session = Session::open(global, ui.clone())?;
        tokio::select! {
            outcome = dispatch(&session, command) => outcome,
            () = interrupted() => interruption,
        }
    });
    // A thread may wait for standard input: it is not waited for.
    runtime.shutdown_timeout(Duration::ZERO);
    outcome
}

/// How a command ends with Ctrl-C.
fn interruption(command: &Command, ui: &Ui) -> Result<(), Failure> {
    let interrupted = Failure::new(Kind::Interrupted, "interrupted");
    Err(match command {
        Command::Get(_) => interrupted.with_hint("the same command goes on from where it stopped"),
        Command::Drain(_) => {
            interrupted.with_hint("the node is emptied all the same; --undo stops it")
        }
        Command::Remove(_) => interrupted.with_hint(
            "if the node was removed, its copies are made anew all the same; `client shards` shows \
             which shards have theirs",
        ),
        // That is how it is meant to end.
        Command::Stats(arguments) if arguments.is_on_screen(ui) => return Ok(()),
        _ => interrupted,
    })
}

async fn dispatch(session: &Session, command: Command) -> Result<(), Failure> {
    match command {
        Command::Upload(arguments) => upload::run(session, arguments).await,
        Command::Get(arguments) => get::run(session, arguments).await,
        Command::Update(arguments) => update::run(session, arguments).await,
        Command::Delete(arguments) => delete::run(session, arguments).await,
        Command::List(arguments) => list::run(session, arguments).await,
        Command::Log(arguments) => log::run(session, arguments).await,
        Command::Info(arguments) => info::run(session, arguments).await,
        Command::Nodes(arguments) => nodes::run(session, arguments).await,
        Command::Shards(arguments) => nodes::shards::run(session, arguments).await,
        Command::Drain(arguments) => nodes::drain::run(session, arguments).await,
        Command::Rebalance(arguments) => nodes::rebalance::run(session, arguments).await,
        Command::Recover(arguments) => nodes::recover::run(session, arguments).await,
        Command::GiveUp(arguments) => nodes::give_up::run(session, arguments).await,
        Command::Remove(arguments) => nodes::remove::run(session, arguments).await,
        Command::Verify(arguments) => verify::run(session, arguments).await,
        Command::Stats(arguments) => stats::run(session, arguments).await,
        Command::Explain(arguments) => explain::run(session, arguments).await,
        Command::Doctor(arguments) => doctor::run(session, arguments).await,
        Command::Bench(_) | Command::Completions(_) | Command::Man(_) => {
            unreachable!("`run` takes them before a session is opened")
        }
    }
}

impl Session {
    fn open(global: Global, ui: Ui) -> Result<Self, Failure> {
        let mut urls = global.url.into_iter();
        let first = urls
            .next()
            .ok_or_else(|| Failure::new(Kind::Usage, "--url names no distributor"))?;
        let mut options = Options::new(first);
        options.others = urls.collect();
        options.access_key = global.access_key;
        options.trace = global.trace.unwrap_or(options.trace);
        options.request_id = ui.run();
        let client = Client::new(options)
            .map_err(|error| Failure::caused("cannot set up the client", &error))?;
        Ok(Session { client, ui })
    }
}

/// Ends when the user wants it to end; never, if the system gives no signals.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// A failure for programs, with what operators look for in the logs of services.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    failure: &'a Failure,
    request_id: Uuid,
}

/// Tells the user of a failure. That standard output was closed is none.
fn report(ui: &Ui, failure: &Failure) {
    if failure.kind == Kind::OutputClosed {
        return;
    }
    let told = Told {
        failure,
        request_id: ui.run(),
    };
    match (
        ui.format(),
        serde_json::to_string(&serde_json::json!({ "error": told })),
    ) {
        (Format::Json, Ok(json)) => ui.note(&json),
        _ => ui.complain(&failure.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("client").chain(line.split_whitespace()))
    }

    // If this fails, some command line panics instead of being read or refused.
    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    // If this fails, the exit codes that scripts rely on are not the documented ones.
    #[test]
    fn every_exit_code_is_documented() {
        for kind in Kind::ALL {
            let line = format!("{:>5}  ", kind.exit_code());
            assert!(EXIT_CODES.contains(&line), "{kind:?}");
        }
    }

    // If this fails, the documented forms of the commands stop working.
    #[test]
    fn the_documented_commands_are_read() {
        let id = "01943e3f-0000-8001-9000-000000000000";
        for line in [
            "upload a b -r --jobs 2",
            "upload - --name x --json",
            "--url http://h:1 list --filename a* --limit 5",
            &format!("get {id}"),
            &format!("get {id} -o -"),
            &format!("update {id} a"),
            &format!("delete {id} {id}"),
            &format!("info {id} --json"),
            "nodes",
            "shards --json",
            "log --follow --shard 3",
            "log --follow --tail 0",
            "drain node2 --no-wait",
            "drain node2 --undo",
            "remove node2 --force",
            "remove node2 --force --no-wait",
            "rebalance --no-wait",
            "recover --json",
            "recover 3 --from node2",
            "recover 3 --from node2 --force --yes",
            "give-up --json",
            "give-up 3",
            "give-up 3 --node node2 --force --yes",
            &format!("verify {id} {id}"),
            "verify --all --jobs 8 --json",
            "stats --watch",
            "completions bash",
            "completions powershell",
            "man",
            "man --dir pages",
            "doctor --nodes-file nodes.yml --json",
            &format!("explain {id}"),
            &format!("explain {id} --quick --json"),
            "bench upload --size 1KiB --concurrency 16 --duration 10s --json",
            "bench upload --size 1KiB..64KiB --files-per-request 32 --wait committed",
            "bench get --count 1000 --hash-one-in 1",
            "bench get --plain --url http://h:1/folder --concurrency 64 --threads 2",
            "bench update --contents 100",
            "bench delete --contents 10000 --ids file",
            "bench metadata --concurrency 64",
            "bench list --limit 1000",
            "bench mixed --mix get=90,upload=10",
            "bench probe --dir . --no-commit",
            "bench probe",
        ] {
            if let Err(error) = parse(line) {
                panic!("{line}: {error}");
            }
        }
    }

    // If this fails, a typo is sent to the cluster.
    #[test]
    fn wrong_command_lines_are_usage_errors() {
        for line in [
            "",
            "get 17",
            "list --limit x",
            "upload",
            "verify",
            "bench get --size 2KiB..1KiB",
            "bench mixed --mix reads=1",
            "bench upload --concurrency 0",
            "remove node2 --no-wait",
            "recover --from node2",
            "recover 3 --force",
            "recover 3",
            "give-up --yes",
            "give-up x",
            "completions",
            "completions tcsh",
            "explain",
            "explain 17",
            "--url 127.0.0.1 nodes",
            "x",
        ] {
            let error = parse(line).expect_err(line);
            let help = ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
            assert_eq!(error.exit_code(), 2, "{line}: {:?} {help:?}", error.kind());
        }
    }
}
