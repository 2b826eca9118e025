//! The server's process.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::StartError;
use super::installed::Installed;

/// Runs the server until it is told to stop, after it has said the server's process. When its input
/// ends without a word, the test's process is gone, and nobody else would remove the folder. SIGKILL
/// is what a crash looks like, and ends a process that stands still.
const GUARD: &str = r#"
    folder=$1
    shift
    "$@" & server=$!
    echo "$server"
    read -r word
    kill -KILL "$server"
    wait "$server"
    test "$word" = stop || rm -rf -- "$folder"
"#;

/// Half a second is enough on an idle machine; one whose disk is busy has been seen to take a minute.
const START_TIME_MAX: Duration = Duration::from_secs(180);

/// How long a server that is well may take to say so.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(1);

/// A running server; dropped, it is killed.
pub(crate) struct Server {
    guard: Child,
    process: Pid,
}

impl Server {
    pub(crate) fn start(
        installed: &Installed,
        folder: &Path,
        port: u16,
    ) -> Result<Self, StartError> {
        let (settings, log) = (folder.join("zoo.cfg"), folder.join("server.log"));
        std::fs::write(&settings, self::settings(folder, port))?;
        let mut command = Command::new("/bin/sh");
        command.args(["-c", GUARD, "guard"]).arg(folder);
        command.arg(&installed.java);
        // A short life on a machine that has other things to do.
        command.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx128m"]);
        command.args(["-Dzookeeper.forceSync=no", "-Dzookeeper.preAllocSize=1024"]);
        command.arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn");
        command.args(["-cp", &installed.archives]);
        command.arg("org.apache.zookeeper.server.ZooKeeperServerMain");
        command.arg(&settings).current_dir(folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(std::fs::File::create(&log)?);
        let mut guard = command.spawn()?;
        let process = match read_process(&mut guard) {
            Ok(process) => process,
            Err(error) => {
                guard.kill()?;
                guard.wait()?;
                return Err(error);
            }
        };
        let server = Server { guard, process };
        server.wait_until_ready(port, &log)?;
        Ok(server)
    }

    pub(crate) fn pause(&self) -> Result<(), StartError> {
        Ok(kill_process(self.process, Signal::STOP).map_err(std::io::Error::from)?)
    }

    pub(crate) fn resume(&self) -> Result<(), StartError> {
        Ok(kill_process(self.process, Signal::CONT).map_err(std::io::Error::from)?)
    }

    fn wait_until_ready(&self, port: u16, log: &Path) -> Result<(), StartError> {
        let started = Instant::now();
        let mut said = String::new();
        while started.elapsed() < START_TIME_MAX {
            if answers(port) {
                return Ok(());
            }
            said = std::fs::read_to_string(log)?;
            if said.contains("Unexpected exception, exiting") || said.contains("Error: ") {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(StartError::Silent(said))
    }
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

fn settings(folder: &Path, port: u16) -> String {
    let data = folder.join("data");
    format!(
        "dataDir={}
clientPort={port}
clientPortAddress=127.0.0.1
tickTime=100
minSessionTimeout=200
maxSessionTimeout=600000
maxClientCnxns=0
admin.enableServer=false
4lw.commands.whitelist=srvr
",
        data.display()
    )
}

/// The guard's first line; the server itself writes nothing there.
fn read_process(guard: &mut Child) -> Result<Pid, StartError> {
    let mut line = String::new();
    if let Some(output) = guard.stdout.as_mut() {
        let mut byte = [0];
        while output.read(&mut byte)? == 1 && byte[0] != b'\n' {
            line.push(char::from(byte[0]));
        }
    }
    let process = line.trim().parse().ok().and_then(Pid::from_raw);
    process.ok_or_else(|| StartError::Silent(format!("no process: {line:?}")))
}

/// Whether the server there says that it serves.
pub(crate) fn answers(port: u16) -> bool {
    let ask = || -> std::io::Result<String> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut stream = TcpStream::connect_timeout(&address, ANSWER_TIME_MAX)?;
        stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
        stream.write_all(b"srvr")?;
        let mut said = String::new();
        stream.read_to_string(&mut said)?;
        Ok(said)
    };
    ask().is_ok_and(|said| said.contains("Mode: standalone"))
}
