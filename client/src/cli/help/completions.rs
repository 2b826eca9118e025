//! `client completions`: what a shell offers when one types a command.

use clap::Command;
use clap_complete::{Shell, generate};

use crate::cli::failure::Failure;
use crate::ui::Ui;

/// Print completions for a shell.
///
/// For this session of bash: `source <(client completions bash)`. For good: into the folder where the
/// shell looks, for instance `~/.local/share/bash-completion/completions/client`,
/// `~/.config/fish/completions/client.fish`, or `_client` in a folder of zsh's `fpath`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

pub(in crate::cli) fn run(arguments: &Arguments, ui: &Ui) -> Result<(), Failure> {
    Ok(ui.write(&script(arguments.shell, super::command()))?)
}

fn script(shell: Shell, mut command: Command) -> Vec<u8> {
    let (name, mut script) = (command.get_name().to_owned(), Vec::new());
    generate(shell, &mut command, name, &mut script);
    script
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, ValueEnum};

    use crate::cli::Cli;

    // If this fails, a shell does not know a command, or not how it was installed.
    #[test]
    fn every_shell_knows_every_command() {
        for shell in Shell::value_variants() {
            let command = super::super::named(Some("acequia".as_ref()));
            let script = String::from_utf8(script(*shell, command)).expect("text");
            assert!(script.contains("acequia"), "{shell}");
            for command in Cli::command().get_subcommands() {
                let name = command.get_name();
                assert!(script.contains(name), "{shell} does not know `{name}`");
            }
            for flag in ["access-key", "nodes-file", "filename", "hash-one-in"] {
                assert!(script.contains(flag), "{shell} does not know --{flag}");
            }
        }
    }
}
