//! What is watched of a cluster: its metrics, the alerts and the dashboard made of them.

mod exposed;
mod files;
mod metrics;
mod names;
mod promtool;
mod rules;
