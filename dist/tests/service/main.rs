//! The distributor from outside: real databases, real HTTP on free ports.

mod board;
mod catalog;
mod coordinator;
mod crash;
mod http;
mod membership;
mod model;
mod outage;
mod program;
mod rebuild;
mod recovery;
mod support;
mod zookeeper;
mod zookeeper_outage;
