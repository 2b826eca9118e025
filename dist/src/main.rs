//! The program `dist`: settings in, a distributor that serves until it is told to stop.

mod cli;

use std::process::ExitCode;

use anyhow::{Context, anyhow};
use cli::{Order, Task};
use service::health;
use service::log::Log;
use service::program::{ended, misused, say};
use service::signals::StopSignals;

fn main() -> ExitCode {
    let order = match cli::read() {
        Ok(order) => order,
        Err(error) => return misused("dist", &error),
    };
    let log = order.log.clone();
    match order.task {
        Task::Health => ended("dist", health::ask(order.config.bind)),
        Task::Serve => run(&log, serve(order.config)),
        Task::Rebuild { adopt } => run(&log, rebuild(order, adopt)),
    }
}

fn run(log: &Log, task: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    if let Err(error) = log.start() {
        return misused("dist", &error);
    }
    let runtime = tokio::runtime::Runtime::new().context("cannot start threads");
    ended("dist", runtime.and_then(|runtime| runtime.block_on(task)))
}

async fn serve(config: dist::Config) -> anyhow::Result<()> {
    let mut stop = listen()?;
    let running = tokio::select! {
        // Its message is a whole line already; its sources would say the same again.
        started = dist::start(config) => started.map_err(|error| anyhow!("{error}"))?,
        () = stop.received() => return Ok(()),
    };
    stop.received().await;
    running.stop().await;
    Ok(())
}

async fn rebuild(order: Order, adopt: uuid::Uuid) -> anyhow::Result<()> {
    let mut stop = listen()?;
    let plan = dist::Rebuild {
        adopt,
        nodes: order.nodes,
        distributors: order.other_distributors,
    };
    tokio::select! {
        outcome = dist::rebuild(order.config, plan, |progress| say(progress)) => {
            outcome.map_err(|error| anyhow!("{error}"))
        }
        () = stop.received() => {
            anyhow::bail!("interrupted; run it again, it goes on where it was")
        }
    }
}

fn listen() -> anyhow::Result<StopSignals> {
    StopSignals::listen().context("cannot listen to signals")
}
