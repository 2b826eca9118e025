//! Where Java and ZooKeeper are.

use std::path::{Path, PathBuf};

use super::StartError;

/// ZooKeeper as Debian installs it; its manifest names the other archives that it needs.
const ZOOKEEPER: &str = "/usr/share/java/zookeeper.jar";

/// Writes the server's log to its standard error; comes with ZooKeeper.
const LOG: &str = "/usr/share/java/slf4j-simple.jar";

/// What is needed to run a server.
pub(crate) struct Installed {
    pub(crate) java: PathBuf,
    /// Archives, separated as Java wants them.
    pub(crate) archives: String,
}

impl Installed {
    /// Looks for `java` in PATH, and for ZooKeeper where Debian puts it.
    pub(crate) fn find() -> Result<Self, StartError> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let java = std::env::split_paths(&path)
            .map(|folder| folder.join("java"))
            .find(|java| java.is_file());
        let missing = |missing| StartError::NotInstalled { missing };
        if !Path::new(ZOOKEEPER).is_file() {
            return Err(missing(ZOOKEEPER));
        }
        Ok(Installed {
            java: java.ok_or(missing("java"))?,
            archives: format!("{ZOOKEEPER}:{LOG}"),
        })
    }
}
