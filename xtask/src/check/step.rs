//! A named step of a longer run, and how long it took.

use std::io::Write;
use std::process::Command;
use std::time::Instant;

use anyhow::Context;

/// Counts and times the steps of one run.
pub(super) struct Step {
    number: u32,
}

impl Step {
    /// Before the first step.
    pub(super) fn new() -> Self {
        Step { number: 0 }
    }

    /// Announces a step, runs it, and says how it ended and how long it took.
    ///
    /// # Errors
    /// Those of the step, with its name.
    pub(super) fn run(
        &mut self,
        name: &str,
        work: impl FnOnce() -> anyhow::Result<bool>,
    ) -> anyhow::Result<bool> {
        self.number += 1;
        writeln!(std::io::stdout(), "\n== {}. {name}", self.number)?;
        let begun = Instant::now();
        let passed = work().with_context(|| format!("step `{name}`"))?;
        let outcome = if passed { "ok" } else { "FAILED" };
        writeln!(
            std::io::stdout(),
            "== {name}: {outcome}, {:.1} s",
            begun.elapsed().as_secs_f64()
        )?;
        Ok(passed)
    }
}

/// Runs a command with this process's own output; true when it succeeded.
///
/// # Errors
/// When it cannot be started.
pub(super) fn command(command: &mut Command) -> anyhow::Result<bool> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command
        .status()
        .with_context(|| format!("cannot run {program}"))?;
    Ok(status.success())
}
