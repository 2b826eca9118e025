//! Requests that a program makes from the description of the services' interface, well-formed and not,
//! and what it says of the answers.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, ensure};
use clap::Args;

use crate::workspace;

/// What is installed: another version has other checks.
const RELEASE: &str = "schemathesis==4.32.5";

/// Nodes of the cluster, so that everything has two copies.
const NODES: u16 = 2;

/// How a cluster's greeting ends: it serves then.
const GREETING_END: &str = "Ctrl-C";

/// Leaves out what never comes to an end.
const ENDLESS: [&str; 2] = ["--exclude-path", "/link"];

/// How long it goes on.
#[derive(Args)]
pub(crate) struct Bounds {
    /// Cases for each operation and each phase
    #[arg(long, default_value_t = 15)]
    max_examples: u32,
    /// The longest for each of the two services
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Decides the cases [default: drawn, and printed]
    #[arg(long)]
    seed: Option<u64>,
}

/// A cluster that may be broken. Dropped, it is killed.
struct Cluster {
    child: Child,
    data: PathBuf,
    /// Held open: it may print more.
    out: BufReader<ChildStdout>,
}

/// Installs schemathesis below the target folder, starts a cluster, and has a distributor and a node
/// examined. True when nothing was found.
///
/// # Errors
/// When something cannot be installed or started.
pub(crate) fn run(bounds: &Bounds) -> anyhow::Result<bool> {
    let program = install(&workspace::target().join("schemathesis"))?;
    let built = workspace::cargo()
        .args(["build", "--quiet", "--package", "cluster"])
        .status()
        .context("cannot run cargo")?;
    ensure!(built.success(), "the cluster does not build");
    let port = free_row_of_ports()?;
    let _cluster = Cluster::start(port)?;
    let mut is_clean = true;
    // Only a node has routes that stream without an end.
    let services = [
        ("the distributor", port, &[][..]),
        ("a node", port + 1, &ENDLESS[..]),
    ];
    for (service, port, left_out) in services {
        writeln!(std::io::stdout(), "\n== {service}")?;
        let status = Command::new(&program)
            .current_dir(workspace::root())
            .args(arguments(bounds, port))
            .args(left_out)
            .status()
            .context("cannot run schemathesis")?;
        is_clean &= status.success();
    }
    Ok(is_clean)
}

fn arguments(bounds: &Bounds, port: u16) -> Vec<String> {
    let words = [
        "--config-file",
        ".config/schemathesis.toml",
        "run",
        "--request-timeout",
        "5",
        "--generation-database",
        "none",
    ];
    let mut arguments: Vec<String> = words.map(str::to_owned).into();
    let numbers = [
        ("--max-examples", u64::from(bounds.max_examples)),
        ("--max-time", u64::from(bounds.seconds)),
    ];
    let seed = bounds.seed.map(|seed| ("--seed", seed));
    for (name, number) in numbers.into_iter().chain(seed) {
        arguments.extend([name.to_owned(), number.to_string()]);
    }
    arguments.push(format!("http://127.0.0.1:{port}/openapi.json"));
    arguments
}

/// An environment of its own in `folder`; gives the program. What is there already is used.
fn install(folder: &Path) -> anyhow::Result<PathBuf> {
    let mark = folder.join("release");
    let program = folder.join("bin/st");
    if fs::read_to_string(&mark).is_ok_and(|release| release == RELEASE) {
        return Ok(program);
    }
    writeln!(std::io::stdout(), "installing {RELEASE}")?;
    let pip = folder.join("bin/pip");
    let make = ["-m", "venv", "--clear"];
    succeed(Command::new("python3").args(make).arg(folder))?;
    succeed(Command::new(pip).args(["install", "--quiet", RELEASE]))?;
    fs::write(mark, RELEASE)?;
    Ok(program)
}

fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status();
    let status = status.with_context(|| format!("cannot run {program}"))?;
    ensure!(status.success(), "{program} ended with {status}");
    Ok(())
}

/// The first of as many ports in a row as the cluster takes, which were free a moment ago.
fn free_row_of_ports() -> anyhow::Result<u16> {
    let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
    (18_300..32_000)
        .step_by(10)
        .find(|&first| (first..=first + NODES).all(is_free))
        .context("no free ports between 18300 and 32000")
}

impl Cluster {
    fn start(port: u16) -> anyhow::Result<Cluster> {
        let data = workspace::target().join(format!("schemathesis-{port}"));
        let mut child = Command::new(workspace::target().join("debug/cluster"))
            .arg("--data")
            .arg(&data)
            .args(["--port", &port.to_string(), "--nodes", &NODES.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run the cluster")?;
        let out = child.stdout.take().context("its output is piped")?;
        let mut cluster = Cluster {
            child,
            data,
            out: BufReader::new(out),
        };
        let mut line = String::new();
        while !line.starts_with(GREETING_END) {
            line.clear();
            let bytes = cluster.out.read_line(&mut line)?;
            ensure!(bytes > 0, "the cluster does not start");
        }
        Ok(cluster)
    }

    fn end(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(fs::remove_dir_all(&self.data)?)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("xtask: {error:#}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, the run has no end, or judges answers by other rules than are documented.
    #[test]
    fn a_run_is_bounded_and_judges_by_the_rules_of_the_house() {
        let bounds = Bounds {
            max_examples: 3,
            seconds: 9,
            seed: Some(7),
        };
        let arguments = arguments(&bounds, 18_301).join(" ");
        for words in [
            "--max-examples 3",
            "--max-time 9",
            "--request-timeout 5",
            "--seed 7",
        ] {
            assert!(arguments.contains(words), "{arguments}");
        }
        assert!(arguments.ends_with("http://127.0.0.1:18301/openapi.json"));
        let (_, rest) = arguments.split_once("--config-file ").expect("has rules");
        let file = rest.split(' ').next().expect("a file");
        assert!(workspace::root().join(file).is_file(), "{file}");
    }
}
