//! A node that is killed: it says no farewell, and its session ends.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::stage::Stage;
use tokio::io::AsyncReadExt;

/// Names the test below, as the test program is told which one to run.
const TEST: &str = "killed::a_node_that_is_killed_is_seen_and_comes_back";

/// What tells that process of its cluster and its folder.
const DIST: &str = "NODE_OF_TEST_DIST";
const DATA: &str = "NODE_OF_TEST_DATA";

/// A node in a process of its own, which ends with this one.
struct Node {
    child: Child,
}

impl Node {
    fn start(dist: &str, data: &Path) -> Self {
        let program = std::env::current_exe().expect("the program of this test");
        let mut command = Command::new(program);
        command.args(["--exact", TEST, "--nocapture"]);
        command.env(DIST, dist).env(DATA, data);
        // It serves until this is closed.
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let child = command.spawn().expect("the program runs");
        Node { child }
    }

    fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.kill();
        }
    }
}

/// Is the node of that process.
async fn serve(dist: String, data: String) {
    let config = node::Config {
        name: "node4".parse().expect("a name"),
        bind: "127.0.0.1:0".parse().expect("an address"),
        internal_url: None,
        public_url: None,
        data_dir: data.into(),
        max_storage: None,
        catch_up_rate: None,
        distributors: vec![dist],
        access: node::Access::default(),
        cors_origins: Vec::new(),
        workers: 1,
        traces: None,
    };
    let node = node::start(config).await.expect("the node starts");
    let mut rest = Vec::new();
    let mut input = tokio::io::stdin();
    input.read_to_end(&mut rest).await.expect("is closed");
    node.stop().await;
}

// If this fails, a node whose machine lost its power looks well on the page of whoever watches it.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_killed_is_seen_and_comes_back() {
    if let (Ok(dist), Ok(data)) = (std::env::var(DIST), std::env::var(DATA)) {
        return serve(dist, data).await;
    }
    let stage = Stage::set(None).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    stage.open("/").await;
    stage.says("#verdict", "All is well: 3 nodes are up").await;
    let mut node = Node::start(stage.cluster.url(), folder.path());
    // A shard of its own is made for it, and is of no use to others before they have a copy.
    let shards = "[...document.querySelectorAll('#figures div')]
        .some((figure) => figure.innerText.includes('Shards') && figure.innerText.includes('4'))";
    stage.until(shards).await;
    stage.says("#verdict", "All is well: 4 nodes are up").await;
    node.kill();
    stage.says("#node-node4.down", "does not answer").await;
    stage
        .says("#verdict", "node4 does not answer; the others have taken")
        .await;
    let mut node = Node::start(stage.cluster.url(), folder.path());
    stage
        .until("document.querySelector('#node-node4:not(.down)')")
        .await;
    stage.says("#verdict", "All is well: 4 nodes are up").await;
    node.kill();
    stage.end().await;
}
