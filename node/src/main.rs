//! The program `node`.

use std::io::{IsTerminal, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;
use node::Config;
use node::cli::{Environment, Flags, Task};
use tokio::signal::unix::{SignalKind, signal};

/// How long a health check waits for its answer.
const HEALTH_TIME_MAX: Duration = Duration::from_secs(2);

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let flags = Flags::parse();
    let variable = |name: &str| std::env::var(name).ok();
    let folder = std::env::current_dir().unwrap_or_default();
    let environment = Environment {
        variable: &variable,
        folder: &folder,
    };
    let config = match flags.config(&environment) {
        Ok(config) => config,
        Err(error) => return fail(&error, 2),
    };
    let result = match flags.command {
        Some(Task::Health) => ask_health(config.bind),
        None => {
            let filter = flags.log_filter(&environment);
            start_log(&filter).and_then(|()| run(config))
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("{error:#}"), 1),
    }
}

fn fail(error: &dyn std::fmt::Display, code: u8) -> ExitCode {
    // There is nobody left to tell when standard error is closed.
    match writeln!(std::io::stderr(), "node: {error}") {
        Ok(()) | Err(_) => ExitCode::from(code),
    }
}

fn start_log(filter: &str) -> Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(filter)
        .with_context(|| format!("LOG: `{filter}` is not a filter"))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    Ok(())
}

fn run(config: Config) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("cannot start")?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("cannot await signals")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot await signals")?;
        let running = node::start(config).await?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        running.stop().await;
        Ok(())
    })
}

/// Asks the node at `bind` whether it lives.
fn ask_health(bind: SocketAddr) -> Result<()> {
    let ip = if bind.ip().is_unspecified() {
        IpAddr::V4(Ipv4Addr::LOCALHOST)
    } else {
        bind.ip()
    };
    let address = SocketAddr::new(ip, bind.port());
    let mut stream = TcpStream::connect_timeout(&address, HEALTH_TIME_MAX)
        .with_context(|| format!("nobody listens on {address}"))?;
    stream.set_read_timeout(Some(HEALTH_TIME_MAX))?;
    stream.write_all(b"GET /health/live HTTP/1.0\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream
        .take(4096)
        .read_to_string(&mut answer)
        .context("the answer broke off")?;
    match answer.lines().next() {
        Some(line) if line.contains(" 200 ") => Ok(()),
        line => bail!("the node answers {:?}", line.unwrap_or_default()),
    }
}
