//! The log of a process: lines on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::given::{Given, SettingError};

/// What a service logs by default. The HTTP server's own words about its threads help nobody.
pub const FILTER_DEFAULT: &str = "info,actix_server=warn";

/// Starts the log of this process, once.
///
/// # Errors
/// When the filter cannot be read.
///
/// # Panics
/// When the process has a log already.
pub fn start(filter: &Given) -> Result<(), SettingError> {
    tracing_subscriber::fmt()
        .with_env_filter(read(filter)?)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    Ok(())
}

fn read(filter: &Given) -> Result<EnvFilter, SettingError> {
    EnvFilter::try_new(&filter.value)
        .map_err(|error| filter.refuse(format!("is not a filter ({error})")))
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a documented filter is refused, or a typo in one silences the log.
    #[test]
    fn filters_are_read() {
        for filter in [FILTER_DEFAULT, "info", "dist=debug", "warn,node=trace"] {
            assert!(read(&Given::new("LOG", filter)).is_ok(), "{filter}");
        }
        let error = read(&Given::new("LOG", "dist=loud")).expect_err("is no level");
        let error = error.to_string();
        assert!(
            error.starts_with("LOG: `dist=loud` is not a filter ("),
            "{error}"
        );
        assert_eq!(error.lines().count(), 1);
    }
}
