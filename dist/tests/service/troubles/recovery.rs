//! An operator's choice of a copy, when all who had everything are gone.

use crate::support::fake_node::FakeNode;
use crate::support::{Fresh, SESSION, Service, answer, ask, at, follow, row, upserts};
use serde_json::{Value, json};
use uuid::Uuid;
use wire::membership::ReplicaReport;
use wire::shard::{ChangeShard, Leader, Member, ShardRecord};
use wire::{Lsn, ShardNo};

crate::on_every_coordinator! {
    a_copy_is_chosen_and_the_catalog_forgets,
    a_restored_register_need_not_wait_for_ever,
}

async fn record(dist: &Service, shard: ShardNo) -> ShardRecord {
    let record = dist.json(&format!("/shards/{shard}")).await;
    serde_json::from_value(record).expect("a record")
}

/// Asks again while it is not known who lives, as the answer says: on a busy machine a heartbeat is late.
async fn choose(dist: &Service, shard: ShardNo, choice: Value) -> (u16, Value) {
    let path = format!("/shards/{shard}/recover");
    let begun = std::time::Instant::now();
    loop {
        let (status, said) = answer(dist.post(&path).json(&choice)).await;
        if status != 503 || begun.elapsed().as_secs() >= 10 {
            return (status, said);
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

/// Node 1 leads a shard alone, which reached (1, 120); the others hold copies of it that ended
/// before.
struct Scene {
    dist: Service,
    nodes: Vec<FakeNode>,
    shard: ShardNo,
}

impl Scene {
    async fn new(fresh: &Fresh) -> Scene {
        let dist = Service::start(fresh.config()).await;
        let mut nodes = Vec::new();
        for name in ["node1", "node2", "node3"] {
            let mut node = FakeNode::start(name).await;
            node.join(&dist).await;
            nodes.push(node);
        }
        let shard = nodes[0].heartbeat.replicas[0].shard;
        let mut record = record(&dist, shard).await;
        record.version += 1;
        for (n, lsn) in [(0, 120), (1, 100), (2, 90)] {
            let mut copy = ReplicaReport {
                end: at(1, lsn),
                committed: Lsn(lsn),
                contents: lsn,
                log: Some(record.log),
                ..nodes[0].heartbeat.replicas[0].clone()
            };
            if n == 0 {
                nodes[0].heartbeat.replicas[0] = copy;
                continue;
            }
            copy.replica = Uuid::new_v4();
            record.replicas.push(Member {
                node: nodes[n].name.clone(),
                replica: copy.replica,
            });
            nodes[n].heartbeat.replicas.push(copy);
        }
        let scene = Scene { dist, nodes, shard };
        scene.beat(3).await;
        let path = format!("/shards/{shard}");
        let change = ChangeShard { record };
        scene
            .dist
            .until(async || {
                scene.beat(3).await;
                let (status, changed) = answer(scene.dist.post(&path).json(&change)).await;
                status == 200 && changed["record"]["version"] == change.record.version
            })
            .await;
        // From then on it is known who lives.
        scene
            .dist
            .until(async || {
                scene.beat(3).await;
                scene.dist.ask("GET", "/recovery").await.0 == 200
            })
            .await;
        scene
    }

    /// The last so many of the nodes say that they are there.
    async fn beat(&self, last: usize) {
        for node in &self.nodes[3 - last..] {
            node.beat(&self.dist).await;
        }
    }

    /// The shard, when it waits in this way, while node 1 is silent.
    async fn waiting(&self, restored: bool) -> Value {
        let mut found = Value::Null;
        self.dist
            .until(async || {
                self.beat(2).await;
                let (status, body) = self.dist.ask("GET", "/recovery").await;
                let items = body["items"].as_array().cloned().unwrap_or_default();
                let waits = items.into_iter().find(|item| item["shard"] == self.shard.0);
                found = waits.unwrap_or_default();
                status == 200 && found["restored"] == restored
            })
            .await;
        found
    }

    async fn choose(&self, choice: Value) -> (u16, Value) {
        self.beat(2).await;
        choose(&self.dist, self.shard, choice).await
    }
}

// If this fails, a shard whose disks are lost is lost whole, although copies of most of it are there;
// or the catalog names contents that nobody has.
async fn a_copy_is_chosen_and_the_catalog_forgets(fresh: Fresh) {
    let mut scene = Scene::new(&fresh).await;
    let shard = scene.shard;
    let rows = (1..=3).map(|number| row(shard.0, number));
    let listed = vec![upserts(shard.0, at(0, 0), at(1, 120), rows)];
    assert_eq!(scene.dist.list(listed).await.0, 200);
    scene.beat(3).await;
    let (status, led) = choose(&scene.dist, shard, json!({"node": "node2", "force": true})).await;
    assert_eq!((status, &led["code"]), (409, &json!("not_waiting")));

    let waiting = scene.waiting(false).await;
    assert_eq!(waiting["listed"], json!({"epoch": 1, "lsn": 120}));
    let copies = waiting["copies"].as_array().expect("copies");
    let first = &copies[0];
    assert_eq!(
        (&first["node"], &first["loss"]["records"]),
        (&json!("node2"), &json!(20))
    );
    assert_eq!(copies[1]["objections"], json!(["behind"]));
    assert_eq!(
        (&copies[2]["alive"], &copies[2]["loss"]),
        (&json!(false), &json!(null))
    );
    let nodes = scene.dist.json("/nodes").await;
    let entry = nodes["shards"].as_array().expect("shards").iter();
    let waits = entry.filter(|entry| entry["waits"] == true).count();
    assert_eq!(waits, 1);

    for (node, code) in [
        ("node1", "no_copy"),
        ("node9", "no_copy"),
        ("node3", "needs_force"),
    ] {
        let (status, refused) = scene.choose(json!({"node": node})).await;
        assert_eq!((status, &refused["code"]), (409, &json!(code)), "{node}");
    }
    let before = record(&scene.dist, shard).await.epoch;
    let (status, done) = scene.choose(json!({"node": "node2"})).await;
    assert_eq!(
        (status, &done["epoch"]),
        (200, &json!(before.next())),
        "{done}"
    );
    assert_eq!(done["over"], json!(["node3", "node1"]));
    let now = record(&scene.dist, shard).await;
    assert!(now.is_led_by(&scene.nodes[1].name, scene.nodes[1].heartbeat.incarnation));
    assert_eq!((now.in_sync.len(), now.lineage), (1, 1));
    let text = scene.dist.request("GET", "/metrics").send().await;
    let text = text.expect("an answer").text().await.expect("text");
    assert!(
        text.contains("acequia_dist_unclean_recoveries_total 1"),
        "{text}"
    );

    // The catalog is where no log is, and takes nothing that the old leader sends late.
    let late = follow(shard.0, at(1, 120), at(1, 121), Vec::new());
    let (_, outcome) = scene.dist.list(vec![late]).await;
    assert_eq!(outcome["parts"][0]["applied"], false);
    let (_, asked) = scene.dist.list(vec![ask(shard.0)]).await;
    assert_eq!(
        asked["parts"][0]["listed"],
        json!({"epoch": before, "lsn": 0})
    );

    comes_back(&mut scene, &now).await;
    scene.dist.stop().await;
}

/// The old leader comes back, as the process that it was, and proposes what it knows.
async fn comes_back(scene: &mut Scene, now: &ShardRecord) {
    let told = scene.nodes[0].obey(&scene.dist).await;
    assert!(!told.want_records);
    let proposal = ShardRecord {
        leader: Some(Leader {
            member: now.in_sync[0].clone(),
            incarnation: scene.nodes[0].heartbeat.incarnation,
        }),
        lineage: 0,
        version: now.version + 1,
        ..now.clone()
    };
    let path = format!("/shards/{}", scene.shard);
    let change = ChangeShard { record: proposal };
    let (_, changed) = answer(scene.dist.post(&path).json(&change)).await;
    assert_eq!(changed["changed"], false, "{changed}");
    assert_eq!(record(&scene.dist, scene.shard).await.leader, now.leader);
}

// If this fails, a register from a backup waits for ever for a disk that is lost, or whoever comes
// back with it takes the shard from those who went on.
async fn a_restored_register_need_not_wait_for_ever(fresh: Fresh) {
    let mut scene = Scene::new(&fresh).await;
    let shard = scene.shard;
    scene.waiting(false).await;
    // Nodes 2 and 3 obey a record that the register does not know any more.
    let mut later = record(&scene.dist, shard).await;
    later.version += 5;
    later.in_sync = later.replicas.clone();
    for node in &mut scene.nodes[1..] {
        let held = node.heartbeat.replicas.last_mut().expect("a copy");
        held.record_version = later.version;
        held.record_mark = Some(later.mark());
        held.record = Some(later.clone());
    }
    let waiting = scene.waiting(true).await;
    assert_eq!(waiting["leader"], json!(null));
    assert_eq!(waiting["copies"][0]["part"], "in_sync");
    let (status, done) = scene.choose(json!({"node": "node2"})).await;
    assert_eq!(status, 200, "{done}");

    // Node 1 knew of a still later one.
    let mut latest = later.clone();
    latest.version += 90;
    let held = &mut scene.nodes[0].heartbeat.replicas[0];
    held.record_version = latest.version;
    held.record_mark = Some(latest.mark());
    held.record = Some(latest);
    let until = std::time::Instant::now() + 2 * SESSION;
    while std::time::Instant::now() < until {
        scene.beat(3).await;
        let now = record(&scene.dist, shard).await;
        let leader = now.leader.expect("it stays led").member.node;
        assert_eq!((leader, now.lineage), (scene.nodes[1].name.clone(), 2));
        tokio::time::sleep(SESSION / 20).await;
    }
    scene.dist.stop().await;
}
