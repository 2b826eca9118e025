//! The flags that every service has.

use clap::{Args, Command, Parser};

/// What the program of a service is called where nobody named it, and where it listens.
#[derive(Clone, Copy, Debug)]
pub struct Defaults {
    /// The service's name.
    pub name: &'static str,
    /// Its port.
    pub port: u16,
}

/// The flags; a program's own stand beside them.
#[derive(Clone, Debug, Default, Args)]
#[group(skip)]
pub struct Flags {
    /// The services by host and port [env: NODES_FILE] [default: nodes.yml, if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub nodes_file: Option<String>,
    /// The service's name
    #[arg(long, global = true)]
    pub name: Option<String>,
    /// Where to listen: an address or a host name [env: HOST] [default: of nodes.yml, or 127.0.0.1]
    #[arg(long, global = true)]
    pub host: Option<String>,
    /// The port to listen on
    #[arg(long, global = true)]
    pub port: Option<String>,
    /// What clients are told [env: PUBLIC_URL] [default: of nodes.yml, or the address]
    #[arg(long, global = true, value_name = "URL")]
    pub public_url: Option<String>,
    /// What to log: a level, or a filter of tracing [env: LOG] [default: of nodes.yml, or
    /// info,actix_server=warn,actix_http=off]
    #[arg(long, global = true, value_name = "FILTER")]
    pub log: Option<String>,
    /// How the log looks: lines, or json [env: LOG_FORMAT] [default: lines]
    #[arg(long, global = true, value_name = "FORMAT")]
    pub log_format: Option<String>,
}

/// The end of a service's help.
pub const ENVIRONMENT: &str =
    "Keys come from the environment alone, so that no list of processes shows them:
  CLUSTER_KEY  guards calls between services; needed beyond loopback
  ACCESS_KEY   guards the routes of clients
  ANONYMOUS    what works without a key: none, read or write

So does where traces are exported to:
  OTEL_EXPORTER_OTLP_ENDPOINT  a collector of OpenTelemetry; OTEL_EXPORTER_OTLP_HEADERS,
                               OTEL_TRACES_SAMPLER and others are understood as well";

/// Reads the command line of this process. `--help` and a mistake in its form end the process.
pub fn read<P: Parser>(defaults: &Defaults) -> P {
    let matches = tell(P::command(), defaults).get_matches();
    P::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// Puts the defaults into the help.
fn tell(command: Command, Defaults { name, port }: &Defaults) -> Command {
    command
        .mut_arg("name", |arg| {
            arg.help(format!(
                "The service's name [env: NODE_NAME] [default: {name}]"
            ))
        })
        .mut_arg("port", |arg| {
            arg.help(format!(
                "The port to listen on [env: PORT] [default: of nodes.yml, or {port}]"
            ))
        })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// A program of its own.
    #[derive(Parser)]
    #[command(name = "x", after_help = ENVIRONMENT)]
    struct Program {
        #[command(flatten)]
        flags: Flags,
        #[command(subcommand)]
        task: Option<Task>,
    }

    #[derive(clap::Subcommand)]
    enum Task {
        /// Asks.
        Health,
    }

    // If this fails, `--help` names defaults that are another program's, or not what it is.
    #[test]
    fn the_help_tells_the_program_and_its_defaults() {
        let defaults = Defaults {
            name: "node7",
            port: 8007,
        };
        let help = tell(Program::command(), &defaults)
            .render_help()
            .to_string();
        for expected in [
            "A program of its own",
            "[default: node7]",
            "or 8007]",
            "[env: LOG]",
            "CLUSTER_KEY",
        ] {
            assert!(help.contains(expected), "{expected}: {help}");
        }
        Program::command().debug_assert();
    }

    // If this fails, a health check asks another port than the one it was told.
    #[test]
    fn flags_stand_before_or_after_the_task() {
        for words in [["--port", "9", "health"], ["health", "--port", "9"]] {
            let program = Program::try_parse_from([&["x"], &words[..]].concat()).expect("reads");
            assert_eq!(program.flags.port.as_deref(), Some("9"));
            assert!(matches!(program.task, Some(Task::Health)));
        }
    }
}
