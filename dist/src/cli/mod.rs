//! What belongs to the program and not to the library: flags, environment, files, health checks.

mod args;
mod probe;
mod settings;

pub(crate) use args::{Task, read};
pub(crate) use probe::ask;
pub(crate) use settings::Settings;
