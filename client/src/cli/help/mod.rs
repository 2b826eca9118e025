//! What helps to write commands, made from the commands themselves: completions and manual pages.

pub(super) mod completions;
pub(super) mod man;

use std::path::Path;

use clap::{Command, CommandFactory};

use super::Cli;

/// The program's name where it was not told.
const NAME: &str = "client";

/// The command line under the name that this program was called by: it may be installed under
/// another one.
fn command() -> Command {
    named(std::env::args_os().next().as_deref().map(Path::new))
}

fn named(called: Option<&Path>) -> Command {
    let stem = called.and_then(Path::file_stem);
    let name = stem
        .and_then(|stem| stem.to_str())
        .unwrap_or(NAME)
        .to_owned();
    Cli::command().name(name.clone()).bin_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, completions and manual pages are for a command that is not installed.
    #[test]
    fn the_name_is_the_one_that_was_called() {
        let name = |called: Option<&str>| named(called.map(Path::new)).get_name().to_owned();
        assert_eq!(name(Some("/usr/bin/acequia")), "acequia");
        assert_eq!(name(Some("client.exe")), "client");
        assert_eq!(name(Some("")), "client");
        assert_eq!(name(None), "client");
    }
}
