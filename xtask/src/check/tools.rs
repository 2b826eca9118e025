//! Programs that the tests use and that cargo does not bring: PostgreSQL, ZooKeeper, a browser and
//! download tools.

use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::step;
use crate::workspace;

/// A program, and the Debian package that holds it.
struct Tool {
    program: &'static str,
    package: &'static str,
}

const TOOLS: [Tool; 8] = [
    Tool {
        program: "postgres",
        package: "postgresql",
    },
    Tool {
        program: "java",
        package: "default-jre-headless",
    },
    Tool {
        program: "zookeeper.jar",
        package: "zookeeper",
    },
    Tool {
        program: "chromium",
        package: "chromium",
    },
    Tool {
        program: "chromedriver",
        package: "chromium-driver",
    },
    Tool {
        program: "curl",
        package: "curl",
    },
    Tool {
        program: "wget",
        package: "wget",
    },
    Tool {
        program: "aria2c",
        package: "aria2",
    },
];

/// Sees that every program is there; installs what is missing where that can be done (apt-get, as
/// root), and otherwise says what to install.
///
/// # Errors
/// When apt-get is there and cannot be run.
pub(super) fn provide() -> anyhow::Result<bool> {
    let mut missing = missing_tools();
    if !missing.is_empty() && may_install() {
        let packages: Vec<&str> = missing.iter().map(|tool| tool.package).collect();
        writeln!(std::io::stdout(), "installing {}", packages.join(", "))?;
        install(&packages)?;
        missing = missing_tools();
    }
    let mut out = std::io::stdout().lock();
    for tool in TOOLS {
        if let Some(path) = find(tool.program) {
            writeln!(out, "{:<13} {}", tool.program, path.display())?;
        }
    }
    for tool in &missing {
        let Tool { program, package } = tool;
        writeln!(
            out,
            "{program:<13} missing: install the package `{package}` (Debian's name)"
        )?;
    }
    Ok(missing.is_empty())
}

/// Checks licenses and sources of all dependencies with cargo-deny, where that is installed.
///
/// # Errors
/// When cargo-deny is there and cannot be run.
pub(super) fn check_dependencies() -> anyhow::Result<bool> {
    if find("cargo-deny").is_none() {
        writeln!(std::io::stdout(), "cargo-deny is not installed: left out")?;
        return Ok(true);
    }
    step::command(workspace::cargo().args(["deny", "check", "bans", "licenses", "sources"]))
}

fn missing_tools() -> Vec<&'static Tool> {
    static ALL: [Tool; 8] = TOOLS;
    ALL.iter()
        .filter(|tool| find(tool.program).is_none())
        .collect()
}

/// Where Debian keeps what runs in a Java machine.
const JAVA_FOLDER: &str = "/usr/share/java";

/// Where a program is: in PATH, or, for PostgreSQL's and Java's, where Debian keeps them.
fn find(program: &str) -> Option<PathBuf> {
    let in_path = env::var_os("PATH").map(|path| env::split_paths(&path).collect::<Vec<_>>());
    let debian = postgres_folders(Path::new("/usr/lib/postgresql"));
    let java = PathBuf::from(JAVA_FOLDER);
    let folders = in_path
        .unwrap_or_default()
        .into_iter()
        .chain(debian)
        .chain([java]);
    folders
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

fn postgres_folders(versions: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(versions) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .collect()
}

fn may_install() -> bool {
    let is_root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim() == "0");
    is_root && find("apt-get").is_some()
}

fn install(packages: &[&str]) -> anyhow::Result<bool> {
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdout(Stdio::null());
        step::command(&mut command)
    };
    let install = [&["install", "-y", "--no-install-recommends"], packages].concat();
    // A machine's package lists may be too old to install from, or absent: refreshed on need only.
    Ok(apt(&install)? || (apt(&["update"])? && apt(&install)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, tests are said to miss a program that is there, or the other way round.
    #[test]
    fn programs_are_found_where_they_are() {
        assert!(find("sh").is_some());
        assert!(find("no-such-program-as-this").is_none());
    }

    // If this fails, Debian's PostgreSQL, which is not in PATH, counts as missing.
    #[test]
    fn every_version_of_postgres_is_looked_at() {
        let versions = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir_all(versions.path().join("15/bin")).expect("makes folders");
        assert_eq!(
            postgres_folders(versions.path()),
            [versions.path().join("15/bin")]
        );
        assert!(postgres_folders(&versions.path().join("none")).is_empty());
    }
}
