//! `cargo xtask test`: everything that must hold before a change is done.
//!
//! Steps run one after the other, the quick ones first; the first that fails ends the run. Each is
//! named with what it took, and the last line counts the tests.

mod runner;
mod step;
mod tools;

use std::io::Write;
use std::time::Instant;

use step::Step;

use crate::{tidy, workspace};

/// Runs every step; true when all of them passed.
///
/// # Errors
/// When a program that must be there cannot be run.
pub(crate) fn run() -> anyhow::Result<bool> {
    let begun = Instant::now();
    let mut tally = runner::Tally::default();
    let passed = steps(&mut tally)?;
    let mut out = std::io::stdout().lock();
    let took = begun.elapsed().as_secs();
    writeln!(
        out,
        "\n{} in {} min {} s",
        if passed { "passed" } else { "FAILED" },
        took / 60,
        took % 60
    )?;
    writeln!(out, "{} passed, {} failed", tally.passed, tally.failed)?;
    Ok(passed)
}

fn steps(tally: &mut runner::Tally) -> anyhow::Result<bool> {
    let mut step = Step::new();
    let passed = step.run("format", || {
        step::command(workspace::cargo().args(["fmt", "--all", "--check"]))
    })? && step.run("tidy", || tidy::run(&workspace::root()))?
        && step.run("programs that tests use", tools::provide)?
        && step.run("lint", || {
            step::command(workspace::cargo().args([
                "clippy",
                "--workspace",
                "--all-targets",
                "--quiet",
                "--",
                "-D",
                "warnings",
            ]))
        })?
        && step.run("dependencies", tools::check_dependencies)?
        && step.run("tests", || runner::tests(tally))?
        && step.run("doc tests", || runner::doc_tests(tally))?;
    Ok(passed)
}
