//! What a distributor needs to start, already checked one by one; it knows no flags, files or
//! environment.

use std::net::SocketAddr;
use std::time::Duration;

use service::access::Access;
use wire::{Copies, NodeName};

use crate::coordinator::ZooKeeperAddress;

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
    /// Where shard records are agreed and the controller is elected; by default in the catalog's
    /// database.
    pub coordinator: Option<ZooKeeperAddress>,
    /// How many replicas each shard shall have.
    pub copies: Copies,
    /// Who may do what.
    pub access: Access,
    /// How long a node may be silent before it counts as dead.
    pub session: Duration,
    /// How often nodes are asked for their statistics.
    pub poll: Duration,
    /// Threads that serve HTTP.
    pub workers: usize,
    /// Where spans of requests are exported to; none makes none.
    pub traces: Option<telemetry::Settings>,
}

impl Config {
    /// What clients are told, of a distributor that is bound to `url`; without a slash at its end.
    pub(crate) fn told(&self, url: &str) -> String {
        let told = self.public_url.as_deref().unwrap_or(url);
        told.trim_end_matches('/').to_owned()
    }
}
