//! All that is printed: data on standard output, everything else on standard error.
//!
//! This is the only place that prints. A reader that closes standard output is no error here: it
//! is told to the caller as [`PrintError::Closed`], who ends quietly if nothing else is left to do.

pub mod board;
pub mod chart;
pub mod colour;
pub mod human;
pub mod line;
pub mod screen;
pub mod table;

use std::io::{self, BufRead, IsTerminal, Write};

use serde::Serialize;
use uuid::Uuid;

use board::Board;
use colour::{Hue, Palette};

/// How data is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people, and for `cut` and `awk`.
    Text,
    /// One JSON value a line.
    Json,
}

/// Standard output does not take any more.
#[derive(Debug, thiserror::Error)]
pub enum PrintError {
    /// Its reader is gone, as `head` goes.
    #[error("standard output was closed")]
    Closed,
    /// It failed.
    #[error("cannot write to standard output")]
    Write(#[source] io::Error),
    /// A value has no JSON form.
    #[error("cannot write JSON")]
    Json(#[source] serde_json::Error),
}

/// The terminal, or what stands for it.
#[derive(Clone, Debug)]
pub struct Ui {
    format: Format,
    board: Board,
    /// Of standard output.
    palette: Palette,
    /// Of standard error.
    told: Palette,
    /// Names this run.
    run: Uuid,
}

impl Ui {
    /// Bars appear if standard error is a terminal and `quiet` is not set.
    pub fn new(format: Format, quiet: bool) -> Self {
        let terminal = io::stderr().is_terminal();
        Ui {
            format,
            board: Board::new(terminal && !quiet),
            palette: match format {
                Format::Text => Palette::of_environment(io::stdout().is_terminal()),
                Format::Json => Palette::PLAIN,
            },
            told: Palette::of_environment(terminal),
            run: Uuid::new_v4(),
        }
    }

    /// How data is printed.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The name of this run: requests carry it, and failures are told with it.
    pub fn run(&self) -> Uuid {
        self.run
    }

    /// The progress bars.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// The colours of data: those of standard output.
    pub fn palette(&self) -> Palette {
        self.palette
    }

    /// Whether standard output is a terminal.
    pub fn is_stdout_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }

    /// Prints data: `text` as it is, or `value` as a line of JSON.
    ///
    /// # Errors
    /// When standard output does not take it.
    pub fn data<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce() -> String,
    ) -> Result<(), PrintError> {
        match self.format {
            Format::Text => self.write((text() + "\n").as_bytes()),
            Format::Json => self.json(value),
        }
    }

    /// Prints `value` as a line of JSON, whatever the format.
    ///
    /// # Errors
    /// As [`Ui::data`].
    pub fn json<T: Serialize>(&self, value: &T) -> Result<(), PrintError> {
        let line = serde_json::to_string(value).map_err(PrintError::Json)?;
        self.write((line + "\n").as_bytes())
    }

    /// Writes bytes to standard output as they are.
    ///
    /// # Errors
    /// When standard output does not take them.
    pub fn write(&self, bytes: &[u8]) -> Result<(), PrintError> {
        let write = || {
            let mut out = io::stdout().lock();
            out.write_all(bytes).and_then(|()| out.flush())
        };
        self.board
            .suspend(write)
            .map_err(|error| match error.kind() {
                io::ErrorKind::BrokenPipe => PrintError::Closed,
                _ => PrintError::Write(error),
            })
    }

    /// Says something to a person. That nobody can be told is nothing that anybody can be told.
    pub fn note(&self, text: &str) {
        self.board.suspend(|| {
            let _told = writeln!(io::stderr().lock(), "{}", printable(text)).is_ok();
        });
    }

    /// Whether a person can be asked: they see what is said, and can answer.
    pub fn can_ask(&self) -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Asks a person to repeat a word; whether they did. Blocks until they answer.
    pub fn confirms(&self, question: &str, word: &str) -> bool {
        self.note(question);
        let mut answer = String::new();
        let read = io::stdin().lock().read_line(&mut answer);
        read.is_ok() && answer.trim() == word
    }

    /// Says what went wrong: `error: …`, the first word in red where colours are wanted.
    pub fn complain(&self, text: &str) {
        let word = self.told.paint(Hue::Bad, "error:");
        self.board.suspend(|| {
            let _told = writeln!(io::stderr().lock(), "{word} {}", printable(text)).is_ok();
        });
    }
}

/// A text without the control characters that could command a terminal; lines stay lines.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\n' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a stored file name or a server's message can command the terminal.
    #[test]
    fn escape_sequences_are_disarmed() {
        assert_eq!(printable("a\u{1b}[2Jb\nc\r"), "a\u{fffd}[2Jb\nc\u{fffd}");
    }
}
