//! A node whose disk damaged the end of its logs, and that is started again at once.

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use trials::binaries::Binaries;
use trials::fleet::{Fleet, Plan};
use trials::http;
use trials::torture::{copies, flip};
use wire::content::Receipt;
use wire::placement::Place;
use wire::{ContentId, routes};

/// Contents that are stored before each damage: their records are newer than what heartbeats tell.
const CONTENTS: u32 = 12;

/// Restarts; in most of them the damaged node would be taken for the one that has most.
const ROUNDS: u32 = 3;

async fn store(fleet: &Fleet, client: &reqwest::Client, text: &str) -> ContentId {
    let url = format!("{}{}", fleet.url(), routes::STORE);
    let place: Place = http::json(client.get(url)).await.expect("has room");
    let node = place.uri.trim_end_matches(routes::STORE).to_owned();
    let request = client.put(routes::store(&node, place.id));
    let stored: anyhow::Result<Receipt> = http::json(request.body(text.to_owned())).await;
    assert!(!stored.expect("is acknowledged").degraded);
    place.id
}

async fn is_there(fleet: &Fleet, client: &reqwest::Client, id: ContentId, text: &str) -> bool {
    for node in fleet.node_urls() {
        let answer = client.get(routes::retrieve(node, id)).send().await;
        if let Ok(answer) = answer
            && answer.status().is_success()
        {
            return answer.text().await.is_ok_and(|read| read == text);
        }
    }
    false
}

// If this fails, a leader that lost the end of its log to damage leads again after a quick restart, and what
// was acknowledged, and is whole on its mirror, is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_end_takes_nothing_that_another_one_has() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let plan = Plan {
        folder: folder.path().to_path_buf(),
        nodes: 3,
        ..Plan::default()
    };
    let binaries = Binaries::for_tests().expect("the services build");
    let mut fleet = Fleet::start(&binaries, &plan).await.expect("starts");
    let client = http::blunt_client(Duration::from_secs(4)).expect("a client");
    let mut chance = StdRng::seed_from_u64(7);
    copies::sets_complete(&fleet).await.expect("comes together");
    let mut stored = Vec::new();
    for round in 0..ROUNDS {
        for number in 0..CONTENTS {
            let text = format!("content {number} of round {round}");
            stored.push((store(&fleet, &client, &text).await, text));
        }
        fleet.kill(1).await.expect("ends");
        let damaged = flip::ends(&fleet.data(1), &mut chance).expect("is damaged");
        assert!(damaged > 0, "nothing was put to the test");
        fleet.spawn(1).expect("starts");
        fleet.together().await.expect("serves");
        copies::sets_complete(&fleet).await.expect("comes together");
        for (id, text) in &stored {
            assert!(is_there(&fleet, &client, *id, text).await, "{text}");
        }
    }
    fleet.stop().await.expect("ends in order");
}
