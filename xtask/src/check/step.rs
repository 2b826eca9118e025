//! The named steps of a longer run, and how long each took.

use std::fmt;
use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;

/// What became of each step so far.
pub(super) struct Steps<W> {
    out: W,
    done: Vec<Done>,
}

struct Done {
    name: &'static str,
    passed: bool,
    took: Duration,
}

impl<W: Write> Steps<W> {
    /// Before the first step; announcements go to `out`.
    pub(super) fn new(out: W) -> Self {
        Steps {
            out,
            done: Vec::new(),
        }
    }

    /// Announces a step, runs it, and notes how it ended and how long it took.
    ///
    /// # Errors
    /// Those of the step, with its name.
    pub(super) fn run(
        &mut self,
        name: &'static str,
        work: impl FnOnce() -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        writeln!(self.out, "\n== {}. {name}", self.done.len() + 1)?;
        let begun = Instant::now();
        let passed = work().with_context(|| format!("step `{name}`"))?;
        self.done.push(Done {
            name,
            passed,
            took: begun.elapsed(),
        });
        Ok(())
    }

    /// Whether every step passed.
    pub(super) fn passed(&self) -> bool {
        self.done.iter().all(|done| done.passed)
    }
}

impl<W: Write> fmt::Display for Steps<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Done { name, passed, took } in &self.done {
            let outcome = if *passed { "ok" } else { "FAILED" };
            writeln!(f, "{name:<24} {outcome:<7} {:>7.1} s", took.as_secs_f64())?;
        }
        let took: Duration = self.done.iter().map(|done| done.took).sum();
        let outcome = if self.passed() { "ok" } else { "FAILED" };
        write!(
            f,
            "{:<24} {outcome:<7} {:>7.1} s",
            "all",
            took.as_secs_f64()
        )
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

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a run in which something failed counts as passed, or stops half-way.
    #[test]
    fn one_failure_fails_the_run_and_the_rest_still_runs() {
        let mut steps = Steps::new(Vec::new());
        let mut ran = 0;
        for outcome in [true, false, true] {
            steps
                .run("a step", || {
                    ran += 1;
                    Ok(outcome)
                })
                .expect("the step itself works");
        }
        assert_eq!(ran, 3);
        assert!(!steps.passed());
        let announced = String::from_utf8_lossy(&steps.out).into_owned();
        assert!(announced.contains("== 3. a step"), "{announced}");
        let text = steps.to_string();
        assert_eq!(text.matches("FAILED").count(), 2, "{text}");
        assert_eq!(text.lines().count(), 4, "{text}");
    }

    // If this fails, a failed check is taken for a passed one.
    #[test]
    fn a_command_passes_by_its_exit_code() {
        assert!(command(&mut Command::new("true")).expect("runs"));
        assert!(!command(&mut Command::new("false")).expect("runs"));
        assert!(command(&mut Command::new("/no/such/program")).is_err());
    }
}
