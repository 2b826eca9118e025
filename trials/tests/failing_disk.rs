//! Nodes whose disks fail under them, for a while.

use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use trials::binaries::Binaries;
use trials::command;
use trials::failing::{self, Failing, FailingDisk};
use trials::fleet::{Fleet, Plan};
use trials::http::{self, Outcome};
use trials::torture::copies;
use wire::content::Receipt;
use wire::membership::NodesAnswer;
use wire::placement::Place;
use wire::{ContentId, routes};

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(30);

struct Bed {
    fleet: Fleet,
    client: reqwest::Client,
}

impl Bed {
    /// Two nodes, each with a copy of everything; none when no disk can fail here.
    async fn start(test: &str, folder: &Path) -> Option<Bed> {
        if let Some(why) = failing::obstacle(folder) {
            command::skipped(test, &why);
            return None;
        }
        let plan = Plan {
            folder: folder.to_path_buf(),
            nodes: 2,
            ..Plan::default()
        };
        let binaries = Binaries::for_tests().expect("the services build");
        let fleet = Fleet::start(&binaries, &plan).await.expect("starts");
        copies::sets_complete(&fleet).await.expect("comes together");
        let client = http::blunt_client(Duration::from_secs(4)).expect("a client");
        Some(Bed { fleet, client })
    }

    async fn nodes(&self) -> NodesAnswer {
        let url = format!("{}{}", self.fleet.url(), routes::NODES);
        http::json(self.client.get(url)).await.expect("answers")
    }

    /// Stores a content at the node that leads an open shard.
    async fn store(&self, bytes: &'static str) -> (ContentId, String, Outcome<Receipt>) {
        let url = format!("{}{}", self.fleet.url(), routes::STORE);
        let place: Place = http::json(self.client.get(url)).await.expect("has room");
        let node = place.uri.trim_end_matches(routes::STORE).to_owned();
        let request = self.client.put(routes::store(&node, place.id)).body(bytes);
        (place.id, node, http::send(request).await)
    }

    async fn get(&self, node: &str, id: ContentId) -> (StatusCode, String) {
        let answer = self.client.get(routes::retrieve(node, id)).send();
        let answer = answer.await.expect("answers");
        (answer.status(), answer.text().await.unwrap_or_default())
    }

    fn fails(&self, place: usize, what: Failing) -> FailingDisk {
        let service = self.fleet.service(place).expect("runs");
        FailingDisk::begin(service.process_id().expect("runs"), what).expect("is traced")
    }
}

/// The last lines that each service has logged.
fn logged(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).expect("is there").flatten();
    let logs = entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(".log"));
    let mut told = String::new();
    for log in logs {
        let text = std::fs::read_to_string(log.path()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(40)..];
        let name = log.file_name();
        told.push_str(&format!(
            "{}\n{}\n",
            name.to_string_lossy(),
            last.join("\n")
        ));
    }
    told
}

// If this fails, a disk that loses what is written to it is believed, or takes its shards along.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_synced_is_not_acknowledged_and_others_go_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let test = "what_cannot_be_synced_is_not_acknowledged_and_others_go_on";
    let Some(mut bed) = Bed::start(test, folder.path()).await else {
        return;
    };
    let (kept, ..) = bed.store("kept").await;
    let both = [bed.fails(1, Failing::Syncs), bed.fails(2, Failing::Syncs)];
    let (lost, _, outcome) = bed.store("lost").await;
    assert!(!matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    drop(both);
    for place in [1, 2] {
        bed.fleet.kill(place).await.expect("ends");
        bed.fleet.spawn(place).expect("runs");
    }
    bed.fleet.together().await.expect("starts");
    copies::sets_complete(&bed.fleet)
        .await
        .expect("comes together");

    // One of the two: what it leads stops there, and goes on at the other one.
    let failing = bed.fails(1, Failing::Syncs);
    let begun = Instant::now();
    let is_halted = |answer: &NodesAnswer| {
        let mut replicas = answer.shards.iter().flat_map(|entry| &entry.replicas);
        replicas.any(|replica| replica.node.as_str() == "node1" && replica.progress.halted)
    };
    loop {
        let (_, _, outcome) = bed.store("later").await;
        let answer = bed.nodes().await;
        let elsewhere = |entry: &wire::membership::ShardEntry| {
            let leader = entry.leader.as_ref();
            leader.is_some_and(|leader| leader.as_str() == "node2")
        };
        let all_elsewhere = answer.shards.iter().all(elsewhere);
        if is_halted(&answer) && all_elsewhere && matches!(outcome, Outcome::Done(_)) {
            break;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{outcome:?}, {answer:?}\n{}",
            logged(folder.path())
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(failing);
    bed.fleet.kill(1).await.expect("ends");
    bed.fleet.spawn(1).expect("runs");
    bed.fleet.together().await.expect("starts");
    copies::sets_complete(&bed.fleet)
        .await
        .expect("comes together");
    let second = bed
        .fleet
        .node_urls()
        .nth(1)
        .expect("there are two")
        .to_owned();
    let (status, _) = bed.get(&second, kept).await;
    assert!(status.is_success() || status.is_redirection(), "{status}");
    // Without an answer it may be there, or not; it is not a half of itself.
    let (status, text) = bed.get(&second, lost).await;
    assert!(!status.is_success() || text == "lost", "{text}");
    bed.fleet.stop().await.expect("ends cleanly");
}

// If this fails, a copy on a disk that cannot be read hides the one that can.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_cannot_be_read_is_read_elsewhere() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let test = "a_copy_that_cannot_be_read_is_read_elsewhere";
    let Some(bed) = Bed::start(test, folder.path()).await else {
        return;
    };
    let (id, node, outcome) = bed.store("read me").await;
    assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    let place = bed.fleet.place_of(&node).expect("is one of them");
    let failing = bed.fails(place, Failing::Reads);
    let (status, text) = bed.get(&node, id).await;
    assert_eq!(status, StatusCode::TEMPORARY_REDIRECT, "{text}");
    let client = http::client().expect("a client");
    let answer = client.get(routes::retrieve(&node, id)).send();
    let answer = answer.await.expect("answers");
    assert_eq!(answer.text().await.expect("comes"), "read me");
    drop(failing);
    assert_eq!(
        bed.get(&node, id).await,
        (StatusCode::OK, "read me".to_owned())
    );
    bed.fleet.stop().await.expect("ends cleanly");
}
