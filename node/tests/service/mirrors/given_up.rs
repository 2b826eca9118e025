//! Records that are lost in one copy of two, or in both.

use wire::integrity::{GivenUp, LostReport};
use wire::{Code, ContentId};

use crate::support::{Cluster, break_header, error};

/// Three contents of one shard, the one in the middle of which is to be lost.
async fn store_three(cluster: &Cluster) -> [ContentId; 3] {
    let older = cluster.upload(b"older").await.id;
    let mut stored = vec![older];
    while stored.len() < 3 {
        let id = cluster.upload(b"later").await.id;
        if id.shard() == older.shard() {
            stored.push(id);
        }
    }
    cluster.whole(older).await;
    stored.try_into().expect("three")
}

// If this fails, an operator gives up for good what another node would have brought back.
#[actix_web::test]
async fn what_another_copy_may_have_is_not_given_up() {
    let mut cluster = Cluster::start_mirrored(2).await;
    let [older, lost, _] = store_three(&cluster).await;
    let shard = older.shard();
    let (leader, other) = (cluster.leader(older).await, cluster.follower(older).await);
    cluster.stop_node(other).await;
    cluster
        .until("it goes on alone", || async {
            let record = cluster.record(older).await;
            let update = format!("/update/{older}");
            let update = cluster.ask(reqwest::Method::PUT, leader, &update);
            let sent = update.body("older").send().await;
            record.in_sync.len() == 1 && sent.is_ok_and(|answer| answer.status() == 200)
        })
        .await;
    cluster.stop_node(leader).await;
    break_header(&cluster, (leader, shard), lost);
    cluster.start_node_alone(leader).await;
    cluster
        .until("it leads again", || async {
            let replicas = cluster.lost(leader).await.replicas;
            cluster.stats(leader).await.shards_led > 0 && replicas.len() == 1
        })
        .await;
    let refused = error(cluster.ask_to_give_up(leader, shard, "{}").await).await;
    assert_eq!(refused.code, Code::NeedsForce);
    let name = format!("node{}", other + 1);
    assert!(refused.message.contains(&name), "{}", refused.message);
    cluster.start_node_alone(other).await;
    cluster
        .until("it is repaired from there", || async {
            cluster.lost(leader).await == LostReport::default()
        })
        .await;
    cluster.reads(leader, lost, b"later").await;
    cluster.stop().await;
}

// If this fails, what all copies have lost cannot be given up, since each is thought to have it.
#[actix_web::test]
async fn what_both_copies_have_lost_is_given_up_in_both() {
    let mut cluster = Cluster::start_mirrored(2).await;
    let [older, lost, later] = store_three(&cluster).await;
    let shard = older.shard();
    for place in [0, 1] {
        cluster.stop_node(place).await;
        break_header(&cluster, (place, shard), lost);
    }
    for place in [0, 1] {
        cluster.start_node_alone(place).await;
    }
    cluster.whole(older).await;
    for place in [0, 1] {
        cluster
            .until("it is given up", || async {
                let answer = cluster.ask_to_give_up(place, shard, "{}").await;
                // Neither may be asked before both lead or follow.
                let given_up = answer.json::<GivenUp>().await;
                given_up.is_ok_and(|given_up| given_up.lasting && given_up.left == 0)
            })
            .await;
    }
    for place in [0, 1] {
        assert_eq!(cluster.lost(place).await, LostReport::default());
        cluster.reads(place, older, b"older").await;
        cluster.reads(place, later, b"later").await;
    }
    cluster.stop().await;
}
