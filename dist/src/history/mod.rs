//! Statistics over time: taken from every node's answers, kept in the catalog.
//!
//! Every distributor takes samples and keeps those of the last minutes; only the controller writes them.
//! Whoever becomes the controller writes what its predecessor did not. This module must not know SQL or HTTP.

mod recorder;
mod sampler;
mod window;

pub(crate) use recorder::Recorder;
pub(crate) use window::{Asked, window};
