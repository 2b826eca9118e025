//! The program `dist`: settings in, a distributor that serves until it is told to stop.

mod cli;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use anyhow::Context;
use cli::{Settings, Task};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// What a shell expects of a program that was called wrongly.
const USAGE: u8 = 2;

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let (task, settings) = match cli::read() {
        Ok(read) => read,
        Err(error) => {
            say(format_args!("dist: {error}"));
            return ExitCode::from(USAGE);
        }
    };
    let outcome = match task {
        Task::Health => cli::ask(settings.config.bind),
        Task::Serve => log_to(&settings.log).and_then(|()| run(serve(settings))),
        Task::Rebuild { adopt } => {
            log_to(&settings.log).and_then(|()| run(rebuild(settings, adopt)))
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("dist: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Writes a line to standard error. When that is closed, there is nobody left to tell.
fn say(line: std::fmt::Arguments<'_>) {
    writeln!(std::io::stderr(), "{line}").ok();
}

fn run(task: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start threads")?
        .block_on(task)
}

fn log_to(filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter).with_context(|| format!("LOG: `{filter}`"))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    Ok(())
}

async fn serve(settings: Settings) -> anyhow::Result<()> {
    let running = dist::start(settings.config).await?;
    stopped().await?;
    running.stop().await;
    Ok(())
}

async fn rebuild(settings: Settings, adopt: uuid::Uuid) -> anyhow::Result<()> {
    let plan = dist::Rebuild {
        adopt,
        nodes: settings.nodes,
        distributors: settings.other_distributors,
    };
    tokio::select! {
        outcome = dist::rebuild(settings.config, plan, |progress| say(format_args!("{progress}"))) => {
            Ok(outcome?)
        }
        signal = stopped() => {
            signal?;
            anyhow::bail!("interrupted; run it again, it goes on where it was")
        }
    }
}

/// Waits for SIGINT or SIGTERM.
async fn stopped() -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
