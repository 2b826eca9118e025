//! Where the services' binaries are.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

/// The folder that holds the binaries of one build.
#[derive(Clone, Debug)]
pub struct Binaries {
    folder: PathBuf,
}

impl Binaries {
    /// Those beside the running program, which `cargo xtask` has built just before.
    ///
    /// # Errors
    /// When the program does not know where it is.
    pub fn beside_this_program() -> anyhow::Result<Self> {
        let program = env::current_exe().context("where is this program?")?;
        let folder = program.parent().context("a program lies in a folder")?;
        // Tests lie one folder deeper than the binaries.
        let folder = if folder.ends_with("deps") {
            folder.parent().unwrap_or(folder)
        } else {
            folder
        };
        Ok(Binaries {
            folder: folder.to_path_buf(),
        })
    }

    /// Those beside the running test, built anew if their sources changed: a test of one crate
    /// builds no binaries of others.
    ///
    /// # Errors
    /// When they cannot be built.
    pub fn for_tests() -> anyhow::Result<Self> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("a workspace")?;
        let mut build = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        build.current_dir(workspace);
        // With what cargo tells a test, build scripts that watch it would run anew, and
        // everything above them. With `--tests`, features are those of a run of all tests.
        for (name, _) in env::vars_os().filter(|(name, _)| told_by_cargo(&name.to_string_lossy())) {
            build.env_remove(name);
        }
        build.args(["build", "--quiet", "--workspace", "--bins", "--tests"]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        ensure!(
            build.status().context("cannot run cargo")?.success(),
            "the services do not build"
        );
        Self::beside_this_program()
    }

    /// The path of one binary.
    ///
    /// # Errors
    /// When it is not there.
    pub fn path(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.folder.join(name);
        ensure!(
            path.is_file(),
            "{} is not there; build the workspace first",
            path.display()
        );
        Ok(path)
    }
}

fn told_by_cargo(name: &str) -> bool {
    const PREFIXES: [&str; 5] = [
        "CARGO_PKG_",
        "CARGO_MANIFEST_",
        "CARGO_BIN_",
        "CARGO_CRATE_",
        "CARGO_PRIMARY_",
    ];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}
