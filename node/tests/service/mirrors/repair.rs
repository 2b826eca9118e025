//! A damaged copy: the client is served from the other one, and it is repaired from that.

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use wire::{Code, ContentId, ShardNo};

use super::said;
use crate::support::{Cluster, error, flip, noise, receipt, twist};

/// A small content, one that is one record, and one of chunks.
async fn store_three(cluster: &Cluster) -> Vec<(ContentId, Vec<u8>)> {
    let mut stored = Vec::new();
    for (seed, size) in [(31, 2_000), (32, 600_000), (33, 3 << 20)] {
        let bytes = noise(size, seed);
        let id = cluster.upload(&bytes).await.id;
        cluster.whole(id).await;
        stored.push((id, bytes));
    }
    // A later record tells that these are committed: damage above the known commit is cut off by a
    // start, and replicated again.
    let mut shards: BTreeSet<ShardNo> = stored.iter().map(|(id, _)| id.shard()).collect();
    while !shards.is_empty() {
        shards.remove(&cluster.upload(b"later").await.id.shard());
    }
    stored
}

/// Damages all that the stopped node at `place` has of some contents.
fn damage(cluster: &Cluster, place: usize, stored: &[(ContentId, Vec<u8>)]) {
    for (id, bytes) in stored {
        let middle = bytes.len() / 2;
        flip(cluster, (place, id.shard()), &bytes[middle..middle + 200]);
    }
}

/// Reads everything at a node with damage, and waits until it is repaired.
async fn reads_and_is_repaired(cluster: &Cluster, place: usize, stored: &[(ContentId, Vec<u8>)]) {
    for (id, bytes) in stored {
        cluster
            .until("the node answers for itself", || async {
                let answer = cluster.get(place, &format!("/info/{id}")).await;
                answer.status() == StatusCode::OK
            })
            .await;
        // Of a large content some bytes were sent before the damage was met: the connection breaks,
        // and the next request is answered by the other copy.
        let read = match cluster.read_through(place, *id).await {
            None if bytes.len() > 256 << 10 => cluster.read_through(place, *id).await,
            read => read,
        };
        assert!(read.as_ref() == Some(bytes), "{} bytes", bytes.len());
    }
    cluster.mended(place).await;
    for (id, bytes) in stored {
        cluster.is_right_everywhere(*id, bytes).await;
    }
    let repairs = cluster.measure(place, "acequia_node_repairs_total").await;
    assert!(repairs >= 3, "{repairs}");
}

// If this fails, a disk that flips bits under a follower takes copies for good, and nobody sees it.
#[actix_web::test]
async fn a_followers_damage_is_mended_from_the_leader() {
    let mut cluster = Cluster::start_mirrored(2).await;
    let stored = store_three(&cluster).await;
    let follower = cluster.follower(stored[0].0).await;
    cluster.stop_node(follower).await;
    damage(&cluster, follower, &stored);
    cluster.start_node_alone(follower).await;
    cluster.whole(stored[0].0).await;
    reads_and_is_repaired(&cluster, follower, &stored).await;
    cluster.stop().await;
}

// If this fails, a leader serves errors although a mirror has the content, or mends nothing.
#[actix_web::test]
async fn a_leaders_damage_is_mended_from_a_follower() {
    let mut cluster = Cluster::start_mirrored(2).await;
    let stored = store_three(&cluster).await;
    let leader = cluster.leader(stored[0].0).await;
    cluster.stop_node(leader).await;
    damage(&cluster, leader, &stored);
    cluster.start_node_alone(leader).await;
    cluster
        .until("it leads again", || async {
            cluster.leader(stored[0].0).await == leader
        })
        .await;
    reads_and_is_repaired(&cluster, leader, &stored).await;
    cluster.stop().await;
}

// If this fails, a content whose very header is damaged can be read nowhere but at the other copy.
#[actix_web::test]
async fn a_damaged_header_is_mended() {
    let cluster = Cluster::start_mirrored(2).await;
    let stored = store_three(&cluster).await;
    let (id, bytes) = &stored[0];
    let follower = cluster.follower(*id).await;
    flip(&cluster, (follower, id.shard()), &id.bytes());
    assert!(cluster.read_through(follower, *id).await.as_ref() == Some(bytes));
    cluster.mended(follower).await;
    cluster.is_right_everywhere(*id, bytes).await;
    cluster.stop().await;
}

// If this fails, bytes that changed on a disk so that only their hash tells stay wrong although the other
// copy has the right ones, are served, or count as damaged when they are right again.
#[actix_web::test]
async fn bytes_that_no_checksum_tells_are_mended() {
    let cluster = Cluster::start_mirrored(2).await;
    for (id, bytes) in &store_three(&cluster).await {
        let follower = cluster.follower(*id).await;
        let middle = bytes.len() / 2;
        let altered = &bytes[middle..middle + 200];
        twist(&cluster, (follower, id.shard()), altered);
        let verified = cluster.verified(follower, *id).await;
        assert!(!verified.ok, "{} bytes: {verified:?}", bytes.len());
        assert!(cluster.read_through(follower, *id).await.as_ref() == Some(bytes));
        cluster.mended(follower).await;
        cluster.is_right_everywhere(*id, bytes).await;
    }
    cluster.stop().await;
}

// If this fails, a content whose bytes are wrong on every disk is told as repaired, although nothing was.
#[actix_web::test]
async fn bytes_that_are_wrong_everywhere_stay_damaged() {
    let cluster = Cluster::start_mirrored(2).await;
    let (id, bytes) = &store_three(&cluster).await[1];
    for place in [0, 1] {
        twist(&cluster, (place, id.shard()), &bytes[1_000..1_200]);
    }
    let follower = cluster.follower(*id).await;
    assert!(!cluster.verified(follower, *id).await.ok);
    cluster
        .until("it is compared, and hashed again", || async {
            let failed = "acequia_node_repairs_failed_total";
            cluster.measure(follower, failed).await == 1
        })
        .await;
    assert_eq!(cluster.stats(follower).await.damaged, 1);
    let repairs = cluster.measure(follower, "acequia_node_repairs_total");
    assert_eq!(repairs.await, 0);
    cluster.stop().await;
}

// If this fails, a node counts less damage than before, and nobody can tell what became of it.
#[actix_web::test]
async fn what_nothing_needs_is_given_up_and_told() {
    said::listen();
    let mut cluster = Cluster::start_mirrored(2).await;
    let id = cluster.upload(&noise(300_000, 34)).await.id;
    cluster.whole(id).await;
    let (leader, follower) = (cluster.leader(id).await, cluster.follower(id).await);
    let path = format!("/update/{id}");
    let update = cluster.ask(Method::PUT, leader, &path).body("later");
    receipt(update.send().await.expect("answers")).await;
    for place in [leader, follower] {
        cluster
            .until("the first version is given back", || async {
                cluster.stats(place).await.space.holes > 200_000
            })
            .await;
    }
    cluster.stop_node(follower).await;
    // In the head of the first version, which comes before that of the second.
    flip(&cluster, (follower, id.shard()), &id.bytes());
    cluster.start_node_alone(follower).await;
    cluster
        .until("it is counted", || async {
            let given_up = "acequia_node_damage_given_up_total";
            cluster.measure(follower, given_up).await == 1
        })
        .await;
    cluster.mended(follower).await;
    let repairs = cluster.measure(follower, "acequia_node_repairs_total");
    assert_eq!(repairs.await, 0, "nothing was written again");
    let shard = format!("shard={}", id.shard());
    let words = "a damaged record that nothing needs was given up";
    let told = said::with(&["INFO", words, &shard, "lsn="]);
    assert_eq!(told.len(), 1, "{told:?}");
    cluster.stop().await;
}

// If this fails, anyone can have records, or a node hands out what it does not have.
#[actix_web::test]
async fn records_are_given_as_they_are_or_not_at_all() {
    let cluster = Cluster::start_mirrored(2).await;
    let stored = store_three(&cluster).await;
    let (id, bytes) = &stored[0];
    let shard = id.shard();
    let record = cluster.record(*id).await;
    let needed = cluster.get(0, &format!("/needed/{id}")).await;
    let needed: Vec<wire::Lsn> = needed.json().await.expect("lsns");
    assert_eq!(needed.len(), 1);
    let path = format!("/record/{shard}/{}", needed[0]);
    let mut copies = Vec::new();
    for place in [0, 1] {
        let answer = cluster.get(place, &path).await;
        assert_eq!(answer.status(), StatusCode::OK);
        copies.push(answer.bytes().await.expect("a body"));
    }
    assert_eq!(copies[0], copies[1], "the same on every replica");
    let read = store::Record::from_bytes(&copies[0], record.log).expect("is intact");
    assert_eq!(read.payload.bytes(), bytes);

    for path in [
        format!("/record/{shard}/999999"),
        "/record/999/1".to_owned(),
    ] {
        let answer = cluster.get(0, &path).await;
        assert_eq!(error(answer).await.code, Code::NotFound, "{path}");
    }
    flip(&cluster, (1, shard), &bytes[1000..1200]);
    let answer = cluster.get(1, &path).await;
    assert_eq!(error(answer).await.code, Code::Damaged);
    let answer = cluster.get(1, &format!("/verify/{id}")).await;
    assert_eq!(error(answer).await.code, Code::Damaged);
    cluster.stop().await;
}
