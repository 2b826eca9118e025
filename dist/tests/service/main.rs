//! The distributor from outside: real databases, real HTTP on free ports.

mod board;
mod catalog;
mod console;
mod coordinator;
mod history;
mod http;
mod membership;
mod model;
mod orders;
mod program;
mod support;
mod troubles;
mod zookeeper;
