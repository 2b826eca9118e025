//! The distributor from outside: real databases, real HTTP on free ports.

mod catalog;
mod coordinator;
mod support;
