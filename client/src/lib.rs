//! The client of Acequia: a library that talks to a cluster, and the command line made of it.
//!
//! [`api`] is the library: uploads, reads, updates and deletes over HTTP, each with its retries and
//! its hash check. [`local`] owns what touches files on this machine, [`ui`] everything that is
//! printed, [`bench`] a light HTTP connection and the load made with it, [`cli`] one file for each
//! subcommand. The arrows: `cli` uses all others; `api`, `local` and `ui` do not know each other.

pub mod api;
pub mod bench;
pub mod cli;
pub mod local;
pub mod ui;
