//! Two copies of everything: what is acknowledged is on both, and goes on when one of them goes.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use reqwest::{Method, StatusCode};
use wire::ContentId;
use wire::content::Receipt;
use wire::membership::ShardMap;

use crate::support::{Cluster, noise};

// If this fails, an acknowledged upload is on one disk only, or a mirror serves something else.
#[actix_web::test]
async fn an_upload_is_acknowledged_when_both_copies_have_it() {
    let cluster = Cluster::start_mirrored(3).await;
    for size in [10, 70_000, 5 << 20] {
        let bytes = noise(size, 1);
        let receipt = cluster.upload(&bytes).await;
        assert_eq!((receipt.nodes.len(), receipt.degraded), (2, false));
        for node in &receipt.nodes {
            cluster
                .reads(Cluster::place(node), receipt.id, &bytes)
                .await;
        }
    }
    cluster.stop().await;
}

// If this fails, a dead node takes contents with it, or nobody takes its place.
#[actix_web::test]
async fn when_the_leader_ends_a_follower_goes_on_with_everything() {
    let mut cluster = Cluster::start_mirrored(3).await;
    let bytes = noise(2 << 20, 2);
    let receipt = cluster.upload(&bytes).await;
    cluster.whole(receipt.id).await;
    let first = cluster.leader(receipt.id).await;
    cluster.stop_node(first).await;
    let second = cluster.leader(receipt.id).await;
    assert_ne!(first, second, "it is handed over before the node ends");
    cluster.reads(second, receipt.id, &bytes).await;

    // Changes go on with one copy, and are told to be degraded.
    let path = format!("/delete/{}", receipt.id);
    let asked = Instant::now();
    let deleted = cluster.ask(Method::DELETE, second, &path).send().await;
    let deleted: Receipt = crate::support::receipt(deleted.expect("answers")).await;
    assert!(deleted.degraded, "after {:?}", asked.elapsed());
    let kept = cluster.upload(&noise(100, 3)).await;

    // The node comes back, and catches up with what it missed.
    cluster.start_node_alone(first).await;
    cluster.whole(receipt.id).await;
    cluster.whole(kept.id).await;
    let gone = cluster
        .get(first, &format!("/retrieve/{}", receipt.id))
        .await;
    assert!(gone.status() == StatusCode::GONE || gone.status().is_redirection());
    cluster.stop().await;
}

// If this fails, an operator is told that a content is gone, which its new leader only has to confirm.
#[actix_web::test]
async fn a_new_leader_that_is_alone_verifies_what_it_has() {
    let mut cluster = Cluster::start_mirrored(2).await;
    let bytes = noise(100_000, 5);
    let id = cluster.upload(&bytes).await.id;
    cluster.whole(id).await;
    let (first, second) = (cluster.leader(id).await, cluster.follower(id).await);
    cluster.stop_node(second).await;
    cluster.stop_node(first).await;
    cluster.start_node_alone(second).await;
    let path = format!("/verify/{id}");
    let refused = std::cell::RefCell::new(Vec::new());
    cluster
        .until("it is verified", || async {
            let status = cluster.get(second, &path).await.status();
            refused.borrow_mut().push(status);
            status == StatusCode::OK
        })
        .await;
    assert!(!refused.borrow().contains(&StatusCode::NOT_FOUND));
    cluster.stop().await;
}

// If this fails, a planned stop of a node holds up the writes of the shards that it followed, or
// breaks off requests of those who were sent there a moment before.
#[actix_web::test]
async fn a_node_that_stops_is_waited_for_by_nobody() {
    let mut cluster = Cluster::start_mirrored(2).await;
    let receipt = cluster.upload(b"x").await;
    cluster.whole(receipt.id).await;
    let leader = cluster.leader(receipt.id).await;
    let follower = 1 - leader;
    let (url, id, client) = (cluster.url(follower), receipt.id, reqwest::Client::new());
    let reads = tokio::spawn(async move {
        let path = format!("{url}/retrieve/{id}");
        let mut last = None;
        while let Ok(answer) = client.get(&path).send().await {
            last = Some(answer);
        }
        last.expect("it answered")
    });
    cluster.stop_node(follower).await;
    let asked = reqwest::Client::new().get(format!("{}/shards", cluster.dist_url()));
    let map: ShardMap = asked
        .send()
        .await
        .expect("answers")
        .json()
        .await
        .expect("a map");
    let record = map.shards.iter().find(|record| record.shard == id.shard());
    let in_sync = &record.expect("the shard").in_sync;
    assert_eq!(in_sync.len(), 1, "the leader goes on without it already");
    let last = reads.await.expect("no panic");
    assert_eq!(last.status(), StatusCode::OK, "served to the last");
    cluster.stop().await;
}

// If this fails, the node that is left takes itself out of a load balancer, so that nobody asks it, and
// it never begins to serve.
#[actix_web::test]
async fn a_survivor_that_nobody_asks_is_ready() {
    let mut cluster = Cluster::start_mirrored(2).await;
    let ids = [cluster.mint(0).await, cluster.mint(1).await];
    for id in ids {
        cluster.whole(id).await;
    }
    cluster.stop_node(1).await;
    cluster
        .until("the survivor leads both, and is alone", || async {
            let records = [cluster.record(ids[0]).await, cluster.record(ids[1]).await];
            records.iter().all(|record| {
                let leader = record.leader.as_ref().map(|leader| &leader.member);
                record.in_sync.iter().collect::<Vec<_>>() == leader.as_slice()
                    && leader.is_some_and(|leader| Cluster::place(&leader.node) == 0)
            })
        })
        .await;
    let ready = cluster.get(0, "/health/ready").await;
    assert_eq!(ready.status(), StatusCode::OK, "{:?}", ready.text().await);
    for id in ids {
        let record = cluster.record(id).await;
        assert!(!record.degraded, "somebody asked");
    }
    cluster.stop().await;
}

// If this fails, who asks a copy that is behind is told that there is no such content or version, when
// its leader has it.
#[actix_web::test]
async fn only_the_leader_says_that_there_is_none() {
    let cluster = Cluster::start_mirrored(2).await;
    let stored = cluster.upload(b"x").await;
    cluster.whole(stored.id).await;
    let (leader, follower) = (
        cluster.leader(stored.id).await,
        cluster.follower(stored.id).await,
    );
    cluster.reads(follower, stored.id, b"x").await;
    let unknown = ContentId::mint(stored.id.shard(), now_ms(), rand::random());
    for path in [
        format!("/retrieve/{}?version=2", stored.id),
        format!("/info/{unknown}"),
    ] {
        let sent_on = cluster.get(follower, &path).await;
        let location = sent_on.headers().get("location");
        let location = location.map(|to| to.to_str().expect("text").to_owned());
        let to_leader = format!("{}{path}", cluster.url(leader));
        assert_eq!(location, Some(to_leader), "{}", sent_on.status());
        let answer = cluster.get(leader, &path).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    }
    let known = cluster.get(follower, &format!("/info/{}", stored.id)).await;
    assert_eq!(known.status(), StatusCode::OK);
    cluster.stop().await;
}

// If this fails, a mirror that was away asks for everything again, or comes back with holes.
#[actix_web::test]
async fn a_follower_that_was_away_catches_up() {
    let mut cluster = Cluster::start_mirrored(2).await;
    let first = cluster.upload(&noise(3 << 20, 4)).await;
    cluster.whole(first.id).await;
    cluster.stop_node(1).await;
    let large = noise(3 << 20, 5);
    let mut kept = Vec::new();
    for round in 0..6_u8 {
        let bytes = noise(2000, round);
        kept.push((cluster.upload(&bytes).await.id, bytes));
    }
    // A large content that is dead again is a hole in the leader's log.
    let dead = cluster.upload(&large).await;
    let path = format!("/delete/{}", dead.id);
    let deleted = cluster.ask(Method::DELETE, 0, &path).send().await;
    crate::support::receipt(deleted.expect("answers")).await;
    let after = cluster.upload(&large).await;
    cluster
        .until("the dead content is given back", || async {
            cluster.stats(0).await.space.holes > 2 << 20
        })
        .await;
    cluster.start_node_alone(1).await;
    for (id, bytes) in kept.iter().chain([&(after.id, large.clone())]) {
        cluster.whole(*id).await;
        cluster.reads(1, *id, bytes).await;
    }
    // The other one alone has everything now.
    cluster.stop_node(0).await;
    for (id, bytes) in &kept {
        cluster.reads(1, *id, bytes).await;
    }
    cluster.stop().await;
}

// If this fails, a mirror's disk fills up to its last byte, and its node cannot start any more.
#[actix_web::test]
async fn a_leader_takes_no_more_than_its_mirrors_have_room_for() {
    let mut cluster = Cluster::start_mirrored(2).await;
    let id = cluster.mint(0).await;
    cluster.stop_node(1).await;
    cluster.reconfigure(1, |config| config.max_storage = Some(20_000_000));
    cluster.start_node_alone(1).await;
    cluster.whole(id).await;
    let body = noise(25_000_000, 3);
    cluster
        .until("the mirror's room counts", || async {
            // Of an id of our own: placement does not send anybody there any more.
            let id = ContentId::mint(id.shard(), now_ms(), rand::random());
            let put = cluster.ask(Method::PUT, 0, &format!("/store/{id}"));
            let answer = put.body(body.clone()).send().await;
            answer.is_ok_and(|answer| answer.status() == StatusCode::INSUFFICIENT_STORAGE)
        })
        .await;
    cluster.stop().await;
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.expect("after 1970").as_millis()).expect("fits")
}
