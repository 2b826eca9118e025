//! A real browser without a window, for tests and pictures of the web console.
//!
//! It owns the processes of Chromium and of its driver, and a folder; all are gone when [`Browser`]
//! is dropped, and also when the test's process is killed. It speaks the driver's own protocol
//! (WebDriver, a dozen of JSON calls) rather than through a library: those bring a license that the
//! workspace does not take, or a second HTTP client. It must not know what is tested.

mod browser;
mod driver;

pub use browser::{Browser, Look, Theme};

/// Why a browser does not do what it shall.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// A program is not installed.
    #[error(
        "{program} was not found in PATH; install the Debian package `{package}`, or another one that \
         has it"
    )]
    NotInstalled {
        /// The program.
        program: &'static str,
        /// Debian's package of it.
        package: &'static str,
    },
    /// The driver does not answer.
    #[error("the browser's driver does not answer: {0}")]
    Silent(String),
    /// The driver refused a command.
    #[error("{command}: {message}")]
    Refused {
        /// The command.
        command: String,
        /// What it said.
        message: String,
    },
    /// Something that was awaited did not come.
    #[error("not within {seconds} s: {what}; the page says: {page}")]
    TooLate {
        /// How long it was awaited.
        seconds: u64,
        /// What.
        what: String,
        /// The text of the page.
        page: String,
    },
    /// The system refused something.
    #[error("{0}")]
    System(#[from] std::io::Error),
}
