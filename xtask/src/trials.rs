//! Runs the crate `trials`: experiments on real processes.

use anyhow::Context;
use clap::Args;

use crate::workspace;

/// Arguments that the trial itself understands; `--help` lists them.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Forwarded {
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGUMENTS"
    )]
    rest: Vec<String>,
}

impl Forwarded {
    /// All of them, as they came.
    pub(crate) fn arguments(&self) -> &[String] {
        &self.rest
    }
}

/// Builds the services and the trials as a release, and runs one.
///
/// # Errors
/// When cargo cannot be run. A trial that fails is `Ok(false)`.
pub(crate) fn run(trial: &str, arguments: &Forwarded) -> anyhow::Result<bool> {
    let built = workspace::cargo()
        .args(["build", "--release", "--workspace", "--bins"])
        .status()
        .context("cannot run cargo")?;
    if !built.success() {
        return Ok(false);
    }
    let status = workspace::cargo()
        .args([
            "run",
            "--quiet",
            "--release",
            "--package",
            "trials",
            "--",
            trial,
        ])
        .args(arguments.arguments())
        .status()
        .context("cannot run cargo")?;
    Ok(status.success())
}
