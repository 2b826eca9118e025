//! Traces, as a collector of them sees a whole cluster.

mod collector;
mod export;
mod program;
mod trouble;
