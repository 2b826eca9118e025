//! A real ZooKeeper server in a temporary folder, for tests.
//!
//! It owns the server's process and its folder; both are gone when [`ZooKeeper`] is dropped, and
//! also when the test's process is killed. It must not know what is tested.

mod installed;
mod server;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use installed::Installed;
use server::Server;

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The program is not installed.
    #[error("{missing} was not found; install the packages `zookeeper` and `default-jre-headless`")]
    NotInstalled {
        /// What is missing.
        missing: &'static str,
    },
    /// The server does not answer.
    #[error("the server does not answer; its log says: {0}")]
    Silent(String),
    /// The system refused something.
    #[error("{0}")]
    System(#[from] std::io::Error),
}

/// A running server, and the folder that it lives in.
pub struct ZooKeeper {
    installed: Installed,
    folder: tempfile::TempDir,
    port: u16,
    server: Option<Server>,
}

/// How often a start is tried: between choosing a free port and using it another one may take it.
const STARTS_MAX: u32 = 5;

/// Numbers the paths of this process.
static PATHS: AtomicU32 = AtomicU32::new(0);

/// The server that all tests of one process share.
static SHARED: OnceLock<ZooKeeper> = OnceLock::new();

impl ZooKeeper {
    /// The server that all tests of this process share, each under a path of its own. It ends with
    /// the process.
    ///
    /// # Panics
    /// When there is no server: a test without its coordinator proves nothing.
    pub fn shared() -> &'static ZooKeeper {
        SHARED.get_or_init(|| match Self::start() {
            Ok(zookeeper) => zookeeper,
            Err(error) => panic!("{error}"),
        })
    }

    /// Starts a server on a free port of 127.0.0.1. It does not wait for its disk: tests only kill
    /// processes, never the system. Sessions of 200 ms to ten minutes are granted.
    ///
    /// # Errors
    /// When ZooKeeper or Java is not installed, or does not start.
    pub fn start() -> Result<Self, StartError> {
        let mut zookeeper = ZooKeeper {
            installed: Installed::find()?,
            folder: tempfile::Builder::new().prefix("zktest-").tempdir()?,
            port: 0,
            server: None,
        };
        let mut tries = 0;
        loop {
            tries += 1;
            zookeeper.port = free_port()?;
            match zookeeper.start_server() {
                Err(_) if tries < STARTS_MAX => {}
                outcome => return outcome.map(|()| zookeeper),
            }
        }
    }

    /// A path that nobody used yet, as a `zookeeper://` URL. Nothing is made there.
    pub fn fresh_path(&self) -> String {
        let number = PATHS.fetch_add(1, Ordering::Relaxed);
        format!("zookeeper://127.0.0.1:{}/fresh/{number}", self.port)
    }

    /// The port that the server listens on, also after a restart.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills the server, cutting all connections; the data stays.
    pub fn stop_server(&mut self) {
        self.server = None;
    }

    /// Starts the server again, on the same port.
    ///
    /// # Errors
    /// When the port was taken meanwhile, or the server does not start.
    pub fn start_server(&mut self) -> Result<(), StartError> {
        self.stop_server();
        let server = Server::start(&self.installed, self.folder.path(), self.port)?;
        self.server = Some(server);
        Ok(())
    }

    /// Lets the server's process stand still: it keeps its connections and answers nobody.
    ///
    /// # Errors
    /// When the server does not run.
    pub fn pause_server(&self) -> Result<(), StartError> {
        self.running()?.pause()
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When the server does not run.
    pub fn resume_server(&self) -> Result<(), StartError> {
        self.running()?.resume()
    }

    fn running(&self) -> Result<&Server, StartError> {
        let stopped = || StartError::Silent("it was stopped".to_owned());
        self.server.as_ref().ok_or_else(stopped)
    }
}

fn free_port() -> Result<u16, StartError> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?
        .local_addr()?
        .port())
}

#[cfg(test)]
mod tests {
    use super::ZooKeeper;
    use super::server::answers;

    // If this fails, tests of an outage prove nothing: the server was there, or is gone for good.
    #[test]
    fn a_server_can_be_stopped_paused_and_started_again() {
        let mut zookeeper = ZooKeeper::start().expect("ZooKeeper starts");
        let port = zookeeper.port();
        assert!(answers(port));
        zookeeper.pause_server().expect("stands still");
        assert!(!answers(port));
        zookeeper.resume_server().expect("goes on");
        assert!(answers(port));
        zookeeper.stop_server();
        std::net::TcpStream::connect(("127.0.0.1", port)).expect_err("nobody listens");
        zookeeper.pause_server().expect_err("there is nobody");
        zookeeper.start_server().expect("starts again");
        assert!(answers(port));
        assert_ne!(zookeeper.fresh_path(), zookeeper.fresh_path());
    }

    // If this fails, every test run leaves a Java machine and its folder behind.
    #[test]
    fn nothing_is_left() {
        let zookeeper = ZooKeeper::start().expect("ZooKeeper starts");
        zookeeper.pause_server().expect("stands still");
        let (folder, port) = (zookeeper.folder.path().to_owned(), zookeeper.port());
        drop(zookeeper);
        assert!(!folder.exists());
        std::net::TcpStream::connect(("127.0.0.1", port)).expect_err("nobody listens");
    }
}
