//! Updates: a new version of a content that exists.
//!
//! An update names the version that it replaces (`If-Match`), so that a repeated one is recognised
//! and made once.

use reqwest::Method;
use reqwest::header::{CONTENT_LENGTH, IF_MATCH};
use wire::content::{ContentItem, Receipt};
use wire::{Checksum, Code, ContentId, routes};

use super::Client;
use super::catalog::etag;
use super::error::RequestError;
use super::meter::Meter;
use super::place::LeaderError;
use super::retry::Remedy;
use super::source::SourceError;
use super::upload::{Upload, describe};

/// What an update may replace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Whatever is there.
    Any,
    /// Only the version whose bytes have this hash.
    Only(Checksum),
}

/// How often an unconditional update begins anew because another one came in between.
const RACES_MAX: u32 = 5;

/// Why an update failed.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// The bytes cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The content's current version is not known.
    #[error("cannot look up {id}")]
    Look {
        /// The content.
        id: ContentId,
        /// Why.
        source: RequestError,
    },
    /// Nobody leads its shard.
    #[error(transparent)]
    Leader(#[from] LeaderError),
    /// The node did not update it.
    #[error(transparent)]
    Store(RequestError),
    /// The node may have updated it.
    #[error("whether {id} is updated is not known")]
    Uncertain {
        /// The content.
        id: ContentId,
        /// The last failure.
        source: RequestError,
    },
    /// The node stored other bytes than those that were sent.
    #[error("{id} is updated with other bytes than were sent: {stored}, not {sent}")]
    Mismatch {
        /// The content.
        id: ContentId,
        /// The hash of what was read here.
        sent: Checksum,
        /// The hash in the receipt.
        stored: Checksum,
    },
}

impl Client {
    /// Replaces a content by a new version and returns its receipt, whose hash was compared with
    /// that of the bytes read. Without a condition, an update that another one overtakes is made
    /// again on top of it, unless the first attempt may have come through.
    ///
    /// # Errors
    /// When the bytes cannot be read, the content does not exist, the condition fails, the cluster
    /// refuses, or patience ends.
    pub async fn update(
        &self,
        id: ContentId,
        upload: &Upload,
        condition: Condition,
        meter: &Meter,
    ) -> Result<Receipt, UpdateError> {
        let mut item = self.look(id, None).await?;
        for _ in 1..RACES_MAX {
            let base = match condition {
                Condition::Any => item.row.checksum,
                Condition::Only(checksum) => checksum,
            };
            match self.update_from(&item, base, upload, meter).await {
                Err(UpdateError::Store(error))
                    if condition == Condition::Any
                        && error.code() == Some(Code::PreconditionFailed) =>
                {
                    item = self.look(id, Some(item.row.version + 1)).await?;
                }
                outcome => return outcome,
            }
        }
        self.update_from(&item, item.row.checksum, upload, meter)
            .await
    }

    async fn look(&self, id: ContentId, min: Option<u64>) -> Result<ContentItem, UpdateError> {
        self.info(id, min)
            .await
            .map_err(|source| UpdateError::Look { id, source })
    }

    async fn update_from(
        &self,
        item: &ContentItem,
        base: Checksum,
        upload: &Upload,
        meter: &Meter,
    ) -> Result<Receipt, UpdateError> {
        let id = item.row.id;
        let mut node = match item.uri.as_str() {
            "" => self.next_leader_of(id.shard()).await?,
            uri => uri.trim_end_matches('/').to_owned(),
        };
        let mut attempts = self.attempts().reached();
        let mut uncertain = false;
        loop {
            let url = routes::update(&node, id);
            let mut opened = upload.source.open(meter).await?;
            let request = describe(self.request(Method::PUT, &url), &upload.metadata)
                .header(IF_MATCH, etag(base))
                .header(CONTENT_LENGTH, opened.size);
            let (shard, body) = (id.shard(), opened.take_body());
            let sent = self.send_to_leader(request, &url, body, shard, &mut attempts);
            let error = match sent.await {
                Ok(receipt) => return verified(receipt, opened.checksum().await?),
                Err(error) => error,
            };
            if let Some(failure) = opened.failure() {
                return Err(failure.into());
            }
            uncertain |= error.may_have_changed();
            attempts.came_to(meter.bytes());
            let remedy = error.remedy();
            if remedy == Remedy::GiveUp || !attempts.again(&error).await {
                return Err(failed(id, error, uncertain));
            }
            if let Some(next) = self.next_leader(id, remedy, &error).await {
                node = next;
            }
        }
    }

    /// The node that an attempt should go to next; none for the same one.
    async fn next_leader(
        &self,
        id: ContentId,
        remedy: Remedy,
        error: &RequestError,
    ) -> Option<String> {
        let not_led = error.code() == Some(Code::NoLeader);
        match (remedy, error.leader()) {
            (Remedy::Leader, Some(leader)) => Some(leader.trim_end_matches('/').to_owned()),
            (Remedy::Leader | Remedy::AnotherPlace, _) => self.leader(id.shard()).await.ok(),
            // It broke off, or it does not lead: another node may by now.
            (Remedy::Same, _) if error.may_have_changed() || not_led => {
                self.leader(id.shard()).await.ok()
            }
            (Remedy::Same | Remedy::GiveUp, _) => None,
        }
    }
}

fn failed(id: ContentId, error: RequestError, uncertain: bool) -> UpdateError {
    if uncertain {
        UpdateError::Uncertain { id, source: error }
    } else {
        UpdateError::Store(error)
    }
}

fn verified(receipt: Receipt, sent: Checksum) -> Result<Receipt, UpdateError> {
    if receipt.checksum == sent {
        Ok(receipt)
    } else {
        Err(UpdateError::Mismatch {
            id: receipt.id,
            sent,
            stored: receipt.checksum,
        })
    }
}
