//! The distributor from outside: real databases, real HTTP on free ports.

mod catalog;
mod coordinator;
mod fake_node;
mod http;
mod support;
