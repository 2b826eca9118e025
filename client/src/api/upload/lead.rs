//! Whether the node that an answer is waited for still leads its shard. One that hangs, or lost its
//! power, never says that it does not; distributors know within a session.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use wire::ShardNo;
use wire::membership::NodesAnswer;

use super::flow::Flow;
use crate::api::error::RequestError;
use crate::api::{Client, leader_among};

/// How long a node may be silent before anybody is asked about it: most answers are there by then.
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// How often it is asked. A new leader is awaited for seconds, by all uploads of a process together.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// How long one distributor may take to say who leads: those who wait here have a node that may
/// answer at any time.
const TOLD_MAX: Duration = Duration::from_secs(2);

/// What distributors said last of who leads, if they did, and when.
#[derive(Debug, Default)]
pub(in crate::api) struct Lately(Mutex<Option<(Instant, Option<NodesAnswer>)>>);

impl Client {
    /// Waits until the node at `url` is silent and distributors name another one as the shard's leader:
    /// what its request ends with then.
    pub(super) async fn led_elsewhere(
        &self,
        flow: &Flow,
        shard: ShardNo,
        url: &str,
    ) -> RequestError {
        loop {
            let since = flow.silence(SILENCE_MAX).await;
            let leader = self.leader_lately(shard).await;
            let another = leader.is_some_and(|leader| leader != node_of(url));
            if another && flow.is_silent_since(since) {
                return RequestError::Stalled {
                    url: url.to_owned(),
                    after: since.elapsed(),
                };
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// Who leads a shard, as it was told a moment ago. Whoever asks meanwhile waits for the same answer.
    async fn leader_lately(&self, shard: ShardNo) -> Option<String> {
        let mut lately = self.lately.0.lock().await;
        let told = match lately.take() {
            Some((at, told)) if at.elapsed() < ASK_EVERY => (at, told),
            _ => {
                let told = self.asking_once().nodes().await;
                (Instant::now(), told.ok())
            }
        };
        let leader = told.1.as_ref().and_then(|told| leader_among(told, shard));
        *lately = Some(told);
        leader
    }

    /// The same client, which asks each distributor once and not for long: it will be asked again.
    fn asking_once(&self) -> Client {
        Client {
            patience: Duration::ZERO,
            answer_max: TOLD_MAX,
            ..self.clone()
        }
    }
}

/// The base URI of a node, of the URL of one of its contents: a route and an id are behind it.
fn node_of(url: &str) -> &str {
    let base = url.rsplitn(3, '/').last().unwrap_or(url);
    base.trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::{ContentId, routes};

    // If this fails, a node that leads is taken for another one, and slow uploads to it break off.
    #[test]
    fn a_url_names_its_node() {
        let id = ContentId::mint(ShardNo(3), 1_769_860_800_123, 9);
        for base in ["http://127.0.0.1:8001", "https://files.example/node1"] {
            assert_eq!(node_of(&routes::store(base, id)), base);
            assert_eq!(node_of(&routes::update(base, id)), base);
        }
        assert_eq!(node_of(&routes::store("http://n/", id)), "http://n");
    }
}
