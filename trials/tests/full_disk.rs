//! A node whose disk is full to the last block.

use std::path::Path;
use std::time::{Duration, Instant};

use trials::binaries::Binaries;
use trials::command;
use trials::disks::{self, Disk, Fill};
use trials::fleet::{Fleet, Plan};
use trials::http::{self, Outcome};
use wire::content::Receipt;
use wire::placement::Place;
use wire::stats::NodeStats;
use wire::{Code, ContentId, routes};

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(30);

const SMALL_BYTES: usize = 2_000;
const LARGE_BYTES: usize = 900_000;

struct Bed {
    fleet: Fleet,
    client: reqwest::Client,
}

impl Bed {
    async fn start(folder: &Path) -> Bed {
        let plan = Plan {
            folder: folder.to_path_buf(),
            nodes: 1,
            ..Plan::default()
        };
        let binaries = Binaries::for_tests().expect("the services build");
        Bed {
            fleet: Fleet::start(&binaries, &plan).await.expect("starts"),
            client: http::client().expect("a client"),
        }
    }

    fn node(&self) -> &str {
        self.fleet.node_urls().next().expect("there is one node")
    }

    async fn place(&self) -> ContentId {
        let url = format!("{}{}", self.fleet.url(), routes::STORE);
        let place: Place = http::json(self.client.get(url)).await.expect("has room");
        place.id
    }

    async fn put(&self, id: ContentId, bytes: usize) -> Outcome<Receipt> {
        let request = self.client.put(routes::store(self.node(), id));
        http::send(request.body(body(id, bytes))).await
    }

    async fn is_whole(&self, id: ContentId, bytes: usize) -> bool {
        let answer = self.client.get(routes::retrieve(self.node(), id)).send();
        let answer = answer.await.expect("answers");
        let is_there = answer.status().is_success();
        is_there && answer.bytes().await.expect("comes") == body(id, bytes)
    }

    async fn delete(&self, id: ContentId) {
        let begun = Instant::now();
        loop {
            let request = self.client.delete(routes::delete(self.node(), id));
            match http::send::<Receipt>(request).await {
                Outcome::Done(_) => return,
                other => assert!(begun.elapsed() < PATIENCE, "{other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn holes(&self) -> u64 {
        let url = format!("{}{}", self.node(), routes::STATS);
        let stats: NodeStats = http::json(self.client.get(url)).await.expect("answers");
        stats.space.holes
    }
}

fn body(id: ContentId, bytes: usize) -> Vec<u8> {
    id.bytes().into_iter().cycle().take(bytes).collect()
}

// If this fails, a node whose disk is full can neither be started nor be emptied.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_on_a_full_disk_starts_serves_and_gives_space_back() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    if let Some(why) = disks::obstacle(folder.path()) {
        let test = "a_node_on_a_full_disk_starts_serves_and_gives_space_back";
        return command::skipped(test, &why);
    }
    let disk = Disk::make(&folder.path().join("node1")).expect("makes a disk");
    let mut bed = Bed::start(folder.path()).await;
    let (mut stored, mut refused) = (Vec::new(), 0);
    for number in 0..24 {
        let bytes = if number % 4 == 0 {
            LARGE_BYTES
        } else {
            SMALL_BYTES
        };
        let id = bed.place().await;
        assert!(matches!(bed.put(id, bytes).await, Outcome::Done(_)));
        stored.push((id, bytes));
    }
    let mut more = Vec::new();
    for _ in 0..20 {
        more.push(bed.place().await);
    }
    let later = bed.place().await;
    disk.fill(Fill::Whole).expect("fills");
    // What was reserved before takes some of it.
    for id in more {
        match bed.put(id, LARGE_BYTES).await {
            Outcome::Done(_) => stored.push((id, LARGE_BYTES)),
            Outcome::Refused(Code::StorageFull, _) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(refused > 0, "the disk is full");
    disk.fill(Fill::Whole).expect("fills");

    for _ in 0..3 {
        bed.fleet.kill(1).await.expect("ends");
        bed.fleet.spawn(1).expect("runs");
        bed.fleet.together().await.expect("starts on a full disk");
        for (id, bytes) in &stored {
            assert!(bed.is_whole(*id, *bytes).await, "{id}");
        }
    }
    let holes = bed.holes().await;
    for (id, _) in stored.drain(..12) {
        bed.delete(id).await;
    }
    let begun = Instant::now();
    while bed.holes().await < holes + 2 * 800_000 {
        assert!(begun.elapsed() < PATIENCE, "no space comes back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for (id, bytes) in &stored {
        assert!(bed.is_whole(*id, *bytes).await, "{id}");
    }
    disk.free().expect("frees");
    let begun = Instant::now();
    while !matches!(bed.put(later, SMALL_BYTES).await, Outcome::Done(_)) {
        assert!(begun.elapsed() < PATIENCE, "it stays full");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bed.fleet.stop().await.expect("ends cleanly");
}
