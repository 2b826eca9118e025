//! Programs of the system that the harness runs: each must succeed, or it says why not.

use std::fs::File;
use std::io::Write;
use std::process::Command;

use anyhow::{Context, bail};

/// Runs a program that must succeed.
///
/// # Errors
/// When it does not; the message has what it said.
pub fn run(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    ask(program, arguments).map(|_| ())
}

/// Runs a program that must succeed, and gives what it printed.
///
/// # Errors
/// When it does not; the message has what it said.
pub fn ask(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {}: {}", arguments.join(" "), said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Says what could not be tidied away; there is nobody to hand an error to while something is
/// dropped.
pub(crate) fn report(outcome: anyhow::Result<()>) {
    if let Err(error) = outcome {
        eprintln!("trials: {error:#}");
    }
}

/// Names the file to which a test that can test nothing adds a line, for `cargo xtask test` to tell: its
/// runner shows nothing of a test that passes.
const SKIPPED_FILE: &str = "SKIPPED_TESTS_FILE";

/// Says that a test cannot test what it is for on this machine.
pub fn skipped(test: &str, why: &str) {
    let line = format!("SKIPPED {test}: {}\n", why.replace('\n', " "));
    eprint!("{line}");
    if let Some(file) = std::env::var_os(SKIPPED_FILE) {
        let told = File::options().append(true).create(true).open(file);
        let written = told.and_then(|mut file| file.write_all(line.as_bytes()));
        report(written.context("cannot say that a test was skipped"));
    }
}
