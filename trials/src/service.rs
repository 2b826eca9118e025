//! One service as a child process that can be killed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};
use wire::routes;

use crate::command;
use crate::run::owner;

/// How long a service may take to start, recovery included.
const START_TIME_MAX: Duration = Duration::from_secs(60);

/// How long a service that is killed may take to end.
const END_TIME_MAX: Duration = Duration::from_secs(5);

/// How often a starting service is asked.
const ASK_EVERY: Duration = Duration::from_millis(5);

/// How a service is started, as often as needed.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// For people.
    pub name: String,
    /// Its binary.
    pub program: PathBuf,
    /// Its environment, beside what this process has.
    pub environment: Vec<(String, String)>,
    /// Arguments.
    pub arguments: Vec<String>,
    /// The base URI that it will serve.
    pub url: String,
    /// Where it runs; a `nodes.yml` there counts.
    pub folder: PathBuf,
    /// Where its standard output and error are appended.
    pub log: PathBuf,
}

/// A service that runs. Dropped, it is killed, and has ended.
pub struct Service {
    recipe: Recipe,
    child: Child,
}

impl Service {
    /// Starts the process; it does not serve yet.
    ///
    /// # Errors
    /// When the program cannot be run or its log not be written.
    pub fn spawn(recipe: Recipe) -> anyhow::Result<Self> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(&recipe.log)?;
        let child = Command::new(&recipe.program)
            .args(&recipe.arguments)
            .current_dir(&recipe.folder)
            .envs(recipe.environment.iter().map(|(name, value)| (name, value)))
            .env(owner::VARIABLE, owner::named(owner::this_process()))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run {}", recipe.program.display()))?;
        Ok(Service { recipe, child })
    }

    /// How it was started.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Waits until the service says that it can serve.
    ///
    /// # Errors
    /// When it ends instead, or does not serve within a minute; with the end of its log.
    pub async fn ready(&mut self, client: &reqwest::Client) -> anyhow::Result<()> {
        let url = format!("{}{}", self.recipe.url, routes::HEALTH_READY);
        let deadline = Instant::now() + START_TIME_MAX;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "{} ended with {status}:\n{}",
                    self.recipe.name,
                    self.log_end()
                );
            }
            if client
                .get(&url)
                .send()
                .await
                .is_ok_and(|answer| answer.status().is_success())
            {
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!("{} does not serve:\n{}", self.recipe.name, self.log_end());
            }
            sleep(ASK_EVERY).await;
        }
    }

    /// Kills the process as a power failure of the process alone would: nothing is flushed.
    ///
    /// # Errors
    /// When the process cannot be waited for.
    pub async fn kill(mut self) -> anyhow::Result<Recipe> {
        self.child
            .kill()
            .await
            .with_context(|| format!("cannot kill {}", self.recipe.name))?;
        Ok(self.recipe.clone())
    }

    /// Lets the process stand still: it keeps its connections and answers nobody.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pause(&self) -> anyhow::Result<()> {
        let pid = self.pid().context("the process has ended")?;
        Ok(kill_process(pid, Signal::STOP)?)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When it does not run.
    pub fn resume(&self) -> anyhow::Result<()> {
        let pid = self.pid().context("the process has ended")?;
        Ok(kill_process(pid, Signal::CONT)?)
    }

    /// Asks the process to end, and waits for it.
    ///
    /// # Errors
    /// When it ends with anything but success.
    pub async fn stop(mut self) -> anyhow::Result<Recipe> {
        if let Some(pid) = self.pid() {
            kill_process(pid, Signal::TERM)?;
        }
        let status = self.child.wait().await?;
        if !status.success() {
            bail!(
                "{} ended with {status}:\n{}",
                self.recipe.name,
                self.log_end()
            );
        }
        Ok(self.recipe.clone())
    }

    fn end(&mut self) -> anyhow::Result<()> {
        if self.process_id().is_none() {
            return Ok(());
        }
        self.child.start_kill()?;
        let begun = std::time::Instant::now();
        while self.child.try_wait()?.is_none() {
            ensure!(
                begun.elapsed() < END_TIME_MAX,
                "{} does not end",
                self.recipe.name
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// A line of `/proc/PID/status` in bytes, like `VmRSS` (resident now) and `VmHWM` (its peak).
    ///
    /// # Errors
    /// When the process has ended.
    pub fn memory(&self, line: &str) -> anyhow::Result<u64> {
        let pid = self
            .pid()
            .context("the process has ended")?
            .as_raw_nonzero();
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = status
            .lines()
            .find_map(|l| l.strip_prefix(line)?.strip_prefix(':'));
        let field = field.with_context(|| format!("no {line} in /proc/{pid}/status"))?;
        let kibibytes: u64 = field.trim().trim_end_matches(" kB").parse()?;
        Ok(kibibytes * 1024)
    }

    /// The process's number, as long as it runs.
    pub fn process_id(&self) -> Option<u32> {
        self.child.id()
    }

    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.process_id()?).ok()?)
    }

    fn log_end(&self) -> String {
        log_end(&self.recipe.log)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        command::report(self.end());
    }
}

fn log_end(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_else(|error| error.to_string());
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a run removes its folder and unmounts its disks while services still write there.
    #[tokio::test]
    async fn a_dropped_service_has_ended() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let service = Service::spawn(Recipe {
            name: "sleep".to_owned(),
            program: "sleep".into(),
            environment: Vec::new(),
            arguments: vec!["60".to_owned()],
            url: String::new(),
            folder: folder.path().to_owned(),
            log: folder.path().join("sleep.log"),
        });
        let service = service.expect("runs");
        let pid = service.process_id().expect("runs");
        drop(service);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }
}
