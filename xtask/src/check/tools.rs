//! Programs that the tests use and that cargo does not bring: PostgreSQL, ZooKeeper, a browser,
//! download tools, promtool, and what makes disks fail.

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
    /// The package would start a service of the machine's: it is unpacked below the target folder,
    /// where the tests look too, and not installed.
    unpacked: bool,
}

impl Tool {
    const fn installed(program: &'static str, package: &'static str) -> Self {
        Tool {
            program,
            package,
            unpacked: false,
        }
    }

    const fn unpacked(program: &'static str, package: &'static str) -> Self {
        Tool {
            program,
            package,
            unpacked: true,
        }
    }
}

const TOOLS: [Tool; 11] = [
    Tool::installed("postgres", "postgresql"),
    Tool::installed("java", "default-jre-headless"),
    Tool::installed("zookeeper.jar", "zookeeper"),
    Tool::installed("chromium", "chromium"),
    Tool::installed("chromedriver", "chromium-driver"),
    Tool::installed("curl", "curl"),
    Tool::installed("wget", "wget"),
    Tool::installed("aria2c", "aria2"),
    Tool::installed("strace", "strace"),
    Tool::installed("python3", "python3"),
    Tool::unpacked("promtool", "prometheus"),
];

/// Sees that every program is there; installs what is missing where that can be done (apt-get, as
/// root), and otherwise says what to install.
///
/// # Errors
/// When apt-get is there and cannot be run.
pub(super) fn provide() -> anyhow::Result<bool> {
    let mut missing = missing_tools();
    if !missing.is_empty() && may_install() {
        let (unpacked, installed): (Vec<&Tool>, Vec<&Tool>) =
            missing.into_iter().partition(|tool| tool.unpacked);
        let packages: Vec<&str> = installed.iter().map(|tool| tool.package).collect();
        if !packages.is_empty() {
            writeln!(std::io::stdout(), "installing {}", packages.join(", "))?;
            install(&packages)?;
        }
        for tool in unpacked {
            writeln!(std::io::stdout(), "unpacking {}", tool.package)?;
            unpack(tool.package)?;
        }
        missing = missing_tools();
    }
    let mut out = std::io::stdout().lock();
    for tool in TOOLS {
        if let Some(path) = find(tool.program) {
            writeln!(out, "{:<13} {}", tool.program, path.display())?;
        }
    }
    for tool in &missing {
        let Tool {
            program, package, ..
        } = tool;
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
    static ALL: &[Tool] = &TOOLS;
    ALL.iter()
        .filter(|tool| find(tool.program).is_none())
        .collect()
}

/// Where Debian keeps what runs in a Java machine.
const JAVA_FOLDER: &str = "/usr/share/java";

/// Where packages are unpacked that are not installed.
fn unpacked_folder() -> PathBuf {
    workspace::target().join("programs")
}

/// Where a program is: in PATH, or, for PostgreSQL's and Java's, where Debian keeps them, or where it
/// was unpacked.
fn find(program: &str) -> Option<PathBuf> {
    let in_path = env::var_os("PATH").map(|path| env::split_paths(&path).collect::<Vec<_>>());
    let debian = postgres_folders(Path::new("/usr/lib/postgresql"));
    let java = PathBuf::from(JAVA_FOLDER);
    let folders = in_path
        .unwrap_or_default()
        .into_iter()
        .chain(debian)
        .chain([java, unpacked_folder().join("usr/bin")]);
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
    let install = [&["install", "-y", "--no-install-recommends"], packages].concat();
    apt(&install, &workspace::root())
}

/// Fetches a package and unpacks it; nothing of it is run.
fn unpack(package: &str) -> anyhow::Result<bool> {
    let folder = unpacked_folder();
    fs::create_dir_all(&folder)?;
    if !apt(&["-q", "download", package], &folder)? {
        return Ok(false);
    }
    let script = "dpkg -x \"$1\"_*.deb . && rm \"$1\"_*.deb";
    let mut command = Command::new("sh");
    command
        .args(["-c", script, "sh", package])
        .current_dir(folder);
    step::command(&mut command)
}

/// A machine's package lists may be too old to fetch from, or absent: refreshed on need only.
fn apt(arguments: &[&str], folder: &Path) -> anyhow::Result<bool> {
    let run = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .args(arguments)
            .current_dir(folder)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdout(Stdio::null());
        step::command(&mut command)
    };
    Ok(run(arguments)? || (run(&["update"])? && run(arguments)?))
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

    // If this fails, a test run starts a monitoring server on the machine.
    #[test]
    fn what_would_start_a_service_is_only_unpacked() {
        let promtool = TOOLS.iter().find(|tool| tool.program == "promtool");
        assert!(promtool.is_some_and(|tool| tool.unpacked));
        assert!(unpacked_folder().starts_with(workspace::target()));
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
