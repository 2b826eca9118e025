//! `cargo xtask test`: everything that must hold before a change is done.
//!
//! Steps run one after the other, the quick ones first, and all of them run, whatever fails: one
//! run shows everything that is wrong. Each is named with what it took, and the last line counts
//! the tests.

mod runner;
mod step;
mod tools;

use std::io::Write;

use step::Steps;

use crate::{tidy, workspace};

/// Runs every step; true when all of them passed.
///
/// # Errors
/// When a program that must be there cannot be run.
pub(crate) fn run() -> anyhow::Result<bool> {
    let mut tally = runner::Tally::default();
    let mut steps = Steps::new(std::io::stdout());
    steps.run("format", || {
        step::command(workspace::cargo().args(["fmt", "--all", "--check"]))
    })?;
    steps.run("tidy", || tidy::run(&workspace::root()))?;
    steps.run("programs that tests use", tools::provide)?;
    steps.run("dependencies", tools::check_dependencies)?;
    steps.run("lint", lint)?;
    steps.run("tests", || runner::tests(&mut tally))?;
    steps.run("doc tests", || runner::doc_tests(&mut tally))?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{steps}")?;
    writeln!(out, "{tally}")?;
    Ok(steps.passed())
}

fn lint() -> anyhow::Result<bool> {
    let what = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ];
    step::command(workspace::cargo().args(what))
}
