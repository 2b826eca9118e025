//! `cargo xtask …`: what developers of Acequia and its CI repeat.
//!
//! It builds with few dependencies, so that it answers soon in a fresh clone; what needs the
//! services themselves lives in the crate `trials`, which it builds and runs.

mod check;
mod packages;
mod pictures;
mod schemathesis;
mod tidy;
mod trials;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "What developers repeat"
)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Check everything: formats, tidy, lints, all tests with a real PostgreSQL, doc tests
    Test,
    /// Check the sums and arrows of the house
    Tidy,
    /// Do everything to the services that may happen, and check that nothing acknowledged is lost
    Torture(trials::Forwarded),
    /// Take the pictures of the web console in docs/pictures, with Chromium
    ConsolePictures,
    /// Have schemathesis examine both services of a small cluster by their /openapi.json
    Schemathesis(schemathesis::Bounds),
    /// Make Debian packages of the services and the client, in target/debian
    Packages,
    /// Measure a cluster beside nginx; with a subcommand, one thing: `--help` lists them
    Bench(trials::Forwarded),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.task {
        Task::Test => check::run(),
        Task::Tidy => tidy::run(&workspace::root()),
        Task::Torture(rest) => trials::run("torture", &rest),
        Task::ConsolePictures => pictures::take(),
        Task::Schemathesis(bounds) => schemathesis::run(&bounds),
        Task::Packages => packages::make(),
        Task::Bench(rest) => trials::run("bench", &rest),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a documented command is refused, or loses its arguments on the way.
    #[test]
    fn documented_commands_are_read() {
        let read = |words: &[&str]| {
            let words = ["xtask"].iter().chain(words);
            Arguments::try_parse_from(words).map(|arguments| arguments.task)
        };
        assert!(matches!(read(&["test"]), Ok(Task::Test)));
        assert!(matches!(read(&["tidy"]), Ok(Task::Tidy)));
        assert!(matches!(
            read(&["console-pictures"]),
            Ok(Task::ConsolePictures)
        ));
        assert!(matches!(read(&["packages"]), Ok(Task::Packages)));
        let bounded = read(&["schemathesis", "--max-examples", "5", "--seconds", "20"]);
        assert!(matches!(bounded, Ok(Task::Schemathesis(_))));
        let Ok(Task::Torture(rest)) = read(&["torture", "--minutes", "100", "--postgres"]) else {
            panic!("`torture` takes the arguments of the trial");
        };
        assert_eq!(rest.arguments(), ["--minutes", "100", "--postgres"]);
        let Ok(Task::Bench(rest)) = read(&["bench", "restart", "--help"]) else {
            panic!("`bench` hands even `--help` on");
        };
        assert_eq!(rest.arguments(), ["restart", "--help"]);
        let Ok(Task::Bench(rest)) = read(&["bench"]) else {
            panic!("`bench` alone measures the standard set");
        };
        assert!(rest.arguments().is_empty());
        assert!(read(&["tests"]).is_err());
    }
}
