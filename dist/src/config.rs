//! What a distributor needs to start, already checked one by one; it knows no flags, files or
//! environment.

use std::net::SocketAddr;
use std::time::Duration;

use wire::NodeName;

/// How often nodes are asked for their statistics, unless told otherwise.
pub const POLL_DEFAULT: Duration = Duration::from_secs(1);

/// Everything that a distributor is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The distributor's name.
    pub name: NodeName,
    /// Where it listens; port 0 takes any free one.
    pub bind: SocketAddr,
    /// Base URI for clients; by default the bound address.
    pub public_url: Option<String>,
    /// `sqlite://path` or `postgres://…`.
    pub database_url: String,
    /// Who may do what.
    pub access: Access,
    /// How long a node may be silent before it counts as dead.
    pub session: Duration,
    /// How often nodes are asked for their statistics.
    pub poll: Duration,
    /// Threads that serve HTTP.
    pub workers: usize,
}

/// The keys, and what works without one.
#[derive(Clone, Default)]
pub struct Access {
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
impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access")
            .field("cluster_key", &self.cluster_key.is_some())
            .field("access_key", &self.access_key.is_some())
            .field("anonymous", &self.anonymous)
            .finish()
    }
}
