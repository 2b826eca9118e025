//! A distributor that is told by SIGHUP to read its nodes file again.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use wire::shard::ShardRecord;

use super::dist;
use crate::support::fake_node::FakeNode;
use crate::support::{Fresh, Service, free_port};

const PATIENCE: Duration = Duration::from_secs(20);

/// A distributor whose log is read.
pub(super) struct Process {
    child: Child,
    log: Receiver<String>,
    folder: TempDir,
    _database: Fresh,
    port: u16,
}

impl Process {
    pub(super) fn start(top: &str) -> Self {
        let (folder, database) = (tempfile::tempdir().expect("a folder"), Fresh::sqlite());
        let port = free_port();
        write(&folder, port, top, "");
        let mut command = dist();
        command
            .current_dir(folder.path())
            .env("DATABASE_URL", &database.url)
            .env("SESSION", "0.6")
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let lines = BufReader::new(child.stderr.take().expect("its log")).lines();
        // Its log is read on, so that the pipe never fills up.
        let (said, log) = channel();
        std::thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .try_for_each(|line| said.send(line))
        });
        let process = Process {
            child,
            log,
            folder,
            _database: database,
            port,
        };
        process.says("the distributor serves");
        process
    }

    fn write(&self, top: &str, entry: &str) {
        write(&self.folder, self.port, top, entry);
    }

    pub(super) fn service(&self) -> Service {
        Service::at(&format!("http://127.0.0.1:{}", self.port))
    }

    /// The next line of its log with these words.
    pub(super) fn says(&self, words: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let rest = deadline.checked_duration_since(Instant::now());
            let line = rest.and_then(|rest| self.log.recv_timeout(rest).ok());
            let line = line.unwrap_or_else(|| panic!("it does not say `{words}`"));
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Sends it SIGHUP, and waits for this word about it.
    fn reload(&self, words: &str) -> String {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-HUP", &pid]).status();
        assert!(sent.expect("kill runs").success());
        self.says(words)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn write(folder: &TempDir, port: u16, top: &str, entry: &str) {
    let text = format!("{top}\nnodes:\n  dist: {{host: 127.0.0.1, port: {port}{entry}}}\n");
    std::fs::write(folder.path().join("nodes.yml"), text).expect("written");
}

const DONE: &str = "the settings were read again";

// If this fails, clients are told an address that a proxy no longer has, until every distributor was
// restarted; or a typo in the file ends the distributor.
#[tokio::test]
async fn what_clients_are_told_changes_while_it_runs() {
    let mut process = Process::start("");
    let service = process.service();
    let told = async || service.json("/nodes").await["nodes"]["dist"]["public_url"].clone();
    let filter = "log: 'info,actix_http=trace'";
    process.write(filter, ", public_url: 'https://files.example/'");
    let line = process.reload(DONE);
    assert!(line.contains("changed=\"host, public_url, log\""), "{line}");
    assert_eq!(told().await, "https://files.example");
    process.says("TRACE");

    process.write("log: info", ", public_url: 'files.example'");
    let line = process.reload("the settings stay as they were");
    assert!(line.contains("dist: public_url: `files.example`"), "{line}");
    assert_eq!(told().await, "https://files.example");

    process.port = free_port();
    process.write("log: info", "");
    process.reload(DONE);
    let line = process.says("count after a restart");
    assert!(
        line.contains("settings=\"host, port, public_url\""),
        "{line}"
    );
    assert_eq!(told().await, "https://files.example");
}

// If this fails, a cluster goes on keeping as few copies as before it was told to keep more.
#[tokio::test]
async fn copies_change_while_it_runs() {
    let process = Process::start("copies: 1");
    let service = process.service();
    let (mut first, mut second) = (
        FakeNode::start("node1").await,
        FakeNode::start("node2").await,
    );
    let shard = first.join(&service).await;
    second.join(&service).await;
    let path = format!("/shards/{shard}");
    let copies = async || {
        let record = service.json(&path).await;
        let record: ShardRecord = serde_json::from_value(record).expect("a record");
        record.replicas.len()
    };
    assert_eq!(copies().await, 1);
    process.write("copies: 2", "");
    let wanted = async || service.json("/nodes").await["copies"].clone();
    assert_eq!(wanted().await, 1);
    let line = process.reload(DONE);
    assert!(line.contains("changed=\"copies\""), "{line}");
    assert_eq!(wanted().await, 2);
    service
        .until(async || {
            first.obey(&service).await;
            second.obey(&service).await;
            copies().await == 2
        })
        .await;
}
