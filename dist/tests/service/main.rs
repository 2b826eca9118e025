//! The distributor from outside: real databases, real HTTP on free ports.

mod catalog;
mod chaos_proxy;
mod coordinator;
mod crash;
mod fake_node;
mod http;
mod model;
mod outage;
mod program;
mod rebuild;
mod several;
mod support;
