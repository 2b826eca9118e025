//! The program `dist`: settings in, a distributor that serves until it is told to stop.

mod cli;

use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use cli::{Order, Source, Task};
use dist::{Config, Running};
use service::current::{Reloaded, tell};
use service::given::SettingError;
use service::health;
use service::log::Filter;
use service::program::{Program, say};
use service::signals::{Signals, Told};
use tokio::runtime::Runtime;

const INTERRUPTED: &str = "interrupted; run it again, it goes on where it was";

fn main() -> ExitCode {
    let mut source = Source::of_process();
    let program = source.program();
    if source.is_question() {
        return match source.read() {
            Ok(order) => program.ended(health::ask(order.config.bind)),
            Err(error) => program.misused(&error),
        };
    }
    let runtime = Runtime::new().context("cannot start threads");
    match runtime.and_then(|runtime| runtime.block_on(run(source, program))) {
        Ok(code) => code,
        Err(error) => program.ended(Err(error)),
    }
}

/// Listens to signals before all that takes time: reading settings may look names up.
async fn run(mut source: Source, program: Program) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen().context("cannot listen to signals")?;
    let is_service = source.is_service();
    let read = move || source.read().map(|order| (order, source));
    let read = signals.unless_stopped(read).await;
    let (order, source) = match read.context("cannot read the settings")? {
        Some(Ok(read)) => read,
        Some(Err(error)) => return Ok(program.misused(&error)),
        None if is_service => return Ok(ExitCode::SUCCESS),
        None => bail!(INTERRUPTED),
    };
    let filter = match order.log.start() {
        Ok(filter) => filter,
        Err(error) => return Ok(program.misused(&error)),
    };
    match order.task {
        Task::Rebuild { adopt } => rebuild(order, adopt, signals).await?,
        Task::Serve => serve(order.config, (filter, source), signals).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn serve(
    config: Config,
    (mut filter, mut source): (Filter, Source),
    mut signals: Signals,
) -> anyhow::Result<()> {
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

async fn rebuild(order: Order, adopt: uuid::Uuid, mut signals: Signals) -> anyhow::Result<()> {
    let plan = dist::Rebuild {
        adopt,
        nodes: order.nodes,
        distributors: order.other_distributors,
    };
    tokio::select! {
        outcome = dist::rebuild(order.config, plan, |progress| say(progress)) => {
            outcome.map_err(|error| anyhow!("{error}"))
        }
        () = signals.stopped() => bail!(INTERRUPTED),
    }
}
