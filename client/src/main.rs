//! The binary `client`: see [`client::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    client::cli::main()
}
