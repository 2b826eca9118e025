//! The command line of the program `dist`.

use std::time::Duration;

use clap::{Parser, Subcommand};
use dist::coordinator::ZooKeeperAddress;
use dist::{Config, POLL_DEFAULT};
use service::environment::Environment;
use service::flags::{self, Defaults, ENVIRONMENT};
use service::given::{Given, SettingError};
use service::log::{Format, Log};
use service::program::{Program, cores};
use service::settings::Settings;
use uuid::Uuid;
use wire::NodeName;
use wire::limits::{SESSION_DEFAULT, SESSION_MAX, SESSION_MIN};
use wire::nodes_file::{NodesFile, ServiceEntry};

const DEFAULTS: Defaults = Defaults {
    name: "dist",
    port: 8000,
};

const SESSION: &str = "a number of seconds from 0.5 to 60";

const COPIES: &str = "a number of copies from 1 to 5";

const DATABASE_URL_DEFAULT: &str = "sqlite://data/catalog.db";

/// The distributor of an Acequia cluster: answers "where?", and keeps the catalog of all content.
#[derive(Parser)]
#[command(name = "dist", version, after_help = ENVIRONMENT)]
struct Flags {
    #[command(flatten)]
    service: flags::Flags,
    /// sqlite://PATH or postgres://… [env: DATABASE_URL] [default: sqlite://data/catalog.db]
    #[arg(long, global = true, value_name = "URL")]
    database_url: Option<String>,
    /// zookeeper://HOST:PORT,…/PATH [env: COORDINATOR] [default: the catalog's database]
    #[arg(long, global = true, value_name = "URL")]
    coordinator: Option<String>,
    /// How many nodes keep each content, 1 to 5 [env: COPIES] [default: of nodes.yml, or 2]
    #[arg(long, global = true, value_name = "N")]
    copies: Option<String>,
    /// How many seconds a node may be silent before it counts as dead, 0.5 to 60 [env: SESSION]
    /// [default: 3]
    #[arg(long, global = true, value_name = "SECONDS")]
    session: Option<String>,
    #[command(subcommand)]
    command: Option<Command>,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Serve until it is told to stop.
    Serve,
    /// Fill an empty catalog.
    Rebuild {
        /// Of this cluster.
        adopt: Uuid,
    },
}

/// Everything that the program needs.
#[derive(Debug)]
pub(crate) struct Order {
    /// What to do.
    pub(crate) task: Task,
    /// How the distributor is started.
    pub(crate) config: Config,
    /// The log.
    pub(crate) log: Log,
    /// The nodes that the nodes file names.
    pub(crate) nodes: Vec<NodeName>,
    /// Base URIs of the other distributors that it names.
    pub(crate) other_distributors: Vec<String>,
}

/// Where settings are from: the command line, the environment, and the nodes file that they name.
pub(crate) struct Source {
    flags: Flags,
    environment: Environment,
}

impl Source {
    /// Those of this process. A mistake in the command line's form ends it at once, as `--help`
    /// does.
    pub(crate) fn of_process() -> Self {
        Source {
            flags: flags::read(&DEFAULTS),
            environment: Environment::of_process(),
        }
    }

    /// The program, as it speaks where it cannot go on.
    pub(crate) fn program(&self) -> Program {
        let format = self.flags.service.log_format.as_deref();
        Program::new("dist", Format::wanted(format, &self.environment))
    }

    /// Whether the one that serves is only to be asked how it is.
    pub(crate) fn is_question(&self) -> bool {
        matches!(self.flags.command, Some(Command::Health))
    }

    /// Whether it shall serve, and not do something once.
    pub(crate) fn is_service(&self) -> bool {
        self.flags.command.is_none()
    }

    /// Reads them, again if need be: then a nodes file that was there must be there still.
    ///
    /// # Errors
    /// When a value cannot be used.
    pub(crate) fn read(&mut self) -> Result<Order, SettingError> {
        let order = order(&self.flags, &self.environment)?;
        self.environment.keep_nodes_file();
        Ok(order)
    }
}

fn order(flags: &Flags, environment: &Environment) -> Result<Order, SettingError> {
    let task = match &flags.command {
        // Who asks the one that serves has its settings.
        None | Some(Command::Health) => Task::Serve,
        Some(Command::Rebuild { adopt }) => Task::Rebuild {
            adopt: Given::new("--adopt", adopt).parse("a UUID")?,
        },
    };
    let settings = Settings::read(&flags.service, environment, &DEFAULTS)?;
    let database_url = environment.given(
        "--database-url",
        flags.database_url.as_deref(),
        "DATABASE_URL",
    )?;
    let coordinator =
        environment.given("--coordinator", flags.coordinator.as_deref(), "COORDINATOR")?;
    let copies = environment.given("--copies", flags.copies.as_deref(), "COPIES")?;
    let session = environment.given("--session", flags.session.as_deref(), "SESSION")?;
    let file = settings.nodes_file.as_ref();
    let nodes = file.into_iter().flat_map(NodesFile::storage_nodes);
    let others = file
        .into_iter()
        .flat_map(NodesFile::distributors)
        .filter(|(name, _)| **name != settings.name);
    let url = |(_, address): (_, &ServiceEntry)| address.internal_url();
    Ok(Order {
        task,
        nodes: nodes.map(|(name, _)| name.clone()).collect(),
        other_distributors: others.map(url).collect(),
        config: Config {
            name: settings.name,
            bind: settings.bind,
            public_url: settings.public_url,
            database_url: database_url
                .map_or_else(|| DATABASE_URL_DEFAULT.to_owned(), |given| given.value),
            coordinator: coordinator.as_ref().map(read_coordinator).transpose()?,
            copies: match copies {
                Some(copies) => copies.parse(COPIES)?,
                None => file.and_then(|file| file.copies).unwrap_or_default(),
            },
            access: settings.access,
            session: session.as_ref().map_or(Ok(SESSION_DEFAULT), read_session)?,
            poll: POLL_DEFAULT,
            workers: cores(),
            traces: telemetry::Settings::read(environment)?,
        },
        log: settings.log,
    })
}

fn read_session(given: &Given) -> Result<Duration, SettingError> {
    let seconds: f64 = given.parse(SESSION)?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|session| (SESSION_MIN..=SESSION_MAX).contains(session))
        .ok_or_else(|| given.refuse(format!("is not {SESSION}")))
}

/// The value itself is not repeated: it may hold a password.
fn read_coordinator(given: &Given) -> Result<ZooKeeperAddress, SettingError> {
    let address = given.value.parse::<ZooKeeperAddress>();
    address.map_err(|error| SettingError::at(given.source.as_str(), error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    const FILE: &str = "copies: 3
nodes:
  dist: {host: 127.0.0.1, port: 7000, public_url: https://files.example.com/}
  dist2: {host: 127.0.0.1, port: 7001}
  node1: {host: 127.0.0.1, port: 7002}
";

    fn read(words: &[&str], variables: &[(&str, &str)]) -> Result<Order, SettingError> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("nodes.yml"), FILE).expect("written");
        let flags = Flags::try_parse_from([&["dist"], words].concat()).expect("is understood");
        let environment = Environment::new(variables.iter().copied(), folder.path());
        order(&flags, &environment)
    }

    // If this fails, a setting that is documented does nothing.
    #[test]
    fn settings_come_from_flags_variables_and_the_file() {
        let file = read(&[], &[]).expect("is read");
        assert_eq!(file.task, Task::Serve);
        assert_eq!(file.config.name.as_str(), "dist");
        assert_eq!(file.config.bind.to_string(), "127.0.0.1:7000");
        let public_url = file.config.public_url.as_deref();
        assert_eq!(public_url, Some("https://files.example.com"));
        assert_eq!(file.config.database_url, "sqlite://data/catalog.db");
        assert_eq!(file.config.coordinator, None);
        assert_eq!(file.config.copies.get(), 3);
        assert_eq!(file.config.session, SESSION_DEFAULT);
        assert_eq!(file.nodes.len(), 1);
        assert!(file.config.traces.is_none());
        assert_eq!(file.other_distributors, ["http://127.0.0.1:7001"]);

        let variables = [
            ("NODE_NAME", "dist2"),
            ("DATABASE_URL", "postgres://h/d"),
            ("COORDINATOR", "zookeeper://zk1,zk2:2182"),
            ("COPIES", "4"),
            ("SESSION", "1.5"),
            ("CLUSTER_KEY", "c"),
            ("LOG", "debug"),
            ("LOG_FORMAT", "json"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"),
        ];
        let environment = read(&[], &variables).expect("is read");
        assert_eq!(environment.config.name.as_str(), "dist2");
        assert_eq!(environment.config.database_url, "postgres://h/d");
        let coordinator = environment.config.coordinator.expect("is given");
        let expected = "zookeeper://zk1:2181,zk2:2182/acequia";
        assert_eq!(coordinator.to_string(), expected);
        assert_eq!(environment.config.copies.get(), 4);
        assert_eq!(environment.config.session, Duration::from_millis(1500));
        assert_eq!(environment.config.access.cluster_key.as_deref(), Some("c"));
        assert_eq!(environment.log.filter.value, "debug");
        assert!(environment.config.traces.is_some());
        assert_eq!(environment.log.format, service::log::Format::Json);
        assert_eq!(environment.other_distributors, ["http://127.0.0.1:7000"]);

        let words = [
            "--database-url",
            "sqlite://x",
            "--coordinator",
            "zookeeper://zk/a",
            "--copies",
            "5",
        ];
        let flags = read(&words, &variables).expect("is read");
        assert_eq!(flags.config.database_url, "sqlite://x");
        assert_eq!(flags.config.copies.get(), 5);
        let coordinator = flags.config.coordinator.expect("is given");
        assert_eq!(coordinator.to_string(), "zookeeper://zk:2181/a");
    }

    // If this fails, a typo elects two controllers, or stands in the log with its password.
    #[test]
    fn a_coordinator_that_is_none_is_refused() {
        let cases = [
            (
                "etcd://u:secret@h",
                "COORDINATOR: is not zookeeper://HOST:PORT,…/PATH",
            ),
            (
                "zookeeper://u:secret@h:x",
                "COORDINATOR: names the server `h:x`, which is",
            ),
        ];
        for (value, expected) in cases {
            let error = read(&[], &[("COORDINATOR", value)]).expect_err(value);
            let message = error.to_string();
            assert!(message.starts_with(expected), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }

    // If this fails, a typo decides how often contents are kept.
    #[test]
    fn a_number_of_copies_that_cannot_be_is_refused() {
        let error = read(&["--copies", "6"], &[]).expect_err("is too many");
        assert_eq!(
            error.to_string(),
            "--copies: `6` is not a number of copies from 1 to 5"
        );
        let error = read(&[], &[("COPIES", "x")]).expect_err("is no number");
        assert!(error.to_string().starts_with("COPIES: `x`"), "{error}");
    }

    // If this fails, a typo has nodes taken for dead while they are well, or never.
    #[test]
    fn a_session_that_cannot_be_is_refused() {
        for value in ["0.4", "61", "-1", "NaN", "1s"] {
            let error = read(&[], &[("SESSION", value)]).expect_err(value);
            let expected = format!("SESSION: `{value}` is not a number of seconds from 0.5 to 60");
            assert_eq!(error.to_string(), expected);
        }
        let shortest = read(&["--session", "0.5"], &[]).expect("is read");
        assert_eq!(shortest.config.session, SESSION_MIN);
    }

    // If this fails, a program that was told to rebuild serves, or the other way round.
    #[test]
    fn tasks_are_read() {
        Flags::command().debug_assert();
        let health = read(&["health", "--port", "9"], &[]).expect("is read");
        assert_eq!(health.config.bind.port(), 9);
        let uuid = "4f1c6b0e-9d0a-4c47-8a53-0d9b5f5c2a10";
        let rebuild = read(&["rebuild", "--adopt", uuid], &[]).expect("is read");
        let adopt = uuid.parse().expect("a UUID");
        assert_eq!(rebuild.task, Task::Rebuild { adopt });
        let error = read(&["rebuild", "--adopt", "x"], &[]).expect_err("is none");
        assert_eq!(error.to_string(), "--adopt: `x` is not a UUID");
    }
}
