//! Where things are: places for uploads, and the leaders of shards.

mod copies;
mod log;
mod orders;

use wire::membership::{NodesAnswer, ReplicaRole};
use wire::placement::{Place, Places};
use wire::{Code, ErrorBody, ShardNo, routes};

pub use log::{Leaderless, Log, LogError};

use super::Client;
use super::error::RequestError;

/// Why a shard's leader is not known.
#[derive(Debug, thiserror::Error)]
pub enum LeaderError {
    /// The distributor did not say.
    #[error("cannot ask for the leader of shard {shard}")]
    Ask {
        /// Which shard.
        shard: ShardNo,
        /// Why.
        source: RequestError,
    },
    /// No node leads it at this moment.
    #[error("no node leads shard {0}")]
    None(ShardNo),
}

impl Client {
    /// A place for one upload of `size` bytes, if the size is known.
    ///
    /// # Errors
    /// When no distributor answers, or no node can take the upload.
    pub async fn place(&self, size: Option<u64>) -> Result<Place, RequestError> {
        let query: Vec<_> = size
            .map(|size| ("size", size.to_string()))
            .into_iter()
            .collect();
        self.get_json(routes::STORE, &query).await
    }

    /// Places for `count` uploads, good for a few seconds.
    ///
    /// # Errors
    /// As [`Client::place`].
    pub async fn places(&self, count: usize) -> Result<Vec<Place>, RequestError> {
        let query = [("count", count.to_string())];
        let places: Places = self.get_json(routes::STORE, &query).await?;
        Ok(places.items)
    }

    /// The base URI of the node that leads `shard`, or will: while nobody does, it is waited for.
    ///
    /// # Errors
    /// When no distributor answers, or nobody leads the shard for as long as the patience lasts.
    pub async fn next_leader_of(&self, shard: ShardNo) -> Result<String, LeaderError> {
        let mut attempts = self.attempts();
        loop {
            let error = match self.leader(shard).await {
                Err(error @ LeaderError::None(_)) => error,
                outcome => return outcome,
            };
            let body = ErrorBody::new(Code::NoLeader, error.to_string(), "");
            let nobody = RequestError::Refused {
                url: self.endpoints.current().1.to_string(),
                body: Box::new(body),
                retry_after: None,
            };
            if !attempts.again(&nobody).await {
                return Err(error);
            }
        }
    }

    /// The base URI of the node that leads `shard`.
    ///
    /// # Errors
    /// When no distributor answers, or nobody leads the shard.
    pub async fn leader(&self, shard: ShardNo) -> Result<String, LeaderError> {
        let answer = self
            .nodes()
            .await
            .map_err(|source| LeaderError::Ask { shard, source })?;
        leader_among(&answer, shard).ok_or(LeaderError::None(shard))
    }
}

/// The base URI of the node that leads `shard`, as `GET /nodes` tells it.
pub fn leader_among(answer: &NodesAnswer, shard: ShardNo) -> Option<String> {
    answer
        .nodes
        .values()
        .find(|entry| {
            entry
                .shards
                .iter()
                .any(|held| held.shard == shard && held.role == ReplicaRole::Leader)
        })
        .map(|entry| entry.public_url.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    // If this fails, a retry goes to a follower, or to a node that has nothing to do with it.
    #[test]
    fn the_leader_is_found_by_its_shard() {
        let entry = |port: u16, role: &str| {
            json!({
                "host": "h", "port": port, "public_url": format!("http://h:{port}/"),
                "role": "node", "health": "up",
                "shards": [{"shard": 7, "role": role, "state": "open"}],
            })
        };
        let answer = json!({
            "cluster": "c9a646d3-9c61-4cb7-bfcd-ee2522c8f633",
            "nodes": {"node1": entry(1, "follower"), "node2": entry(2, "leader")},
        });
        let answer: NodesAnswer = serde_json::from_value(answer).expect("reads");
        assert_eq!(
            leader_among(&answer, ShardNo(7)),
            Some("http://h:2".to_owned())
        );
        assert_eq!(leader_among(&answer, ShardNo(8)), None);
    }
}
