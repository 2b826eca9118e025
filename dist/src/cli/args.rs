//! The command line.

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use uuid::Uuid;

use super::settings::{Given, Inputs, Settings, SettingsError};

/// The distributor of an Acequia cluster: answers "where?", and keeps the catalog of all content.
///
/// Keys come from the environment alone, so that no process list shows them: CLUSTER_KEY guards
/// calls between services, ACCESS_KEY those of clients; ANONYMOUS=read or write says what works
/// without a key.
#[derive(Parser)]
#[command(name = "dist", version)]
struct Cli {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Args)]
struct Flags {
    /// The distributors and nodes of the cluster [default: nodes.yml, if it is there].
    #[arg(long, env = "NODES_FILE", global = true, value_name = "FILE")]
    nodes_file: Option<String>,
    /// This distributor's name in it [default: dist].
    #[arg(long, env = "NODE_NAME", global = true)]
    name: Option<String>,
    /// The address to listen on [default: from the nodes file, else 127.0.0.1].
    #[arg(long, env = "HOST", global = true)]
    host: Option<String>,
    /// The port to listen on [default: from the nodes file, else 8000].
    #[arg(long, env = "PORT", global = true)]
    port: Option<String>,
    /// What clients are told [default: from the nodes file, else the address].
    #[arg(long, env = "PUBLIC_URL", global = true, value_name = "URL")]
    public_url: Option<String>,
    /// sqlite://PATH or postgres://… [default: sqlite://data/catalog.db].
    #[arg(long, env = "DATABASE_URL", global = true, value_name = "URL")]
    database_url: Option<String>,
    /// What is logged, as a filter like info or dist=debug [default: info].
    #[arg(long, env = "LOG", global = true, value_name = "FILTER")]
    log: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Ask the distributor that runs here whether it is alive; for container health checks.
    Health,
    /// Fill an empty catalog from the nodes, after the old one was lost.
    Rebuild {
        /// The UUID of the cluster, as the nodes know it; a refused node's log line names it.
        #[arg(long, value_name = "UUID")]
        adopt: String,
    },
}

/// What the program shall do.
pub(crate) enum Task {
    /// Serve until it is told to stop.
    Serve,
    /// Ask the one that serves.
    Health,
    /// Fill an empty catalog.
    Rebuild {
        /// Of this cluster.
        adopt: Uuid,
    },
}

/// Reads the command line, the environment and the nodes file.
///
/// # Errors
/// When a value cannot be used. A mistake in the command line's form ends the program at once,
/// as `--help` does.
pub(crate) fn read() -> Result<(Task, Settings), SettingsError> {
    let matches = Cli::command().get_matches();
    let Cli { flags, command } =
        Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let task = match command {
        None => Task::Serve,
        Some(Command::Health) => Task::Health,
        Some(Command::Rebuild { adopt }) => Task::Rebuild {
            adopt: uuid(adopt)?,
        },
    };
    let inputs = Inputs {
        nodes_file: given(&matches, "nodes_file", "NODES_FILE", flags.nodes_file),
        name: given(&matches, "name", "NODE_NAME", flags.name),
        host: given(&matches, "host", "HOST", flags.host),
        port: given(&matches, "port", "PORT", flags.port),
        public_url: given(&matches, "public_url", "PUBLIC_URL", flags.public_url),
        database_url: given(&matches, "database_url", "DATABASE_URL", flags.database_url),
        log: given(&matches, "log", "LOG", flags.log),
        cluster_key: from_environment("CLUSTER_KEY"),
        access_key: from_environment("ACCESS_KEY"),
        anonymous: from_environment("ANONYMOUS"),
    };
    Ok((task, Settings::new(inputs)?))
}

fn uuid(text: String) -> Result<Uuid, SettingsError> {
    text.parse().map_err(|_| SettingsError::Value {
        origin: "--adopt".to_owned(),
        value: text,
        message: "is not a UUID".to_owned(),
    })
}

fn given(matches: &ArgMatches, id: &str, variable: &str, value: Option<String>) -> Option<Given> {
    // A global flag may stand before or after the subcommand.
    let source = matches
        .subcommand()
        .and_then(|(_, matches)| matches.value_source(id))
        .or_else(|| matches.value_source(id));
    let source = match source {
        Some(ValueSource::EnvVariable) => variable.to_owned(),
        _ => format!("--{}", id.replace('_', "-")),
    };
    value.map(|value| Given { source, value })
}

fn from_environment(variable: &str) -> Option<Given> {
    let value = std::env::var(variable).ok()?;
    Some(Given {
        source: variable.to_owned(),
        value,
    })
}
