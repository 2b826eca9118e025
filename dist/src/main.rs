//! The program `dist`: settings in, a distributor that serves until it is told to stop.

mod cli;

use std::process::ExitCode;

use anyhow::{Context, anyhow};
use cli::{Order, Source, Task};
use dist::{Config, Running};
use service::current::{Reloaded, tell};
use service::given::SettingError;
use service::health;
use service::log::{Filter, Log};
use service::program::{ended, misused, say};
use service::signals::{Signals, StopSignals, Told};

const LISTEN: &str = "cannot listen to signals";

fn main() -> ExitCode {
    let mut source = Source::of_process();
    let order = match source.read() {
        Ok(order) => order,
        Err(error) => return misused("dist", &error),
    };
    let log = order.log.clone();
    match order.task {
        Task::Health => ended("dist", health::ask(order.config.bind)),
        Task::Serve => run(&log, |filter| serve(order.config, filter, source)),
        Task::Rebuild { adopt } => run(&log, |_| rebuild(order, adopt)),
    }
}

fn run<T>(log: &Log, task: impl FnOnce(Filter) -> T) -> ExitCode
where
    T: Future<Output = anyhow::Result<()>>,
{
    let filter = match log.start() {
        Ok(filter) => filter,
        Err(error) => return misused("dist", &error),
    };
    let runtime = tokio::runtime::Runtime::new().context("cannot start threads");
    ended(
        "dist",
        runtime.and_then(|runtime| runtime.block_on(task(filter))),
    )
}

async fn serve(config: Config, mut filter: Filter, mut source: Source) -> anyhow::Result<()> {
    let mut signals = Signals::listen().context(LISTEN)?;
    let mut running = tokio::select! {
        // Its message is a whole line already; its sources would say the same again.
        started = dist::start(config) => started.map_err(|error| anyhow!("{error}"))?,
        () = signals.stopped() => return Ok(()),
    };
    while signals.next().await == Told::Reload {
        tell(&reload(&mut source, &mut filter, &mut running));
    }
    running.stop().await;
    Ok(())
}

/// Reads the settings again; nothing is taken over of those that cannot be used.
fn reload(
    source: &mut Source,
    filter: &mut Filter,
    running: &mut Running,
) -> Result<Reloaded, SettingError> {
    let Order { config, log, .. } = source.read()?;
    let is_other = filter.replace(&log)?;
    let mut done = running.reload(config);
    if is_other {
        done.taken.push("log");
    }
    Ok(done)
}

async fn rebuild(order: Order, adopt: uuid::Uuid) -> anyhow::Result<()> {
    let mut stop = StopSignals::listen().context(LISTEN)?;
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
