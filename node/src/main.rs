//! The program `node`.

use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use node::Config;
use node::cli::{DEFAULTS, Flags, Task};
use service::environment::Environment;
use service::program::{ended, misused};
use service::signals::StopSignals;
use service::{flags, health};

fn main() -> ExitCode {
    let flags: Flags = flags::read(&DEFAULTS);
    let (config, log) = match flags.settings(&Environment::of_process()) {
        Ok(settings) => settings,
        Err(error) => return misused("node", &error),
    };
    if let Some(Task::Health) = flags.command {
        return ended("node", health::ask(config.bind));
    }
    match log.start() {
        Ok(()) => ended("node", run(config)),
        Err(error) => misused("node", &error),
    }
}

fn run(config: Config) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("cannot start threads")?;
    runtime.block_on(async {
        let mut stop = StopSignals::listen().context("cannot listen to signals")?;
        let started = node::start(config).await;
        // Its message is a whole line already; its sources would say the same again.
        let running = started.map_err(|error| anyhow!("{error}"))?;
        stop.received().await;
        running.stop().await;
        Ok(())
    })
}
