//! A content's copies, and a shard's, each asked for itself.

use std::time::Duration;

use reqwest::Method;
use wire::integrity::{GiveUp, GivenUp, LostReport, Verified};
use wire::{ContentId, ShardNo, routes};

use crate::api::error::RequestError;
use crate::api::exchange::read_json;
use crate::api::retry::Remedy;
use crate::api::{Client, SMALL_EXCHANGE_MAX};

/// How long a node may take to tell what it has lost: it asks others first, of which some may be away.
const LOST_TIME_MAX: Duration = Duration::from_secs(10);

/// The slowest disk that is waited for, with others' verifications before this one.
const BYTES_PER_S_MIN: u64 = 4 << 20;

impl Client {
    /// What the node at `base` has lost of its replicas. Asked once.
    ///
    /// # Errors
    /// When it refuses, or nobody answers.
    pub async fn lost_of(&self, base: &str) -> Result<LostReport, RequestError> {
        let url = format!("{base}{}", routes::LOST);
        let request = self.request(Method::GET, &url).timeout(LOST_TIME_MAX);
        read_json(self.send(request, &url).await?, &url).await
    }

    /// Gives up what the node at `base` has lost of a shard. Asked once: after a lost answer it is
    /// [`Client::lost_of`] that tells whether it was done.
    ///
    /// # Errors
    /// When another copy has it, or may have, or nobody answers.
    pub async fn give_up(
        &self,
        base: &str,
        shard: ShardNo,
        choice: GiveUp,
    ) -> Result<GivenUp, RequestError> {
        let url = routes::give_up(base, shard);
        let request = self
            .request(Method::POST, &url)
            .json(&choice)
            .timeout(SMALL_EXCHANGE_MAX);
        read_json(self.send(request, &url).await?, &url).await
    }

    /// What the node at `base` has of a content of `size` bytes, read from its disk now. Beside a small
    /// answer's time it gets the time to read so much.
    ///
    /// # Errors
    /// When its copy is damaged, it has none, or it does not answer.
    pub async fn verify(
        &self,
        base: &str,
        id: ContentId,
        size: u64,
    ) -> Result<Verified, RequestError> {
        let url = routes::verify(base, id);
        let time_max = SMALL_EXCHANGE_MAX + Duration::from_secs(size / BYTES_PER_S_MIN);
        let mut attempts = self.attempts();
        loop {
            let request = self.request(Method::GET, &url).timeout(time_max);
            let verified = match self.send(request, &url).await {
                Ok(answer) => read_json(answer, &url).await,
                Err(error) => Err(error),
            };
            match verified {
                // Another copy would not do.
                Err(error) if error.remedy() == Remedy::Same => {
                    if !attempts.again(&error).await {
                        return Err(error);
                    }
                }
                other => return other,
            }
        }
    }
}
