//! A real PostgreSQL server in a temporary folder, for tests.
//!
//! It owns the server's process and its folder; both are gone when [`Postgres`] is dropped, and
//! also when the test's process is killed. It must not know what is tested.

mod account;
mod binaries;
mod server;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use account::Account;
use binaries::Binaries;
use server::Server;

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The programs are not installed.
    #[error(
        "PostgreSQL's programs {missing} were found neither in PATH nor in \
         /usr/lib/postgresql/*/bin; install the package `postgresql`"
    )]
    NotInstalled {
        /// The programs that are missing.
        missing: String,
    },
    /// PostgreSQL refuses to run as root, and no other account was found.
    #[error("PostgreSQL does not run as root, and /etc/passwd has neither `postgres` nor `nobody`")]
    NoAccount,
    /// A program of PostgreSQL failed.
    #[error("{program} failed: {output}")]
    Program {
        /// Which program.
        program: String,
        /// What it said.
        output: String,
    },
    /// The server does not answer.
    #[error("the server does not answer; its log says: {0}")]
    Silent(String),
    /// The system refused something.
    #[error("{0}")]
    System(#[from] std::io::Error),
}

/// Whether the server waits for its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Durability {
    /// As it comes: for measurements.
    Synced,
    /// Without waiting: for tests, which only kill processes, never the system.
    Unsynced,
}

/// A running server, and the folder that it lives in.
pub struct Postgres {
    binaries: Binaries,
    account: Option<Account>,
    folder: tempfile::TempDir,
    port: u16,
    durability: Durability,
    server: Option<Server>,
}

/// How often a start is tried: between choosing a free port and using it another one may take it.
const STARTS_MAX: u32 = 5;

/// Numbers the databases of this process.
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// The server that all tests of one process share.
static SHARED: OnceLock<Postgres> = OnceLock::new();

impl Postgres {
    /// The server that all tests of this process share, each with a fresh database. It ends with
    /// the process.
    ///
    /// # Panics
    /// When there is no server: a test without its database proves nothing.
    pub fn shared() -> &'static Postgres {
        SHARED.get_or_init(|| match Self::start() {
            Ok(postgres) => postgres,
            Err(error) => panic!("{error}"),
        })
    }

    /// Starts a server for tests, on a free port of 127.0.0.1, without waiting for its disk.
    ///
    /// # Errors
    /// When PostgreSQL is not installed, or does not start.
    pub fn start() -> Result<Self, StartError> {
        Self::start_with(Durability::Unsynced)
    }

    /// Starts a server that syncs each commit, for measurements.
    ///
    /// # Errors
    /// When PostgreSQL is not installed, or does not start.
    pub fn start_durable() -> Result<Self, StartError> {
        Self::start_with(Durability::Synced)
    }

    fn start_with(durability: Durability) -> Result<Self, StartError> {
        let binaries = Binaries::find()?;
        let account = Account::to_switch_to()?;
        let folder = tempfile::Builder::new().prefix("pgtest-").tempdir()?;
        if let Some(account) = &account {
            account.give(folder.path())?;
        }
        let mut postgres = Postgres {
            binaries,
            account,
            folder,
            port: 0,
            durability,
            server: None,
        };
        postgres.make_cluster()?;
        let mut tries = 0;
        loop {
            tries += 1;
            postgres.port = free_port()?;
            match postgres.start_server() {
                Err(_) if tries < STARTS_MAX => {}
                outcome => return outcome.map(|()| postgres),
            }
        }
    }

    /// Makes an empty database, and gives its `postgres://` URL.
    ///
    /// # Errors
    /// When the server does not run.
    pub fn fresh_database(&self) -> Result<String, StartError> {
        let name = format!("fresh_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        self.query("postgres", &format!("create database {name}"))?;
        Ok(format!(
            "postgres://postgres@127.0.0.1:{}/{name}",
            self.port
        ))
    }

    /// Runs a statement with `psql`, and gives back what it prints, a row a line.
    ///
    /// # Errors
    /// When the statement fails or the server does not run.
    pub fn query(&self, database: &str, statement: &str) -> Result<String, StartError> {
        let mut command = self.psql(database);
        command.args(["--tuples-only", "--no-align", "--command", statement]);
        run(command).map(|output| output.trim_end().to_owned())
    }

    /// Writes a database to a file as it is at this moment, while others use it.
    ///
    /// # Errors
    /// When the server does not run, or the file cannot be written.
    pub fn back_up(&self, database: &str, file: &Path) -> Result<(), StartError> {
        let mut command = self.program("pg_dump", database);
        command.arg("--file").arg(file);
        run(command).map(|_| ())
    }

    /// Puts a database back to what it was; whoever uses it is cut off.
    ///
    /// # Errors
    /// When the server does not run, or the file is not one of [`Postgres::back_up`].
    pub fn put_back(&self, database: &str, file: &Path) -> Result<(), StartError> {
        self.query(
            "postgres",
            &format!("drop database {database} with (force)"),
        )?;
        self.query("postgres", &format!("create database {database}"))?;
        let mut command = self.psql(database);
        command.args(["--single-transaction", "--file"]).arg(file);
        run(command).map(|_| ())
    }

    fn psql(&self, database: &str) -> Command {
        let mut command = self.program("psql", database);
        command.args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1"]);
        command
    }

    /// A program that speaks to the server.
    fn program(&self, name: &str, database: &str) -> Command {
        let mut command = Command::new(self.binaries.path(name));
        command.args(["--host", "127.0.0.1", "--username", "postgres"]);
        command.args(["--port", &self.port.to_string(), "--dbname", database]);
        command
    }

    /// The port that the server listens on, also after a restart.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process that all of the server's descend from; none while it is stopped.
    pub fn process_id(&self) -> Option<u32> {
        self.server.as_ref().map(Server::process_id)
    }

    /// Stops the server at once, cutting all connections; the data stays.
    pub fn stop_server(&mut self) {
        self.server = None;
    }

    /// Starts the server again, on the same port.
    ///
    /// # Errors
    /// When the port was taken meanwhile, or the server does not start.
    pub fn start_server(&mut self) -> Result<(), StartError> {
        self.server = Some(Server::start(
            &self.binaries,
            self.account.as_ref(),
            &self.data(),
            self.port,
            self.durability == Durability::Synced,
        )?);
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn make_cluster(&self) -> Result<(), StartError> {
        let mut command = Command::new(self.binaries.path("initdb"));
        command.args([
            "--no-sync",
            "--auth=trust",
            "--username=postgres",
            "--encoding=UTF8",
        ]);
        command
            .args(["--locale=C", "--no-instructions", "--pgdata"])
            .arg(self.data());
        command.current_dir(self.folder.path());
        if let Some(account) = &self.account {
            account.apply(&mut command);
        }
        run(command).map(|_| ())
    }
}

fn run(mut command: Command) -> Result<String, StartError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(StartError::Program {
        program,
        output: said,
    })
}

fn free_port() -> Result<u16, StartError> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?
        .local_addr()?
        .port())
}

#[cfg(test)]
mod tests {
    use super::Postgres;

    // If this fails, no test of the catalog on PostgreSQL means anything.
    #[test]
    fn databases_are_separate_and_survive_an_outage() {
        let mut postgres = Postgres::start().expect("PostgreSQL starts");
        let (first, second) = (
            postgres.fresh_database().expect("a database"),
            postgres.fresh_database().expect("another database"),
        );
        let name = |url: &str| url.rsplit('/').next().expect("a name").to_owned();
        postgres
            .query(&name(&first), "create table t (n int)")
            .expect("creates");
        postgres
            .query(&name(&first), "insert into t values (7)")
            .expect("inserts");
        postgres
            .query(&name(&second), "select * from t")
            .expect_err("the other has no such table");

        assert!(postgres.process_id().is_some());
        postgres.stop_server();
        assert_eq!(postgres.process_id(), None);
        postgres
            .query(&name(&first), "select 1")
            .expect_err("the server is away");
        postgres.start_server().expect("starts again");
        assert_eq!(
            postgres
                .query(&name(&first), "select n from t")
                .expect("reads"),
            "7"
        );
    }

    // If this fails, what trials say of a catalog that went back in time means nothing.
    #[test]
    fn a_database_goes_back_to_its_backup() {
        let postgres = Postgres::start().expect("PostgreSQL starts");
        let url = postgres.fresh_database().expect("a database");
        let name = url.rsplit('/').next().expect("a name");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("backup.sql");
        let ask = |statement: &str| postgres.query(name, statement).expect("answers");
        ask("create table t (n int); insert into t values (7)");
        postgres.back_up(name, &file).expect("writes");
        ask("insert into t values (8)");
        postgres.put_back(name, &file).expect("reads");
        assert_eq!(ask("select n from t"), "7");
    }

    // If this fails, every test run leaves a server and its folder behind.
    #[test]
    fn nothing_is_left() {
        let postgres = Postgres::start().expect("PostgreSQL starts");
        let (folder, port) = (postgres.folder.path().to_owned(), postgres.port());
        drop(postgres);
        assert!(!folder.exists());
        std::net::TcpStream::connect(("127.0.0.1", port)).expect_err("nobody listens");
    }
}
