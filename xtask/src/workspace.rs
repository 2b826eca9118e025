//! Where the workspace is, and cargo as a child process of itself.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of the workspace's Cargo.toml.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// The folder that cargo builds into.
pub(crate) fn target() -> PathBuf {
    let set = env::var_os("CARGO_TARGET_DIR").filter(|set| !set.is_empty());
    root().join(set.unwrap_or_else(|| "target".into()))
}

/// Cargo, in the workspace's folder, as if it were called from a shell.
///
/// What `cargo run` tells its child is taken out again: build scripts (ring's, for one) watch
/// these variables, and everything above them would be built anew at every turn.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(told_by_cargo) {
            command.env_remove(&name);
        }
    }
    command
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

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, every second run of the tests builds the whole workspace anew.
    #[test]
    fn settings_stay_and_what_cargo_told_goes() {
        assert!(told_by_cargo("CARGO_MANIFEST_DIR") && told_by_cargo("CARGO_PKG_NAME"));
        for kept in [
            "CARGO_HOME",
            "CARGO_TARGET_DIR",
            "CARGO_TERM_COLOR",
            "RUSTFLAGS",
            "PATH",
        ] {
            assert!(!told_by_cargo(kept), "{kept} is a setting of the caller's");
        }
    }
}
