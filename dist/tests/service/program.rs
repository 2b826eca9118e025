//! The program as people and containers run it.

mod early;
mod reload;
mod requests;

use crate::support::{Fresh, Service, free_port};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use uuid::Uuid;

pub(crate) fn dist() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dist"));
    let folder = std::env::temp_dir();
    command
        .env_clear()
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// Starts a program that serves, and waits until it says so.
pub(crate) fn serve(command: &mut Command) -> Child {
    let mut child = command.stderr(Stdio::piped()).spawn().expect("it starts");
    let mut log = BufReader::new(child.stderr.take().expect("its log"));
    let mut line = String::new();
    while !line.contains("the distributor serves") {
        line.clear();
        assert!(
            log.read_line(&mut line).expect("a line") > 0,
            "it ended early"
        );
    }
    // Its log must go somewhere, or it blocks.
    std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    child
}

fn terminate(child: &Child) {
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .arg(pid)
            .status()
            .expect("kill runs")
            .success()
    );
}

fn one_line(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).expect("text");
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

/// Variables, flags, the exit code, and how the line begins.
type Mistake<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str], i32, &'a str);

// If this fails, a typo ends in a stack trace, or a script cannot tell that it failed.
#[test]
fn mistakes_end_with_one_line_and_an_exit_code() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("an address").port().to_string();
    let fresh = Fresh::sqlite();
    let cases: [Mistake<'_>; 10] = [
        (&[("PORT", "x")], &[], 2, "dist: PORT: `x` is not a port"),
        (&[("ANONYMOUS", "all")], &[], 2, "dist: ANONYMOUS: `all`"),
        (
            &[],
            &["--nodes-file", "/nothing.yml"],
            2,
            "dist: --nodes-file: cannot read /nothing.yml: ",
        ),
        (
            &[],
            &["rebuild", "--adopt", "x"],
            2,
            "dist: --adopt: `x` is not a UUID",
        ),
        (
            &[("HOST", "0.0.0.0")],
            &[],
            1,
            "dist: CLUSTER_KEY is needed",
        ),
        (
            &[("HOST", "0.0.0.0"), ("CLUSTER_KEY", "")],
            &[],
            1,
            "dist: CLUSTER_KEY is needed",
        ),
        (
            &[("DATABASE_URL", "postgres://u@127.0.0.1:1/d")],
            &[],
            1,
            "dist: the database at postgres://u@127.0.0.1:1/d cannot be reached",
        ),
        (
            &[("COORDINATOR", "zk:2181")],
            &[],
            2,
            "dist: COORDINATOR: is not zookeeper://HOST:PORT,…/PATH",
        ),
        (
            &[("DATABASE_URL", &fresh.url)],
            &["--coordinator", "zookeeper://127.0.0.1:1"],
            1,
            "dist: the coordinator at zookeeper://127.0.0.1:1/acequia cannot be reached: no server",
        ),
        (
            &[("DATABASE_URL", &fresh.url)],
            &["--port", &taken],
            1,
            "dist: cannot listen on 127.0.0.1",
        ),
    ];
    for (variables, flags, code, expected) in cases {
        let output = dist()
            .envs(variables.iter().copied())
            .args(flags)
            .output()
            .expect("it runs");
        assert_eq!(output.status.code(), Some(code), "{variables:?} {flags:?}");
        let line = one_line(&output);
        assert!(line.starts_with(expected), "{line}");
    }
}

// If this fails, containers are restarted while they are well, or never.
#[tokio::test]
async fn it_serves_tells_its_health_and_ends_cleanly() {
    let fresh = Fresh::sqlite();
    let port = free_port().to_string();
    let health = || {
        dist()
            .args(["--port", &port, "health"])
            .output()
            .expect("it runs")
    };
    assert_eq!(health().status.code(), Some(1), "nobody serves yet");
    let mut child = serve(dist().env("DATABASE_URL", &fresh.url).env("PORT", &port));
    assert_eq!(health().status.code(), Some(0));
    let client = Service::at(&format!("http://127.0.0.1:{port}"));
    assert_eq!(
        client.json("/nodes").await["nodes"]["dist"]["port"].to_string(),
        port
    );
    terminate(&child);
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    assert_eq!(health().status.code(), Some(1));
}

// If this fails, a variable that is not set, and passed on as an empty one, stops the start.
#[tokio::test]
async fn an_empty_key_is_not_set() {
    let fresh = Fresh::sqlite();
    let port = free_port().to_string();
    let mut child = serve(
        dist()
            .args(["--port", &port, "--database-url", &fresh.url])
            .envs([("ACCESS_KEY", ""), ("CLUSTER_KEY", "")]),
    );
    let client = Service::at(&format!("http://127.0.0.1:{port}"));
    assert!(client.json("/nodes").await["nodes"]["dist"].is_object());
    terminate(&child);
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

// If this fails, clients are sent to the port of the nodes file, where nobody listens.
#[tokio::test]
async fn an_overridden_port_is_told_to_others() {
    let fresh = Fresh::sqlite();
    let folder = tempfile::tempdir().expect("a folder");
    let file = "nodes: {dist: {host: 127.0.0.1, port: 1}}";
    std::fs::write(folder.path().join("nodes.yml"), file).expect("written");
    let port = free_port().to_string();
    let mut child = serve(
        dist()
            .current_dir(folder.path())
            .envs([("PORT", &port), ("DATABASE_URL", &fresh.url)]),
    );
    let client = Service::at(&format!("http://127.0.0.1:{port}"));
    let told = client.json("/nodes").await["nodes"]["dist"]["port"].to_string();
    terminate(&child);
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    assert_eq!(told, port);
}

// If this fails, an interrupted rebuild looks as if it were complete.
#[test]
fn an_interrupted_rebuild_fails_and_says_so() {
    let fresh = Fresh::sqlite();
    let mut command = dist();
    command.args(["rebuild", "--adopt", &Uuid::new_v4().to_string()]);
    command.args(["--port", "0", "--database-url", &fresh.url]);
    let mut child = serve(&mut command);
    terminate(&child);
    assert_eq!(child.wait().expect("it ends").code(), Some(1));
}
