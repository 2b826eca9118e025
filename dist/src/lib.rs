//! The distributor: answers "where?", and keeps the catalog of all content.
//!
//! It holds no state of its own: what it knows is in the catalog, in the coordinator, or said
//! again by every node twice a second.

mod app;
pub mod catalog;
mod config;
mod console;
pub mod controller;
pub mod coordinator;
mod history;
mod http;
mod lister;
mod lookups;
mod members;
mod metrics;
mod peer;
mod placement;
mod rebuild;
mod setback;

pub use app::{Running, StartError, start};
pub use config::{Config, POLL_DEFAULT};
pub use placement::Excluded;
pub use rebuild::{Progress, Rebuild, RebuildError, rebuild};
pub use service::access::{Access, Anonymous};
