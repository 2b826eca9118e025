//! Experiments on real processes: what happens when they are killed, and how fast they are.
//!
//! Everything here goes through the services' binaries and their HTTP interface; nothing looks
//! into the services. It is a crate of its own so that `xtask` stays small.

pub mod bench;
pub mod binaries;
pub mod command;
pub mod disks;
pub mod failing;
pub mod fleet;
pub mod http;
pub mod load;
pub mod network;
pub mod passage;
pub mod run;
pub mod servers;
pub mod service;
pub mod torture;
