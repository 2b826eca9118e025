//! A node is killed: what its shards' uploads wait for, the other shards' do not.

use std::time::{Duration, Instant};

use trials::binaries::Binaries;
use trials::fleet::{Fleet, Plan};
use trials::http::{self, Outcome};
use trials::torture::copies;
use wire::content::Receipt;
use wire::membership::NodesAnswer;
use wire::placement::Place;
use wire::routes;

/// So many places in a row that need a node not are no chance.
const IN_A_ROW: usize = 20;

/// Long enough that nobody has lost anything but a connection by then.
const SESSION: Duration = Duration::from_secs(10);

// If this fails, every upload waits for a session when a node dies, since each is sent to shards that wait.
#[tokio::test]
async fn uploads_go_to_shards_that_do_not_wait_for_a_killed_node() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = Plan {
        folder: folder.path().to_path_buf(),
        nodes: 3,
        session: Some(SESSION),
        ..Plan::default()
    };
    let binaries = Binaries::for_tests().expect("the services build");
    let mut fleet = Fleet::start(&binaries, &plan).await.expect("starts");
    copies::sets_complete(&fleet).await.expect("comes together");
    let client = http::blunt_client(Duration::from_secs(2)).expect("a client");
    let url = format!("{}{}", fleet.url(), routes::NODES);
    let answer: NodesAnswer = http::json(client.get(url)).await.expect("answers");
    let is_of = |name: &str, set: &[wire::NodeName]| set.iter().any(|node| node.as_str() == name);
    let needs_not = |name: &str| answer.shards.iter().any(|one| !is_of(name, &one.in_sync));
    let leads = |name: &str| {
        answer.shards.iter().any(|one| {
            one.leader
                .as_ref()
                .is_some_and(|leader| leader.as_str() == name)
        })
    };
    let mut places = fleet.node_places();
    let victim = places.find(|place| needs_not(fleet.name(*place)) && leads(fleet.name(*place)));
    let victim = victim.expect("three nodes share the shards");
    let name = fleet.name(victim).to_owned();
    fleet.kill(victim).await.expect("runs");
    let killed = Instant::now();
    let url = format!("{}{}", fleet.url(), routes::STORE);
    let next = async || -> Place { http::json(client.get(&url)).await.expect("has room") };
    let entry_of = |place: &Place| {
        let mut shards = answer.shards.iter();
        let entry = shards.find(|one| one.shard == place.id.shard());
        entry.expect("a known shard")
    };
    // The others' links to a node break when its process ends, and they say so at once.
    let mut avoided = 0;
    while avoided < IN_A_ROW {
        assert!(killed.elapsed() < SESSION / 2, "nobody avoids {name}");
        let needs_it = is_of(&name, &entry_of(&next().await).in_sync);
        avoided = if needs_it { 0 } else { avoided + 1 };
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for _ in 0..40 {
        let place = next().await;
        let entry = entry_of(&place);
        assert!(!is_of(&name, &entry.in_sync), "{name}: {entry:?}");
        let node = place.uri.trim_end_matches(routes::STORE);
        let request = client.put(routes::store(node, place.id)).body("a");
        let stored = http::send::<Receipt>(request).await;
        assert!(matches!(stored, Outcome::Done(_)), "{stored:?}");
    }
    assert!(
        killed.elapsed() < SESSION,
        "that took {:?}",
        killed.elapsed()
    );
    fleet.stop().await.expect("ends");
}
