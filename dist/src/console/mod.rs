//! The pages of the web console: pure, from the bodies of the JSON API to HTML.
//!
//! It must not know HTTP, SQL or the clock. Everything that is shown is escaped by the templates;
//! no page has a script or a style of its own, so that the content security policy can forbid both.

pub(crate) mod chart;
pub(crate) mod content;
pub(crate) mod contents;
pub(crate) mod figures;
pub(crate) mod forms;
pub(crate) mod layout;
pub(crate) mod operations;
pub(crate) mod overview;
pub(crate) mod shards;
pub(crate) mod trouble;
pub(crate) mod verdict;

#[cfg(test)]
mod tests;
