//! What a node needs to start, already checked one by one; it knows no flags, files or environment.

use std::net::SocketAddr;
use std::path::PathBuf;

use service::access::Access;
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
    /// How fast mirrors that catch up are served, in bytes a second; none for no bound.
    pub catch_up_rate: Option<u64>,
    /// Base URIs of the distributors, tried in turn.
    pub distributors: Vec<String>,
    /// Who may do what.
    pub access: Access,
    /// Origins whose pages may use the data routes; `*` means all.
    pub cors_origins: Vec<String>,
    /// Threads that serve HTTP.
    pub workers: usize,
    /// Where spans of requests are exported to; none makes none.
    pub traces: Option<telemetry::Settings>,
}
