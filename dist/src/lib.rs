//! The distributor: answers "where?", and keeps the catalog of all content.

pub mod catalog;
pub mod coordinator;
