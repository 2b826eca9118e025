//! All who had everything are gone: an operator chooses the copy that is left.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use wire::recovery::{Part, ShardRecovered, WaitingShard, WaitingShards};
use wire::{Code, ContentId, NodeName, ShardNo};

use crate::support::{Cluster, error, noise, receipt};

fn name(place: usize) -> NodeName {
    format!("node{}", place + 1).parse().expect("a name")
}

impl Cluster {
    async fn waiting(&self) -> Option<Vec<WaitingShard>> {
        let url = format!("{}/recovery", self.dist_url());
        let answer = self.http.get(url).send().await.expect("answers");
        let is_known = answer.status() == StatusCode::OK;
        let waiting = answer.json::<WaitingShards>().await;
        is_known.then(|| waiting.expect("what waits").items)
    }

    async fn choose(&self, shard: ShardNo, choice: Value) -> reqwest::Response {
        let url = format!("{}/shards/{shard}/recover", self.dist_url());
        let asked = self.http.post(url).json(&choice).send().await;
        asked.expect("answers")
    }

    /// Chooses, where there is only one copy left, that one.
    async fn recover_all(&self) {
        for shard in self.waiting().await.expect("it is known") {
            let left = shard.copies.iter().find(|copy| copy.loss.is_some());
            let node = &left.expect("a copy is left").node;
            let answer = self
                .choose(shard.shard, json!({"node": node, "force": true}))
                .await;
            let done: ShardRecovered = answer.json().await.expect("it is done");
            assert_eq!(done.node, *node);
        }
    }

    /// Stores a content in a certain shard.
    async fn store_in(&self, shard: ShardNo, place: usize, bytes: &[u8]) -> ContentId {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let now_ms = u64::try_from(since.expect("after 1970").as_millis()).expect("fits");
        let id = ContentId::mint(shard, now_ms, rand::random());
        let put = self.ask(Method::PUT, place, &format!("/store/{id}?wait=listed"));
        receipt(put.body(bytes.to_vec()).send().await.expect("answers")).await;
        id
    }

    async fn update(&self, place: usize, id: ContentId, bytes: &[u8]) {
        let put = self.ask(Method::PUT, place, &format!("/update/{id}?wait=listed"));
        receipt(put.body(bytes.to_vec()).send().await.expect("answers")).await;
    }

    async fn delete(&self, place: usize, id: ContentId) {
        let delete = self.ask(Method::DELETE, place, &format!("/delete/{id}?wait=listed"));
        receipt(delete.send().await.expect("answers")).await;
    }

    /// What the catalog lists of a shard: each id and its version.
    async fn lists(&self, shard: ShardNo) -> Vec<(String, u64)> {
        let url = format!("{}/content?limit=1000", self.dist_url());
        let answer = self.http.get(url).send().await.expect("answers");
        let page: Value = answer.json().await.expect("a page");
        let items = page["items"].as_array().expect("items").iter();
        let of_shard = items.filter_map(|item| {
            let id: ContentId = item["id"].as_str()?.parse().ok()?;
            (id.shard() == shard).then(|| (id.to_string(), item["version"].as_u64()))
        });
        let mut all: Vec<(String, u64)> = of_shard
            .map(|(id, version)| (id, version.expect("a version")))
            .collect();
        all.sort();
        all
    }

    async fn until_it_lists(&self, shard: ShardNo, contents: &[(ContentId, u64)]) {
        let mut expected: Vec<(String, u64)> = contents
            .iter()
            .map(|(id, version)| (id.to_string(), *version))
            .collect();
        expected.sort();
        self.until("the catalog lists what is there", || async {
            self.lists(shard).await == expected
        })
        .await;
    }
}

/// A shard of which one node alone had everything, before it went; the other copy is older.
struct Lost {
    shard: ShardNo,
    first: usize,
    second: usize,
    /// On both: one that stays, one that is updated and one that is deleted on the first alone.
    kept: ContentId,
    updated: ContentId,
    deleted: ContentId,
    /// On the first alone.
    lost: ContentId,
}

impl Lost {
    async fn make(cluster: &mut Cluster) -> Lost {
        let kept = cluster.upload(&noise(3 << 20, 1)).await.id;
        cluster.whole(kept).await;
        let (shard, first) = (kept.shard(), cluster.leader(kept).await);
        let second = cluster.follower(kept).await;
        let updated = cluster.store_in(shard, first, &noise(2000, 2)).await;
        let deleted = cluster.store_in(shard, first, &noise(90_000, 3)).await;
        cluster.stop_node(second).await;
        cluster.update(first, updated, &noise(3000, 4)).await;
        cluster.delete(first, deleted).await;
        let lost = cluster.store_in(shard, first, &noise(70_000, 5)).await;
        let listed = [(kept, 1), (updated, 2), (lost, 1)];
        cluster.until_it_lists(shard, &listed).await;
        cluster.stop_node(first).await;
        Lost {
            shard,
            first,
            second,
            kept,
            updated,
            deleted,
            lost,
        }
    }

    /// The second node comes back, and its copy is offered.
    async fn is_offered(&self, cluster: &mut Cluster) {
        cluster.start_node_alone(self.second).await;
        let cluster = &*cluster;
        cluster
            .until("the copy is offered", || async {
                let waiting = cluster.waiting().await.unwrap_or_default();
                let shard = waiting.into_iter().find(|shard| shard.shard == self.shard);
                shard.is_some_and(|shard| {
                    let copy = &shard.copies[0];
                    copy.node == name(self.second) && copy.loss.is_some_and(|loss| loss.records > 0)
                })
            })
            .await;
        let waiting = cluster.waiting().await.expect("it is known");
        let shard = waiting.iter().find(|shard| shard.shard == self.shard);
        let copies = &shard.expect("it waits").copies;
        assert_eq!(
            (copies.len(), copies[0].part),
            (2, Part::Outside),
            "{copies:?}"
        );
        assert!(copies[0].objections.is_empty(), "{copies:?}");
        let gone = cluster
            .choose(self.shard, json!({"node": name(self.first)}))
            .await;
        assert_eq!(error(gone).await.code, Code::NoCopy);
    }

    /// The old contents are there, what only the first had is not, and the catalog says so.
    async fn is_as_the_second_had_it(&self, cluster: &Cluster) {
        let second = self.second;
        cluster.reads(second, self.kept, &noise(3 << 20, 1)).await;
        cluster.reads(second, self.updated, &noise(2000, 2)).await;
        cluster.reads(second, self.deleted, &noise(90_000, 3)).await;
        let gone = cluster
            .get(second, &format!("/retrieve/{}", self.lost))
            .await;
        assert_eq!(gone.status(), StatusCode::NOT_FOUND);
        let listed = [(self.kept, 1), (self.updated, 1), (self.deleted, 1)];
        cluster.until_it_lists(self.shard, &listed).await;
    }
}

// If this fails, a shard whose only whole copy burned is lost altogether; or it comes back with a
// catalog that names what is gone; or it is never copied again.
#[actix_web::test]
async fn the_copy_that_is_left_becomes_the_shard() {
    let mut cluster = Cluster::start_mirrored(3).await;
    let lost = Lost::make(&mut cluster).await;
    fs::remove_dir_all(cluster.data_dir(lost.first)).expect("the disk is lost");
    lost.is_offered(&mut cluster).await;
    let before = cluster.record(lost.kept).await;
    cluster.recover_all().await;
    lost.is_as_the_second_had_it(&cluster).await;
    let after = cluster.record(lost.kept).await;
    assert!(after.epoch > before.epoch && after.lineage > before.lineage);

    // Changes go on, and new contents come.
    cluster
        .update(lost.second, lost.updated, &noise(4000, 6))
        .await;
    let fresh = cluster.upload(&noise(5000, 7)).await.id;
    let here = cluster
        .store_in(lost.shard, lost.second, &noise(600, 8))
        .await;
    let mut listed = vec![
        (lost.kept, 1),
        (lost.updated, 2),
        (lost.deleted, 1),
        (here, 1),
    ];
    if fresh.shard() == lost.shard {
        listed.push((fresh, 1));
    }
    cluster.until_it_lists(lost.shard, &listed).await;

    // The node comes back with an empty disk; everything has two copies again.
    cluster.start_node_alone(lost.first).await;
    for id in [lost.kept, fresh] {
        cluster.whole(id).await;
    }
    let other = cluster.follower(lost.kept).await;
    cluster.reads(other, lost.updated, &noise(4000, 6)).await;
    cluster
        .until("nothing waits", || async {
            cluster.waiting().await == Some(Vec::new())
        })
        .await;
    cluster.stop().await;
}

// If this fails, a node that was thought lost brings back what was given up, beside what was stored
// since: two histories of one shard.
#[actix_web::test]
async fn a_leader_that_comes_back_gives_its_log_up() {
    let mut cluster = Cluster::start_mirrored(3).await;
    let lost = Lost::make(&mut cluster).await;
    lost.is_offered(&mut cluster).await;
    cluster.recover_all().await;
    lost.is_as_the_second_had_it(&cluster).await;
    let since = cluster
        .store_in(lost.shard, lost.second, &noise(600, 8))
        .await;

    cluster.start_node_alone(lost.first).await;
    let quarantine = cluster.data_dir(lost.first).join("quarantine");
    let prefix = format!("{}-", lost.shard);
    cluster
        .until("its log is put aside", || async {
            let mut kept = fs::read_dir(&quarantine).into_iter().flatten().flatten();
            kept.any(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        })
        .await;
    cluster.whole(lost.kept).await;
    let leader = cluster.leader(lost.kept).await;
    cluster.reads(leader, since, &noise(600, 8)).await;
    // It did not list, nor serve, what it had alone; and it is a member no more who could.
    let listed = [
        (lost.kept, 1),
        (lost.updated, 1),
        (lost.deleted, 1),
        (since, 1),
    ];
    cluster.until_it_lists(lost.shard, &listed).await;
    let read = cluster
        .get(lost.first, &format!("/retrieve/{}", lost.lost))
        .await;
    assert_ne!(read.status(), StatusCode::OK);
    cluster.stop().await;
}
