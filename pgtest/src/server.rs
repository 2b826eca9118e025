//! The server's process.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::StartError;
use super::account::Account;
use super::binaries::Binaries;

/// Runs the server until it is told to stop. When its input ends without a word, the test's
/// process is gone, and nobody else would remove the folder. SIGQUIT is PostgreSQL's immediate
/// shutdown, what a crash looks like to clients.
const GUARD: &str = r#"
    folder=$1
    shift
    "$@" & server=$!
    read -r word
    kill -QUIT "$server"
    wait "$server"
    test "$word" = stop || rm -rf -- "$folder"
"#;

/// A server on a machine with busy cores needs a few seconds.
const START_TIME_MAX: Duration = Duration::from_secs(30);

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
        let folder = data.parent().unwrap_or(data);
        command
            .args(["-c", GUARD, "guard"])
            .arg(folder)
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

    /// The guard's, which the server's processes descend from.
    pub(crate) fn process_id(&self) -> u32 {
        self.guard.id()
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
            if !said.contains("starting PostgreSQL") && said.contains("guard:") {
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
        // The guard ends the server when it is told to, and ends itself after the server. If it is
        // gone already, there is nothing to tell.
        if let Some(mut input) = self.guard.stdin.take() {
            input.write_all(b"stop\n").ok();
        }
        if let Err(error) = self.guard.wait() {
            debug_assert!(false, "waiting for the server: {error}");
        }
    }
}
