//! Two copies of everything, on real nodes.

mod failover;
mod given_up;
mod recovery;
mod repair;
mod said;
mod scrub;

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use wire::content::Receipt;
use wire::integrity::Verified;
use wire::shard::ShardRecord;
use wire::{Code, ContentId};

use crate::support::{Cluster, error};

impl Cluster {
    /// The register's record of a content's shard.
    pub(crate) async fn record(&self, id: ContentId) -> ShardRecord {
        let url = format!("{}/shards/{}", self.dist_url(), id.shard());
        let answer = self.http.get(url).send().await.expect("answers");
        answer.json().await.expect("a record")
    }

    /// The place of the node of this name.
    pub(crate) fn place(name: &wire::NodeName) -> usize {
        let number: usize = name
            .as_str()
            .trim_start_matches("node")
            .parse()
            .expect("a number");
        number - 1
    }

    pub(crate) async fn leader(&self, id: ContentId) -> usize {
        let record = self.record(id).await;
        Cluster::place(&record.leader.expect("is led").member.node)
    }

    /// Uploads to whichever node is told, and follows where it is sent, until it is stored.
    pub(crate) async fn upload(&self, bytes: &[u8]) -> Receipt {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let place = format!("{}/store?size={}", self.dist_url(), bytes.len());
            let answer = self.http.get(place).send().await.expect("answers");
            if let Ok(place) = answer.json::<wire::placement::Place>().await {
                let url = format!("{}/{}?filename=a", place.uri, place.id);
                let sent = self.http.put(url).body(bytes.to_vec()).send().await;
                if let Ok(answer) = sent
                    && answer.status() == StatusCode::OK
                {
                    return answer.json().await.expect("a receipt");
                }
            }
            assert!(Instant::now() < deadline, "nobody takes an upload");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until a content can be read at the node at `place`, and compares it.
    pub(crate) async fn reads(&self, place: usize, id: ContentId, bytes: &[u8]) {
        self.until("the content can be read", || async {
            let answer = self.get(place, &format!("/retrieve/{id}")).await;
            answer.status() == StatusCode::OK && answer.bytes().await.is_ok_and(|b| b == bytes)
        })
        .await;
    }

    /// Waits until a shard has all its copies in sync.
    pub(crate) async fn whole(&self, id: ContentId) {
        self.until("all copies are in sync", || async {
            let record = self.record(id).await;
            record.in_sync.len() == 2 && record.leader.is_some()
        })
        .await;
    }

    /// The place of the node that has the other copy.
    pub(crate) async fn follower(&self, id: ContentId) -> usize {
        let record = self.record(id).await;
        let leader = record.leader.expect("is led").member;
        let other = record.in_sync.iter().find(|member| **member != leader);
        Cluster::place(&other.expect("there are two copies").node)
    }

    /// A content, asked for at the node at `place`, as any program reads it that follows redirects.
    pub(crate) async fn read_through(&self, place: usize, id: ContentId) -> Option<Vec<u8>> {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut url = format!("{}/retrieve/{id}", self.url(place));
        while Instant::now() < deadline {
            let answer = self.http.get(&url).send().await.expect("answers");
            if answer.status() == StatusCode::OK {
                return answer.bytes().await.ok().map(|bytes| bytes.to_vec());
            }
            if answer.status().is_redirection() {
                let to = answer.headers()["location"].to_str().expect("text");
                url = to.to_owned();
            } else {
                // Right after an election.
                assert_eq!(error(answer).await.code, Code::NoLeader, "{url}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        panic!("no answer to {url}");
    }

    /// Waits until nothing is damaged at the node at `place`.
    pub(crate) async fn mended(&self, place: usize) {
        self.until("everything is repaired", || async {
            self.stats(place).await.damaged == 0
        })
        .await;
    }

    /// A content's bytes are right on the disks of all nodes, each asked for itself.
    pub(crate) async fn is_right_everywhere(&self, id: ContentId, bytes: &[u8]) {
        for place in [0, 1] {
            let verified = self.verified(place, id).await;
            let checksum = wire::Checksum(*blake3::hash(bytes).as_bytes());
            assert!(verified.ok, "{verified:?}");
            assert_eq!(
                (verified.size, verified.checksum),
                (bytes.len() as u64, checksum)
            );
            self.reads(place, id, bytes).await;
        }
    }

    pub(crate) async fn verified(&self, place: usize, id: ContentId) -> Verified {
        let answer = self.get(place, &format!("/verify/{id}")).await;
        assert_eq!(answer.status(), StatusCode::OK);
        answer.json().await.expect("a hash")
    }

    /// The value of a measure of the node at `place`.
    pub(crate) async fn measure(&self, place: usize, name: &str) -> u64 {
        let text = self.get(place, "/metrics").await.text().await;
        let text = text.expect("text");
        let mut values = text.lines().filter_map(|line| line.strip_prefix(name));
        let value = values.find_map(|value| value.strip_prefix(' '));
        value.expect(name).parse().expect("a number")
    }
}
