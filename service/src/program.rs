//! A program as its shell sees it: what it says, and how it ends.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use crate::given::SettingError;
use crate::log::{self, Format};

/// What a shell expects of a program that was called wrongly.
const USAGE: u8 = 2;

/// Writes a line to standard error. When that is closed, there is nobody left to tell.
pub fn say(line: impl Display) {
    writeln!(std::io::stderr(), "{line}").ok();
}

/// A program, and the form of what it says at its end: that of its log, which may not have begun.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    name: &'static str,
    format: Format,
}

impl Program {
    /// The program of this name.
    pub fn new(name: &'static str, format: Format) -> Self {
        Program { name, format }
    }

    /// Ends it, since it cannot use its settings.
    pub fn misused(self, error: &SettingError) -> ExitCode {
        self.tell(&error.to_string());
        ExitCode::from(USAGE)
    }

    /// Ends it; an error is said on one line, with its causes if it is a chain.
    pub fn ended(self, outcome: Result<(), impl Display>) -> ExitCode {
        match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                self.tell(&format!("{error:#}"));
                ExitCode::FAILURE
            }
        }
    }

    fn tell(self, error: &str) {
        match self.format {
            Format::Lines => say(format_args!("{}: {error}", self.name)),
            Format::Json => log::tell_in_json(self.name, error),
        }
    }
}

/// Threads that can work at the same time on this machine, at least one.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
