//! HTTP/1.1 as the load speaks it: one light connection for each worker and service.

pub mod address;
pub mod chunked;
pub mod connection;
pub mod head;
