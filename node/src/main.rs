//! The program `node`.

use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use node::cli::{DEFAULTS, Flags, Task};
use node::{Config, Running};
use service::current::{Reloaded, tell};
use service::environment::Environment;
use service::given::SettingError;
use service::log::Filter;
use service::program::Program;
use service::signals::{Signals, Told};
use service::{flags, health};

fn main() -> ExitCode {
    let source = Source {
        flags: flags::read(&DEFAULTS),
        environment: Environment::of_process(),
    };
    let program = source.flags.program(&source.environment);
    if let Some(Task::Health) = source.flags.command {
        return match source.flags.settings(&source.environment) {
            Ok((config, _)) => program.ended(health::ask(config.bind)),
            Err(error) => program.misused(&error),
        };
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("cannot start threads");
    match runtime.and_then(|runtime| runtime.block_on(run(source, program))) {
        Ok(code) => code,
        Err(error) => program.ended(Err(error)),
    }
}

/// Listens to signals before all that takes time: reading settings may look names up.
async fn run(mut source: Source, program: Program) -> Result<ExitCode> {
    let mut signals = Signals::listen().context("cannot listen to signals")?;
    let read = move || {
        let read = source.flags.settings(&source.environment)?;
        source.environment.keep_nodes_file();
        Ok::<_, SettingError>((read, source))
    };
    let read = signals.unless_stopped(read).await;
    let ((config, log), source) = match read.context("cannot read the settings")? {
        Some(Ok(read)) => read,
        Some(Err(error)) => return Ok(program.misused(&error)),
        None => return Ok(ExitCode::SUCCESS),
    };
    match log.start() {
        Ok(filter) => serve(config, (filter, source), signals).await?,
        Err(error) => return Ok(program.misused(&error)),
    }
    Ok(ExitCode::SUCCESS)
}

async fn serve(
    config: Config,
    (mut filter, mut source): (Filter, Source),
    mut signals: Signals,
) -> Result<()> {
    let started = node::start(config).await;
    // Its message is a whole line already; its sources would say the same again.
    let mut running = started.map_err(|error| anyhow!("{error}"))?;
    while signals.next().await == Told::Reload {
        tell(&source.reload(&mut filter, &mut running));
    }
    running.stop().await;
    Ok(())
}

/// Where the settings are from.
struct Source {
    flags: Flags,
    environment: Environment,
}

impl Source {
    /// Reads the settings again; nothing is taken over of those that cannot be used.
    fn reload(
        &mut self,
        filter: &mut Filter,
        running: &mut Running,
    ) -> Result<Reloaded, SettingError> {
        let (config, log) = self.flags.settings(&self.environment)?;
        let is_other = filter.replace(&log)?;
        self.environment.keep_nodes_file();
        let mut done = running.reload(config);
        if is_other {
            done.taken.push("log");
        }
        Ok(done)
    }
}
