//! Traces: a service's part of each, exported to a collector by OTLP over HTTP, as OpenTelemetry
//! has it.
//!
//! It owns the settings of that, what a span tells of a request, the queue in front of the
//! collector, and the calls to it. It must not know what a request is for, nor the library that
//! serves it.

mod account;
mod collector;
mod queue;
mod request;
mod settings;
mod traces;

pub use request::{Request, Span};
pub use settings::Settings;
pub use traces::{FLUSH_TIME_MAX, StartError, Traces};
