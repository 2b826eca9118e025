//! The pictures of the web console in the documents.

use anyhow::Context;

use crate::workspace;

/// Where they are.
const FOLDER: &str = "docs/pictures";

/// Takes them anew.
///
/// # Errors
/// When cargo cannot be run. What fails there is `Ok(false)`.
pub(crate) fn take() -> anyhow::Result<bool> {
    let status = workspace::cargo()
        .args(["run", "--quiet", "--package", "cluster"])
        .args(["--example", "console_pictures", "--"])
        .arg(workspace::root().join(FOLDER))
        .status()
        .context("cannot run cargo")?;
    Ok(status.success())
}
