//! The program that `cargo run` starts: what it prints, how it ends, how it refuses.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

struct Cluster {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
    log: std::process::ChildStderr,
    greeting: String,
}

fn command(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cluster"));
    command.arg("--data").arg(data).args(arguments);
    for name in ["DATABASE_URL", "MAX_STORAGE", "LOG", "LOG_FORMAT", "COPIES"] {
        command.env_remove(name);
    }
    command
}

impl Cluster {
    fn start(data: &Path) -> Self {
        let mut child = command(data, &["--port", "0", "--nodes", "3"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let mut output = BufReader::new(child.stdout.take().expect("its output is piped"));
        let log = child.stderr.take().expect("its log is piped");
        let mut greeting = String::new();
        while !greeting.contains("Ctrl-C") {
            let read = output.read_line(&mut greeting).expect("can be read");
            assert!(read > 0, "it ended instead of serving: {greeting}");
        }
        Cluster {
            child,
            output,
            log,
            greeting,
        }
    }

    /// The commands that it says to try.
    fn commands(&self) -> Vec<String> {
        let after = self
            .greeting
            .lines()
            .skip_while(|line| !line.starts_with("Try"));
        after
            .filter_map(|line| line.strip_prefix("  "))
            .map(str::to_owned)
            .collect()
    }

    fn stop(mut self, signal: Signal) -> String {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("can be signalled");
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).expect("can be read");
        let mut log = String::new();
        self.log.read_to_string(&mut log).expect("can be read");
        let status = self.child.wait().expect("ends");
        assert!(status.success(), "{status}: {rest}");
        let wrong: Vec<&str> = log.lines().filter(|line| !is_of_haste(line)).collect();
        assert!(wrong.is_empty(), "something has gone wrong: {wrong:#?}");
        rest
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // A test that fails must not leave its cluster behind; one that passes has none any more.
        if let Ok(None) = self.child.try_wait() {
            self.child.kill().expect("a running child can be killed");
        }
    }
}

/// Whether a line of the log says no more than that somebody answered late, as on a machine that has no
/// time for it.
fn is_of_haste(line: &str) -> bool {
    let late = [
        "no distributor answers; what is led is still served",
        "does not answer; not used until it does",
    ];
    line.contains(" WARN ") && late.iter().any(|said| line.contains(said))
}

fn shell(command: &str) -> String {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a workspace");
    let output = Command::new("sh")
        .args(["-c", command])
        .current_dir(workspace)
        .env("no_proxy", "127.0.0.1")
        .output()
        .expect("a shell");
    assert!(
        output.status.success(),
        "{command}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}

// If this fails, the first thing that a newcomer tries does not work, or is gone the next day.
#[test]
fn the_commands_it_prints_work_and_what_they_stored_survives() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let cluster = Cluster::start(&data);
    let commands = cluster.commands();
    assert_eq!(commands.len(), 3, "{}", cluster.greeting);
    assert!(commands[0].starts_with("curl -F") && commands[1].starts_with("curl http"));
    let receipt = shell(&commands[0]);
    assert!(
        receipt.contains("Content successfully uploaded"),
        "{receipt}"
    );
    assert!(shell(&commands[1]).contains("README.md"));
    assert!(commands[2].starts_with("cargo run --release --package client -- --url http"));
    assert!(commands[2].ends_with(" list"), "{}", commands[2]);
    assert_eq!(cluster.stop(Signal::INT), "stopping\n");

    let again = Cluster::start(&data);
    assert!(
        shell(&again.commands()[1]).contains("README.md"),
        "it is gone after a restart"
    );
    again.stop(Signal::TERM);
}

fn refusal(data: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let Output {
        status,
        stderr,
        stdout,
    } = command(data, arguments).output().expect("the program runs");
    assert!(stdout.is_empty(), "{}", String::from_utf8_lossy(&stdout));
    (status.code(), String::from_utf8(stderr).expect("text"))
}

// If this fails, a newcomer whose start fails sees a riddle instead of the reason.
#[test]
fn what_prevents_a_start_is_said_in_one_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let file = folder.path().join("file");
    std::fs::write(&file, b"").expect("writes a file");
    // Bound to a port without listening there, so that nobody else does.
    let closed = tokio::net::TcpSocket::new_v4().expect("a socket");
    closed
        .bind(([127, 0, 0, 1], 0).into())
        .expect("a free port");
    let closed_port = closed.local_addr().expect("bound").port();
    let database = format!("postgres://acequia@127.0.0.1:{closed_port}/acequia");
    let data = folder.path().join("data");
    let cases: [(&Path, &[&str], &str); 4] = [
        (&data, &["--port", &port], &port),
        (&file.join("data"), &["--port", "0"], "file/data"),
        (
            &data,
            &["--port", "0", "--database-url", &database],
            "127.0.0.1",
        ),
        (
            &data,
            &["--port", "0", "--database-url", "mysql://x"],
            "mysql",
        ),
    ];
    for (data, arguments, named) in cases {
        let (code, error) = refusal(data, arguments);
        assert_eq!(code, Some(1), "{arguments:?}: {error}");
        assert_eq!(
            error.trim_end().lines().count(),
            1,
            "{arguments:?}: {error}"
        );
        assert!(
            error.starts_with("cluster: ") && error.contains(named),
            "{arguments:?}: {error}"
        );
    }
}

// If this fails, a program that collects logs cannot read why there is no cluster.
#[test]
fn what_prevents_a_start_is_a_line_of_the_log() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let cases: [(&[&str], i32); 2] = [
        (&["--port", "0", "--database-url", "mysql://x"], 1),
        (&["--log", "dist=loud"], 2),
    ];
    for (arguments, expected) in cases {
        let data = folder.path().join("data");
        let mut command = command(&data, arguments);
        let Output { status, stderr, .. } = command
            .env("LOG_FORMAT", "json")
            .output()
            .expect("the program runs");
        assert_eq!(status.code(), Some(expected), "{arguments:?}");
        let line: serde_json::Value = serde_json::from_slice(&stderr).expect("one value of JSON");
        assert_eq!(line["level"], "ERROR", "{line}");
        assert_eq!(line["program"], "cluster", "{line}");
        let named = arguments.last().expect("there is one");
        let message = line["message"].as_str().expect("text");
        assert!(message.contains(&named[..5]), "{line}");
    }
}

// If this fails, a typing mistake starts something else than was meant.
#[test]
fn a_wrong_flag_is_a_usage_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for arguments in [["--nodes", "0"], ["--max-storage", "lots"], ["--prot", "1"]] {
        let (code, error) = refusal(folder.path(), &arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {error}");
    }
}
