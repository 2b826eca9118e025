//! Statistics over time: taken from every node's answers, kept in the catalog.
//!
//! Every distributor takes samples, so that whoever becomes the controller knows what was before;
//! only the controller writes them. This module must not know SQL or HTTP.

mod recorder;
mod sampler;
mod window;

pub(crate) use recorder::Recorder;
pub(crate) use window::{Asked, window};
