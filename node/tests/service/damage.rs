//! A disk that gives back other bytes than it was given.

use reqwest::{Method, StatusCode};
use wire::integrity::{GivenUp, LostReport};
use wire::{Code, ContentId, ShardNo};

use crate::support::{Cluster, break_header, error, flip, noise, receipt};

/// The only replica.
const ONLY: (usize, ShardNo) = (0, ShardNo(1));

// If this fails, a client gets wrong bytes and takes them for right ones.
#[tokio::test]
async fn damaged_bytes_never_leave_and_hide_nothing_else() {
    let cluster = Cluster::start(1).await;
    let (small, large) = (noise(1000, 20), noise(3 << 20, 21));
    let [small_id, other_id, large_id] = [
        cluster.store(0, &small).await.id,
        cluster.store(0, b"other").await.id,
        cluster.store(0, &large).await.id,
    ];
    flip(&cluster, ONLY, &small[500..600]);
    flip(&cluster, ONLY, &large[2_000_000..2_000_100]);

    let answer = cluster.get(0, &format!("/retrieve/{small_id}")).await;
    assert_eq!(error(answer).await.code, Code::Damaged);

    // The head was sent before the damage was met: the connection ends early.
    let path = format!("/retrieve/{large_id}");
    let answer = cluster.get(0, &path).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(
        answer.bytes().await.is_err(),
        "a broken content looks whole"
    );
    // What is not damaged of it can be had.
    let part = cluster
        .ask(Method::GET, 0, &path)
        .header("range", "bytes=0-1048575");
    let part = part
        .send()
        .await
        .expect("answers")
        .bytes()
        .await
        .expect("a body");
    assert!(part == large[..1 << 20]);

    assert_eq!(cluster.bytes(0, other_id).await, b"other");
    assert_eq!(
        cluster.get(0, "/health/ready").await.status(),
        StatusCode::OK
    );
    cluster.stop().await;
}

// If this fails, a disk that fails in one content takes the whole node with it at the next start.
#[tokio::test]
async fn a_node_with_damage_starts_and_serves_the_rest() {
    let mut cluster = Cluster::start(1).await;
    let (small, large) = (noise(2000, 22), noise(100_000, 23));
    let small_id = cluster.store(0, &small).await.id;
    let large_id = cluster.store(0, &large).await.id;
    let last = cluster.store(0, b"last").await.id;
    cluster.stop_node(0).await;
    flip(&cluster, ONLY, &small[100..200]);
    flip(&cluster, ONLY, &large[70_000..70_100]);
    cluster.start_node(0).await;

    for id in [small_id, large_id] {
        let answer = cluster.get(0, &format!("/retrieve/{id}")).await;
        assert_eq!(error(answer).await.code, Code::Damaged);
    }
    assert_eq!(cluster.bytes(0, last).await, b"last");
    assert_eq!(cluster.store(0, b"new").await.version, 1);
    cluster.stop().await;
}

// If this fails, a small content whose only copy is damaged can never be replaced, not even with the
// bytes that it should have.
#[tokio::test]
async fn a_damaged_content_can_be_replaced() {
    let cluster = Cluster::start(1).await;
    let bytes = noise(1000, 24);
    let stored = cluster.store(0, &bytes).await;
    flip(&cluster, ONLY, &bytes[500..600]);
    let path = format!("/retrieve/{}", stored.id);
    assert_eq!(error(cluster.get(0, &path).await).await.code, Code::Damaged);
    let info = cluster.get(0, &format!("/info/{}", stored.id)).await;
    assert_eq!(info.status(), StatusCode::OK, "its head is as it was");

    let update = cluster.ask(Method::PUT, 0, &format!("/update/{}", stored.id));
    let if_match = format!("\"{}\"", stored.checksum.hex());
    let update = update.header("if-match", if_match).body(bytes.clone());
    let updated = receipt(update.send().await.expect("answers")).await;
    assert_eq!((updated.version, updated.filename.as_str()), (2, "a.txt"));
    assert_eq!(cluster.bytes(0, stored.id).await, bytes);
    cluster.stop().await;
}

impl Cluster {
    /// What the node at `place` has lost.
    pub(crate) async fn lost(&self, place: usize) -> LostReport {
        let answer = self.get(place, "/lost").await;
        answer.json().await.expect("a report")
    }

    /// Asks the node at `place` to give up what it has lost of a shard.
    pub(crate) async fn ask_to_give_up(
        &self,
        place: usize,
        shard: ShardNo,
        body: &'static str,
    ) -> reqwest::Response {
        let path = format!("/shards/{shard}/give-up");
        let request = self.ask(Method::POST, place, &path).body(body);
        request.send().await.expect("answers")
    }

    async fn refuses_to_read(&self, id: ContentId, code: Code) {
        let answer = self.get(0, &format!("/retrieve/{id}")).await;
        assert_eq!(error(answer).await.code, code);
    }
}

// If this fails, one bad sector under the only copy keeps a shard's contents from being read and changed for
// ever, or until the node starts again.
#[tokio::test]
async fn what_nobody_can_repair_is_given_up_for_good() {
    let mut cluster = Cluster::start(1).await;
    let [older, lost, later] = [
        cluster.store(0, b"older").await.id,
        cluster.store(0, b"lost").await.id,
        cluster.store(0, b"later").await.id,
    ];
    cluster
        .until("all are listed", || async {
            cluster.listed(later).await.is_some()
        })
        .await;
    cluster.stop_node(0).await;
    break_header(&cluster, ONLY, lost);
    cluster.start_node(0).await;
    for id in [older, lost] {
        cluster.refuses_to_read(id, Code::Damaged).await;
    }
    let report = cluster.lost(0).await;
    let [told] = &report.replicas[..] else {
        panic!("{report:?}");
    };
    assert_eq!(
        (told.shard, told.records, told.first),
        (ONLY.1, 1, told.last)
    );
    assert_eq!((&told.held_by, &told.unasked[..]), (&None, &[][..]));

    let page = cluster.ask(Method::POST, 0, &format!("/shards/{}/give-up", ONLY.1));
    let page = page.header("origin", "http://page.example").body("{}");
    let refused = error(page.send().await.expect("answers")).await;
    assert_eq!(refused.code, Code::Unauthorized);
    let given_up = cluster.ask_to_give_up(0, ONLY.1, "{}").await;
    let given_up: GivenUp = given_up.json().await.expect("it is given up");
    assert_eq!((given_up.records, given_up.first), (1, told.first));
    assert!(given_up.lasting && given_up.left == 0, "{given_up:?}");
    let counted = cluster.measure(0, "acequia_node_lost_given_up_total");
    assert_eq!(counted.await, 1);
    cluster
        .until("its row is gone", || async {
            cluster.listed(lost).await.is_none()
        })
        .await;
    for again in [false, true] {
        if again {
            cluster.stop_node(0).await;
            cluster.start_node(0).await;
        }
        assert_eq!(cluster.bytes(0, older).await, b"older");
        assert_eq!(cluster.bytes(0, later).await, b"later");
        cluster.refuses_to_read(lost, Code::NotFound).await;
        assert_eq!(cluster.lost(0).await, LostReport::default());
        let update = cluster.ask(Method::PUT, 0, &format!("/update/{older}"));
        receipt(update.body("older").send().await.expect("answers")).await;
        cluster.store(0, b"new").await;
        assert!(cluster.listed(older).await.is_some());
    }
    let nothing = cluster.ask_to_give_up(0, ONLY.1, "{}").await;
    let nothing: GivenUp = nothing.json().await.expect("nothing is lost");
    assert_eq!((nothing.records, nothing.lasting), (0, true));
    let elsewhere = cluster.ask_to_give_up(0, ShardNo(999), "{}").await;
    assert_eq!(error(elsewhere).await.code, Code::NotFound);
    cluster.stop().await;
}
