//! The description of a service's HTTP interface: OpenAPI 3.1, made from a table of its operations
//! and the bodies and error codes of `wire`, and a page that shows it to people.

mod answer;
mod body;
mod document;
pub mod examples;
mod operation;
pub mod page;
mod parameter;

pub use answer::Header;
pub use body::Body;
pub use document::{Document, Schemas, schema_of};
pub use operation::{Access, Operation};
pub use parameter::{Parameter, flag, id, label, number, text};
