//! A program as its shell sees it: what it says, and how it ends.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use crate::given::SettingError;

/// What a shell expects of a program that was called wrongly.
const USAGE: u8 = 2;

/// Writes a line to standard error. When that is closed, there is nobody left to tell.
pub fn say(line: impl Display) {
    writeln!(std::io::stderr(), "{line}").ok();
}

/// Ends a program that cannot use its settings.
pub fn misused(program: &str, error: &SettingError) -> ExitCode {
    say(format_args!("{program}: {error}"));
    ExitCode::from(USAGE)
}

/// Ends a program; an error is said on one line, with its causes if it is a chain.
pub fn ended(program: &str, outcome: Result<(), impl Display>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("{program}: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Threads that can work at the same time on this machine, at least one.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
