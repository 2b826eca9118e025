//! What a node needs to start, already checked one by one; it knows no flags, files or environment.

use std::net::SocketAddr;
use std::path::PathBuf;

use wire::NodeName;

/// Everything that a node is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node's name; its data directory remembers it.
    pub name: NodeName,
    /// Where it listens; port 0 takes any free one.
    pub bind: SocketAddr,
    /// Base URI for other services; by default the bound address.
    pub internal_url: Option<String>,
    /// Base URI for clients; by default the bound address.
    pub public_url: Option<String>,
    /// Where its shards live; made if it is not there.
    pub data_dir: PathBuf,
    /// The most that it may store, in bytes; none means as much as the disk can hold.
    pub max_storage: Option<u64>,
    /// Base URIs of the distributors, tried in turn.
    pub distributors: Vec<String>,
    /// Who may do what.
    pub access: AccessConfig,
    /// Origins whose pages may use the data routes; `*` means all.
    pub cors_origins: Vec<String>,
    /// Threads that serve HTTP.
    pub workers: usize,
}

/// The keys, and what works without one.
#[derive(Clone, Default)]
pub struct AccessConfig {
    /// Guards every call between services.
    pub cluster_key: Option<String>,
    /// Guards the routes of clients.
    pub access_key: Option<String>,
    /// What works without a key.
    pub anonymous: Anonymous,
}

/// What clients may do without a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anonymous {
    /// Nothing.
    #[default]
    None,
    /// Read.
    Read,
    /// Read and change.
    Write,
}

// Keys stay out of logs, whatever is printed.
impl std::fmt::Debug for AccessConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessConfig")
            .field("cluster_key", &self.cluster_key.is_some())
            .field("access_key", &self.access_key.is_some())
            .field("anonymous", &self.anonymous)
            .finish()
    }
}
