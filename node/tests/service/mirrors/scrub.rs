//! Scrubs find what nobody asks for.

use reqwest::{Method, StatusCode};
use wire::Code;
use wire::integrity::ScrubReport;

use crate::support::{Cluster, error, flip, noise};

impl Cluster {
    async fn scrub_report(&self, place: usize) -> ScrubReport {
        let answer = self.get(place, "/scrub").await;
        answer.json().await.expect("a report")
    }

    /// Begins a scrub of everything at a node, and waits until it is finished; its findings.
    async fn scrub(&self, place: usize) -> u64 {
        self.until("the replicas have their places", || async {
            !self.scrub_report(place).await.replicas.is_empty()
        })
        .await;
        let before = self.scrub_report(place).await;
        let before = before.replicas.iter().filter_map(|at| at.finished).max();
        let begun = self.ask(Method::POST, place, "/scrub").send().await;
        assert_eq!(begun.expect("answers").status(), StatusCode::ACCEPTED);
        self.until("the scrub is finished", || async {
            let report = self.scrub_report(place).await;
            let is_over =
                |at: &wire::integrity::ReplicaScrub| at.begun.is_none() && at.finished > before;
            report.replicas.iter().all(is_over)
        })
        .await;
        let report = self.scrub_report(place).await;
        report.replicas.iter().map(|replica| replica.findings).sum()
    }
}

// If this fails, a copy rots unseen until the other one is lost, too.
#[actix_web::test]
async fn a_scrub_finds_damage_that_is_then_repaired() {
    let cluster = Cluster::start_mirrored(2).await;
    let bytes = noise(3 << 20, 41);
    let id = cluster.upload(&bytes).await.id;
    cluster.whole(id).await;
    let before = cluster.scrub_report(0).await;
    assert!(
        before
            .replicas
            .iter()
            .all(|at| at.next.0 > 0 && at.finished.is_none())
    );
    for place in [0, 1] {
        flip(&cluster, (place, id.shard()), &bytes[2_000_000..2_000_200]);
        assert_eq!(cluster.scrub(place).await, 1);
        cluster.mended(place).await;
        cluster.is_right_everywhere(id, &bytes).await;
        let findings = "acequia_node_scrub_findings_total";
        assert_eq!(cluster.measure(place, findings).await, 1);
        let kept = cluster
            .data_dir(place)
            .join(format!("shards/{}/scrub.json", id.shard()));
        assert!(kept.exists());
    }
    cluster.stop().await;
}

// If this fails, a leader's epoch rots unseen: the log's history is told wrongly after a restart.
#[actix_web::test]
async fn what_is_no_contents_is_repaired_too() {
    let cluster = Cluster::start_mirrored(2).await;
    let id = cluster.upload(b"any").await.id;
    cluster.whole(id).await;
    let follower = cluster.follower(id).await;
    let shard = id.shard();
    let epoch = cluster.get(follower, &format!("/record/{shard}/1")).await;
    let epoch = epoch.bytes().await.expect("a record");
    flip(&cluster, (follower, shard), &epoch[..64]);
    assert_eq!(cluster.scrub(follower).await, 1);
    cluster
        .until("the epoch is repaired", || async {
            cluster
                .measure(follower, "acequia_node_repairs_total")
                .await
                == 1
        })
        .await;
    assert_eq!(cluster.scrub(follower).await, 0);
    cluster.stop().await;
}

// If this fails, a node without a mirror serves damaged bytes, hides damage, or asks in vain for ever.
#[actix_web::test]
async fn the_damage_of_an_only_copy_stays() {
    let mut cluster = Cluster::start(1).await;
    let bytes = noise(2_000, 42);
    let id = cluster.store(0, &bytes).await.id;
    flip(&cluster, (0, id.shard()), &bytes[500..700]);
    assert_eq!(cluster.scrub(0).await, 1);
    let answer = cluster.get(0, &format!("/retrieve/{id}")).await;
    assert_eq!(error(answer).await.code, Code::Damaged);
    assert_eq!(cluster.stats(0).await.damaged, 1);

    // What a scrub has done is known after a restart.
    let finished = cluster.scrub_report(0).await.replicas[0].finished;
    cluster.stop_node(0).await;
    cluster.start_node(0).await;
    cluster
        .until("it is known", || async {
            let replicas = cluster.scrub_report(0).await.replicas;
            replicas.first().is_some_and(|at| at.finished == finished)
        })
        .await;
    cluster.stop().await;
}
