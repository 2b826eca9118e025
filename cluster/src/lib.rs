//! A whole cluster in one process: a distributor and its storage nodes.
//!
//! This is what `cargo run` starts, and what end-to-end tests and benchmarks use. It knows the
//! services only by their `start`, and talks to them over HTTP like everyone else.

mod ready;
mod running;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use service::program::cores;
use wire::limits::SESSION_DEFAULT;
use wire::{Copies, NodeName};

pub use ready::NotReady;
pub use running::{Running, start};

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder under which everything is kept; made if it is not there.
    pub data: PathBuf,
    /// The distributor's port, the nodes take those after it; 0 lets each take any free one.
    pub port: u16,
    /// How many storage nodes.
    pub nodes: u16,
    /// How many nodes keep each content; none for the default, but not more than there are nodes.
    pub copies: Option<Copies>,
    /// The catalog: `postgres://…` or `sqlite://…`; none for SQLite in the data folder.
    pub database_url: Option<String>,
    /// The most that each node may store, in bytes; none for what its disk holds.
    pub max_storage: Option<u64>,
    /// How long a node may be silent before it counts as dead.
    pub session: Duration,
    /// Where spans of requests are exported to; none makes none.
    pub traces: Option<telemetry::Settings>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            data: PathBuf::from("data"),
            port: 8000,
            nodes: 3,
            copies: None,
            database_url: None,
            max_storage: None,
            session: SESSION_DEFAULT,
            traces: None,
        }
    }
}

/// Why a cluster does not start; displays as one line.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be made or written.
    #[error("cannot use the data folder {}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The nodes' ports would lie beyond 65535.
    #[error("{nodes} nodes after port {port} need ports up to 65535 and more")]
    Ports {
        /// The distributor's.
        port: u16,
        /// How many nodes.
        nodes: u16,
    },
    /// The distributor does not start.
    #[error("dist: {0}")]
    Distributor(#[from] dist::StartError),
    /// A node does not start.
    #[error("{name}: {source}")]
    Node {
        /// Which one.
        name: NodeName,
        /// Why not.
        source: node::StartError,
    },
    /// The services run and do not find together.
    #[error(transparent)]
    NotReady(#[from] NotReady),
}

impl Options {
    /// The catalog's address: as given, or SQLite in the data folder.
    pub fn catalog(&self) -> String {
        match &self.database_url {
            Some(url) => url.clone(),
            None => format!("sqlite://{}", self.data.join("catalog.db").display()),
        }
    }

    /// How many nodes keep each content.
    pub fn copies(&self) -> Copies {
        self.copies
            .unwrap_or_else(|| Copies::default_on(self.nodes))
    }

    /// Threads that serve HTTP, for each service: one process shares its cores among them. With more
    /// threads than cores, each wakes for less, and a change more of threads costs more than it
    /// gives.
    fn workers(&self) -> usize {
        (cores() / (usize::from(self.nodes) + 1)).max(1)
    }

    /// The address of the service that is `offset` places after the distributor.
    fn address(&self, offset: u16) -> Result<SocketAddr, StartError> {
        let Options { port, nodes, .. } = *self;
        let port = match port {
            0 => 0,
            port => port
                .checked_add(offset)
                .ok_or(StartError::Ports { port, nodes })?,
        };
        Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    fn make_folder(&mut self) -> Result<(), StartError> {
        let made = std::fs::create_dir_all(&self.data)
            .and_then(|()| std::path::absolute(&self.data))
            .and_then(|path| is_writable(&path).map(|()| path));
        match made {
            Ok(path) => {
                self.data = path;
                Ok(())
            }
            Err(source) => Err(StartError::Folder {
                path: self.data.clone(),
                source,
            }),
        }
    }
}

/// Makes and removes a file: a folder's permissions do not tell what a read-only file system or a
/// full disk will say.
fn is_writable(folder: &Path) -> std::io::Result<()> {
    let probe = folder.join(".writable");
    std::fs::write(&probe, b"")?;
    std::fs::remove_file(&probe)
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, nodes are told to bind ports that do not exist, and the error is a riddle.
    #[test]
    fn ports_end_at_65535() {
        let options = Options {
            port: 65_533,
            nodes: 3,
            ..Options::default()
        };
        assert_eq!(options.address(2).map(|a| a.port()).ok(), Some(65_535));
        let error = options
            .address(3)
            .expect_err("65536 is no port")
            .to_string();
        assert_eq!(
            error,
            "3 nodes after port 65533 need ports up to 65535 and more"
        );
        let any = Options {
            port: 0,
            ..Options::default()
        };
        assert_eq!(any.address(9).map(|a| a.port()).ok(), Some(0));
    }

    // If this fails, a cluster of one node waits for a second one before it stores anything.
    #[test]
    fn copies_are_as_told_else_not_more_than_nodes() {
        let on = |nodes, copies| {
            let options = Options {
                nodes,
                copies,
                ..Options::default()
            };
            options.copies().get()
        };
        assert_eq!(on(1, None), 1);
        assert_eq!(on(3, None), Copies::default().get());
        assert_eq!(on(3, "3".parse().ok()), 3);
    }

    // If this fails, the default catalog depends on the folder that a user happens to be in.
    #[test]
    fn the_default_catalog_lies_in_the_data_folder() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut options = Options {
            data: folder.path().join("a/b"),
            ..Options::default()
        };
        options.make_folder().expect("makes the folder");
        assert_eq!(
            options.catalog(),
            format!("sqlite://{}/a/b/catalog.db", folder.path().display())
        );
        assert_eq!(
            std::fs::read_dir(folder.path().join("a/b"))
                .expect("reads")
                .count(),
            0
        );
    }

    // If this fails, an unwritable folder shows up as a database error much later.
    #[test]
    fn a_folder_that_is_a_file_is_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("file");
        std::fs::write(&path, b"").expect("writes a file");
        let mut options = Options {
            data: path.clone(),
            ..Options::default()
        };
        let error = options
            .make_folder()
            .expect_err("a file is no folder")
            .to_string();
        assert!(
            error.starts_with(&format!("cannot use the data folder {}", path.display())),
            "{error}"
        );
        assert_eq!(error.lines().count(), 1);
    }
}
