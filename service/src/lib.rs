//! What every service does the same way at its start and at its door: settings, keys, the address
//! that it listens on and how it leaves it, its log, the signals that it listens to, the settings that may change while it
//! runs, the health check beside it, its measures, the description of its interface.
//!
//! It knows the vocabulary of `wire`, and neither the distributor, nor the node, nor any HTTP
//! library.

pub mod access;
pub mod address;
pub mod current;
pub mod environment;
pub mod flags;
pub mod given;
pub mod health;
pub mod log;
pub mod measures;
pub mod openapi;
pub mod program;
pub mod settings;
pub mod signals;
