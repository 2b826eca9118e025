//! A storage node of Acequia: it keeps contents in shards' logs on its own disk, serves them over
//! HTTP, obeys the shard records of its cluster, and has what it commits listed.
//!
//! [`start`] runs a node inside any process that has a tokio runtime; the program `node` is
//! [`cli`] around it.

mod app;
pub mod cli;
mod clock;
pub mod config;
pub mod driver;
mod gauges;
mod http;
pub mod links;
pub mod lister;
pub mod membership;
mod metrics;
mod node;
mod others;
pub mod repair;
mod routing;
pub mod scrub;

pub use app::{Running, StartError, start};
pub use config::Config;
pub use service::access::{Access, Access as AccessConfig, Anonymous};

use service::access;
