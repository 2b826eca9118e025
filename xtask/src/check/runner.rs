//! Runs the tests, shows their output as it comes, and counts them.

use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use anyhow::Context;

use crate::workspace;

/// How many tests passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Tests that passed.
    pub(super) passed: u64,
    /// Tests that failed, timed out or could not be run.
    pub(super) failed: u64,
    /// Of those that passed, how many tested nothing: the machine lacks what they need.
    pub(super) skipped: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let passed = self.passed.saturating_sub(self.skipped);
        write!(f, "{passed} passed, {} failed", self.failed)?;
        match self.skipped {
            0 => Ok(()),
            skipped => write!(f, ", {skipped} skipped"),
        }
    }
}

/// Names the file to which a test that can test nothing here adds a line; its runner shows nothing of a
/// test that passes. The crate `trials` has the same name.
const SKIPPED_FILE: &str = "SKIPPED_TESTS_FILE";

/// Runs all tests: with cargo-nextest where it is installed, else with cargo's own runner.
///
/// # Errors
/// When cargo cannot be run.
pub(super) fn tests(tally: &mut Tally) -> anyhow::Result<bool> {
    let nextest = workspace::cargo()
        .args(["nextest", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    let mut command = workspace::cargo();
    if nextest {
        command.args(["nextest", "run", "--workspace", "--no-fail-fast"]);
    } else {
        command.args([
            "test",
            "--workspace",
            "--lib",
            "--bins",
            "--tests",
            "--no-fail-fast",
        ]);
    }
    let file = workspace::target().join("skipped-tests");
    fs::create_dir_all(workspace::target())?;
    fs::write(&file, "").context("cannot write into the target folder")?;
    command.env(SKIPPED_FILE, &file);
    let passed = counted(&mut command, tally, &mut std::io::stdout())?;
    let skipped = fs::read_to_string(&file).context("where are the skipped tests?")?;
    tally.skipped += skipped.lines().count() as u64;
    std::io::stdout().write_all(skipped.as_bytes())?;
    Ok(passed)
}

/// Runs the examples in documentation comments.
///
/// # Errors
/// When cargo cannot be run.
pub(super) fn doc_tests(tally: &mut Tally) -> anyhow::Result<bool> {
    let mut command = workspace::cargo();
    command.args(["test", "--workspace", "--doc", "--quiet"]);
    counted(&mut command, tally, &mut std::io::stdout())
}

/// Runs a command, hands its output on, and counts its summary lines. Standard error is merged into standard output,
/// because one runner reports there and the other here.
fn counted(command: &mut Command, tally: &mut Tally, out: &mut dyn Write) -> anyhow::Result<bool> {
    let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
    command.stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn().context("cannot run cargo")?;
    // The command holds the pipe's other end: as long as it lives, reading would never end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    for line in BufReader::new(reader).split(b'\n') {
        let line = line.context("cannot read the output of the tests")?;
        out.write_all(&line)?;
        out.write_all(b"\n")?;
        if let Some(found) = summary(&String::from_utf8_lossy(&line)) {
            tally.passed += found.passed;
            tally.failed += found.failed;
        }
    }
    Ok(child.wait()?.success())
}

/// Reads a runner's closing line: `Summary [ 1.2s] 3 tests run: 2 passed (1 slow), 1 failed, …` of
/// nextest, or `test result: ok. 3 passed; 0 failed; …` of cargo.
fn summary(line: &str) -> Option<Tally> {
    // Indented, it is what a failed test printed, which nextest shows again.
    let by_cargo = line.strip_prefix("test result: ");
    let by_nextest = || {
        Some(
            line.trim_start()
                .strip_prefix("Summary")?
                .split_once("run: ")?
                .1,
        )
    };
    let counts = by_cargo.or_else(by_nextest)?;
    let mut tally = Tally::default();
    let mut before = None;
    for word in counts
        .split([' ', ',', ';', '(', ')'])
        .filter(|word| !word.is_empty())
    {
        let number = before
            .replace(word)
            .and_then(|word| word.parse::<u64>().ok());
        match (number, word) {
            (Some(number), "passed") => tally.passed += number,
            (Some(number), "failed" | "timed") => tally.failed += number,
            _ => {}
        }
    }
    Some(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(passed: u64, failed: u64) -> Tally {
        Tally {
            passed,
            failed,
            skipped: 0,
        }
    }

    // If this fails, a test that tests nothing on this machine counts like one that does.
    #[test]
    fn what_was_skipped_is_told() {
        let mut of = tally(7, 1);
        assert_eq!(of.to_string(), "7 passed, 1 failed");
        of.skipped = 2;
        assert_eq!(of.to_string(), "5 passed, 1 failed, 2 skipped");
    }

    // If this fails, a run with failures can look like one without.
    #[test]
    fn both_runners_are_understood() {
        let cases = [
            (
                "     Summary [   1.2s] 9 tests run: 6 passed (1 slow), 2 failed, 1 timed out, 3 skipped",
                (6, 3),
            ),
            (
                "     Summary [   0.0s] 4 tests run: 4 passed, 0 skipped",
                (4, 0),
            ),
            (
                "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
                (12, 0),
            ),
            ("test result: FAILED. 1 passed; 2 failed; 0 ignored", (1, 2)),
        ];
        for (line, (passed, failed)) in cases {
            assert_eq!(summary(line), Some(tally(passed, failed)), "{line}");
        }
        assert_eq!(summary("        PASS [   0.1s] node 3 passed"), None);
        assert_eq!(summary("    test result: FAILED. 0 passed; 1 failed"), None);
    }

    fn shell(script: &str, tally: &mut Tally) -> anyhow::Result<bool> {
        let mut shown = Vec::new();
        let passed = counted(Command::new("sh").args(["-c", script]), tally, &mut shown);
        let count = script.matches("echo").count();
        assert!(
            shown.split(|&byte| byte == b'\n').count() > count,
            "output is handed on"
        );
        passed
    }

    // If this fails, tests of the second half of a run are not counted, or a crash passes.
    #[test]
    fn every_summary_counts_and_the_exit_code_decides() {
        let mut tally = Tally::default();
        let script = "echo 'test result: ok. 3 passed; 0 failed; 0 ignored'; \
                      echo '     Summary [ 0.1s] 2 tests run: 1 passed, 1 failed, 0 skipped' >&2";
        assert!(shell(script, &mut tally).expect("runs"));
        assert_eq!(
            tally,
            Tally {
                passed: 4,
                failed: 1,
                skipped: 0
            }
        );
        assert!(!shell("exit 3", &mut tally).expect("runs"));
        assert_eq!(
            tally,
            Tally {
                passed: 4,
                failed: 1,
                skipped: 0
            }
        );
    }

    // If this fails, a program whose output is not UTF-8 ends the run in the middle.
    #[test]
    fn any_bytes_may_be_printed() {
        let mut tally = Tally::default();
        let script = "printf '\\377\\376\\n'; echo 'test result: ok. 1 passed; 0 failed'";
        assert!(shell(script, &mut tally).expect("runs"));
        assert_eq!(tally.passed, 1);
    }
}
