//! Which cluster a node belongs to, and whom it obeys.

use std::fs;

use reqwest::StatusCode;
use wire::Code;
use wire::content::Status;
use wire::membership::{NodesAnswer, ShardMap};
use wire::shard::{ShardNews, ShardState};

use crate::support::{Cluster, error};

// If this fails, one distributor that is down takes the nodes with it that know another.
#[tokio::test]
async fn a_node_turns_to_another_distributor() {
    // Bound to a port without listening there, so that nobody else does.
    let nobody = tokio::net::TcpSocket::new_v4().expect("a socket");
    nobody
        .bind(([127, 0, 0, 1], 0).into())
        .expect("a free port");
    let silent = format!("http://{}", nobody.local_addr().expect("bound"));
    let cluster =
        Cluster::start_with(1, |config| config.distributors.insert(0, silent.clone())).await;
    assert_eq!(cluster.store(0, b"x").await.status, Status::Ok);
    cluster.stop().await;
}

// If this fails, a typo in an address merges two clusters, and one overwrites the other's catalog.
#[tokio::test]
async fn a_node_does_not_obey_another_clusters_distributor() {
    let mut ours = Cluster::start(1).await;
    let theirs = Cluster::start(0).await;
    let stored = ours.store(0, b"ours").await;
    ours.stop_node(0).await;
    ours.reconfigure(0, |config| config.distributors = vec![theirs.dist_url()]);
    ours.start_node_alone(0).await;

    assert_eq!(ours.bytes(0, stored.id).await, b"ours");
    let delete = ours.ask(
        reqwest::Method::DELETE,
        0,
        &format!("/delete/{}", stored.id),
    );
    assert_eq!(
        error(delete.send().await.expect("answers")).await.code,
        Code::NoLeader
    );
    assert!(theirs.listed(stored.id).await.is_none());
    assert_eq!(ours.stats(0).await.shards_led, 0);

    // Back home it goes on.
    ours.stop_node(0).await;
    let home = ours.dist_url();
    ours.reconfigure(0, |config| config.distributors = vec![home]);
    ours.start_node(0).await;
    assert_eq!(ours.store(0, b"more").await.status, Status::Ok);
    ours.stop().await;
    theirs.stop().await;
}

// If this fails, a node that is to lead hears of it only with its next heartbeat, or obeys anyone.
#[tokio::test]
async fn a_newer_record_is_obeyed_at_once_and_only_of_its_own_cluster() {
    let cluster = Cluster::start(1).await;
    cluster.store(0, b"x").await;
    let client = reqwest::Client::new();
    let asked = client
        .get(format!("{}/shards", cluster.dist_url()))
        .send()
        .await;
    let map: ShardMap = asked.expect("answers").json().await.expect("a map");
    let asked = client
        .get(format!("{}/nodes", cluster.dist_url()))
        .send()
        .await;
    let nodes: NodesAnswer = asked.expect("answers").json().await.expect("nodes");
    let mut record = map.shards[0].clone();
    record.version += 1;
    record.state = ShardState::Closed;
    let tell = |cluster_id| {
        let news = ShardNews {
            cluster: cluster_id,
            record: record.clone(),
        };
        let path = format!("/shards/{}", record.shard);
        cluster
            .ask(reqwest::Method::POST, 0, &path)
            .json(&news)
            .send()
    };
    let refused = tell(uuid::Uuid::new_v4()).await.expect("answers");
    assert_eq!(error(refused).await.code, Code::WrongCluster);
    assert_eq!(cluster.stats(0).await.shards_open, 1);
    let told = tell(nodes.cluster).await.expect("answers");
    assert_eq!(told.status(), StatusCode::NO_CONTENT);
    cluster
        .until("the shard is closed", || async {
            cluster.stats(0).await.shards_open == 0
        })
        .await;
    cluster.stop().await;
}

// If this fails, two processes, or two nodes, write into one directory.
#[tokio::test]
async fn a_data_directory_is_one_nodes_and_one_process_s() {
    let mut cluster = Cluster::start(1).await;
    let dir = cluster.data_dir(0).to_owned();
    let config = |name: &str| node::Config {
        name: name.parse().expect("a name"),
        bind: ([127, 0, 0, 1], 0).into(),
        internal_url: None,
        public_url: None,
        data_dir: dir.clone(),
        max_storage: None,
        catch_up_rate: None,
        distributors: Vec::new(),
        access: node::Access::default(),
        cors_origins: Vec::new(),
        workers: 1,
        traces: None,
    };
    let refused = |config| async {
        node::start(config)
            .await
            .err()
            .expect("refused")
            .to_string()
    };
    assert!(
        refused(config("node1"))
            .await
            .ends_with("is in use by another process")
    );
    cluster.stop_node(0).await;
    let other = refused(config("node2")).await;
    assert!(
        other.ends_with("belongs to the node `node1`, not to `node2`"),
        "{other}"
    );
    cluster.stop().await;
}

// If this fails, one shard that cannot be opened hides the others, or its node does not start.
#[tokio::test]
async fn a_shard_that_cannot_be_opened_is_left_out() {
    let mut cluster = Cluster::start(1).await;
    let stored = cluster.store(0, b"x").await;
    cluster.stop_node(0).await;
    let folder = cluster.data_dir(0).join("shards/1");
    fs::write(folder.join("replica.json"), "{").expect("writes");
    cluster.start_node(0).await;

    // It takes new contents, in another shard, and does not say that the old one never was.
    let more = cluster.store(0, b"y").await;
    assert_ne!(more.id.shard(), stored.id.shard());
    let hidden = cluster.get(0, &format!("/retrieve/{}", stored.id)).await;
    assert_eq!(hidden.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(error(hidden).await.code, Code::NoLeader);
    cluster.stop().await;
}
