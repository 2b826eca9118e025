//! The server's process.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::StartError;
use super::account::Account;
use super::binaries::Binaries;

/// Runs the server until standard input ends: also when the test's process is killed. SIGQUIT is
/// PostgreSQL's immediate shutdown, what a crash looks like to clients.
const GUARD: &str = r#"
    "$@" & server=$!
    cat > /dev/null
    kill -QUIT "$server"
    wait "$server"
"#;

/// A server on a machine with busy cores needs a few seconds.
const START_TIME_MAX: Duration = Duration::from_secs(60);

/// A running server; dropped, it is stopped.
pub(crate) struct Server {
    guard: Child,
}

impl Server {
    pub(crate) fn start(
        binaries: &Binaries,
        account: Option<&Account>,
        data: &Path,
        port: u16,
        synced: bool,
    ) -> Result<Self, StartError> {
        let log_path = data.join("server.log");
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", GUARD, "guard"])
            .arg(binaries.path("postgres"));
        command.arg("-D").arg(data).args(["-p", &port.to_string()]);
        command.args([
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "unix_socket_directories=",
        ]);
        command.args(["-c", "max_connections=100", "-c", "logging_collector=off"]);
        if !synced {
            command.args(["-c", "fsync=off", "-c", "full_page_writes=off"]);
        }
        command
            .current_dir(data)
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        command.stderr(std::fs::File::create(&log_path)?);
        if let Some(account) = account {
            account.apply(&mut command);
        }
        let mut server = Server {
            guard: command.spawn()?,
        };
        server.wait_until_ready(binaries, port, &log_path)?;
        Ok(server)
    }

    fn wait_until_ready(
        &mut self,
        binaries: &Binaries,
        port: u16,
        log_path: &Path,
    ) -> Result<(), StartError> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let started = Instant::now();
        let mut said = String::new();
        while started.elapsed() < START_TIME_MAX {
            said.clear();
            std::fs::File::open(log_path)?.read_to_string(&mut said)?;
            if said.contains("FATAL:  could not") || said.contains("database system is shut down") {
                break;
            }
            if said.contains("ready to accept connections")
                && TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
                && answers(binaries, port)
            {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(StartError::Silent(said))
    }
}

fn answers(binaries: &Binaries, port: u16) -> bool {
    Command::new(binaries.path("psql"))
        .args([
            "--no-psqlrc",
            "--host",
            "127.0.0.1",
            "--username",
            "postgres",
        ])
        .args([
            "--port",
            &port.to_string(),
            "--dbname",
            "postgres",
            "--command",
            "select 1",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

impl Drop for Server {
    fn drop(&mut self) {
        // The guard ends the server when its input ends, and ends itself after the server.
        drop(self.guard.stdin.take());
        if let Err(error) = self.guard.wait() {
            debug_assert!(false, "waiting for the server: {error}");
        }
    }
}
