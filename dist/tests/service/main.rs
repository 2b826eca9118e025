//! The distributor from outside: real databases, real HTTP on free ports.

mod board;
mod catalog;
mod coordinator;
mod http;
mod membership;
mod model;
mod program;
mod support;
mod troubles;
mod zookeeper;
