//! A node that is told by SIGHUP to read its nodes file again.

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::{Process, Story, client, distributor, free_port, program};

/// A nodes file that can be changed, and the node that reads it.
struct Stage {
    folder: TempDir,
    dist: u16,
    port: u16,
}

impl Stage {
    fn new() -> Self {
        Stage {
            folder: tempfile::tempdir().expect("a folder"),
            dist: free_port(),
            port: free_port(),
        }
    }

    /// Writes the file: what stands at its top, and what stands in the node's entry.
    fn write(&self, top: &str, entry: &str) {
        let Stage { dist, port, .. } = self;
        let text = format!(
            "{top}\nnodes:\n  dist: {{host: 127.0.0.1, port: {dist}}}\n  \
             node1: {{host: 127.0.0.1, port: {port}{entry}}}\n"
        );
        std::fs::write(self.folder.path().join("nodes.yml"), text).expect("writes");
    }

    fn start(&self) -> Process {
        Process::start(&mut program(&self.folder))
    }
}

fn reload(process: &Process) -> String {
    process.signal(Signal::HUP);
    process.says("the settings were read again")
}

fn refused(process: &Process) -> String {
    process.signal(Signal::HUP);
    process.says("the settings stay as they were")
}

async fn max_storage(process: &Process) -> u64 {
    let answer = client().get(format!("{}/stats", process.url)).send().await;
    let stats: Value = answer.expect("answers").json().await.expect("JSON");
    stats["max_storage"].as_u64().expect("a number")
}

// If this fails, a full node must be restarted to be given room, or a signal that should reload a
// service ends it.
#[tokio::test]
async fn bounds_and_the_log_change_while_it_runs() {
    let stage = Stage::new();
    stage.write("", ", max_storage: 100MB");
    let process = stage.start();
    assert_eq!(max_storage(&process).await, 100_000_000);
    let line = reload(&process);
    assert!(line.contains("changed=\"nothing\""), "{line}");

    stage.write("log: debug", ", max_storage: 200MB, catch_up_rate: 0");
    let line = reload(&process);
    let changed = "changed=\"max_storage, catch_up_rate, log\"";
    assert!(line.contains(changed), "{line}");
    assert_eq!(max_storage(&process).await, 200_000_000);
    process.says("DEBUG");

    stage.write("log: info", "");
    reload(&process);
    assert!(max_storage(&process).await > 200_000_000, "the disk's");
    process.signal(Signal::TERM);
    assert_eq!(process.end(), Some(0));
}

// If this fails, a typo in a file changes half of the settings of a node that serves, or ends it.
#[tokio::test]
async fn a_bad_file_changes_nothing_and_is_named() {
    let stage = Stage::new();
    stage.write("", ", max_storage: 100MB");
    let process = stage.start();
    let size = ", max_storage: 300MB";
    for (top, entry, expected) in [
        (
            "",
            ", max_storage: lots",
            "node1: max_storage: `lots` is not",
        ),
        ("", ", max_storage: 300MB, prot: 1", "prot"),
        (
            "log: info,node=loud",
            size,
            "log: `info,node=loud` is not a filter",
        ),
        ("copies: 9", size, "copies: `9`"),
    ] {
        stage.write(top, entry);
        let line = refused(&process);
        assert!(line.contains("ERROR") && line.contains(expected), "{line}");
        assert_eq!(max_storage(&process).await, 100_000_000, "{expected}");
    }
    std::fs::remove_file(stage.folder.path().join("nodes.yml")).expect("removes");
    let line = refused(&process);
    assert!(line.contains("nodes.yml: cannot read"), "{line}");

    stage.write("", size);
    reload(&process);
    assert_eq!(max_storage(&process).await, 300_000_000);
}

// If this fails, somebody believes that a node has moved, and it has not.
#[tokio::test]
async fn what_needs_a_restart_is_said() {
    let stage = Stage::new();
    stage.write("", "");
    let process = stage.start();
    let moved = Stage {
        port: free_port(),
        ..stage
    };
    moved.write("", ", max_storage: 300MB");
    let line = reload(&process);
    assert!(line.contains("changed=\"max_storage\""), "{line}");
    let line = process.says("count after a restart");
    assert!(
        line.contains("settings=\"host, port, public_url\""),
        "{line}"
    );
    assert_eq!(max_storage(&process).await, 300_000_000, "at its old port");
}

// If this fails, all nodes must be restarted when a distributor is added or moves, or clients are
// told an address that is no longer theirs.
#[tokio::test]
async fn distributors_and_addresses_change_while_it_runs() {
    let mut stage = Stage::new();
    let dist = distributor(&stage.folder).await;
    stage.write("", "");
    let process = stage.start();
    let mut story = Story {
        http: client(),
        dist: dist.url().to_owned(),
        node: process.url.clone(),
    };
    assert_eq!(story.place().await, None, "it knows another distributor");
    let port = dist.url().rsplit(':').next().expect("a port");
    stage.dist = port.parse().expect("a number");
    stage.write("", "");
    let line = reload(&process);
    assert!(line.contains("distributors"), "{line}");
    story.used().await;

    stage.write("", ", public_url: 'https://files.example/'");
    reload(&process);
    story.node = "https://files.example/store".to_owned();
    story.used().await;
    drop(process);
    dist.stop().await;
}
