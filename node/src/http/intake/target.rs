//! What a request that brings a body wants to change, settled before the body is read.

use std::sync::Arc;

use actix_web::http::header::HeaderMap;
use store::{Content, How, ReadError};
use wire::{Code, ContentId};

use crate::driver::command::Wait;
use crate::driver::table::ReplicaView;
use crate::http::error::ApiError;
use crate::http::precondition;
use crate::http::query::Query;
use crate::node::Node;

/// Whether a request makes a content or replaces one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Intent {
    /// Store a new content.
    Create,
    /// Replace a content by a new version.
    Replace,
}

/// A content that this node may change.
pub(super) struct Target {
    pub(super) how: How,
    /// The version that is replaced, for the names that the request does not bring.
    pub(super) replaced: Option<Content>,
}

impl Target {
    /// Settles what `id` names here.
    ///
    /// # Errors
    /// When another node leads its shard, or nobody does; when there is nothing to replace.
    pub(super) async fn settle(
        node: &Node,
        intent: Intent,
        id: ContentId,
        headers: &HeaderMap,
    ) -> Result<Self, ApiError> {
        let no_shard = match intent {
            Intent::Create => Code::IdRefused,
            Intent::Replace => Code::NotFound,
        };
        let routed = match intent {
            Intent::Create => node.find_creator(id).await,
            Intent::Replace => node.find_leader(id).await,
        };
        let replica = routed.map_err(|why| ApiError::misrouted(why, no_shard))?;
        if intent == Intent::Create {
            return Ok(Target {
                how: How::Create,
                replaced: None,
            });
        }
        let replaced = current(replica, id).await??;
        let if_match = precondition::if_match(headers, &replaced.checksum)?;
        Ok(Target {
            how: How::Update { if_match },
            replaced: Some(replaced),
        })
    }
}

/// The current version of a content, by the head of its record alone: whether its bytes are whole is no
/// concern of who replaces it.
///
/// # Errors
/// The inner one when there is none, or it cannot be read.
pub(in crate::http) async fn current(
    replica: Arc<ReplicaView>,
    id: ContentId,
) -> Result<Result<Content, ReadError>, ApiError> {
    if let Some(content) = replica.reader.content_cached(id).transpose() {
        return Ok(content);
    }
    let content = tokio::task::spawn_blocking(move || replica.reader.content(id)).await;
    content.map_err(|error| ApiError::internal(&error))
}

/// What the answer waits for.
///
/// # Errors
/// When `wait` is there and is neither of the two words.
pub(in crate::http) fn wait(query: &Query) -> Result<Wait, ApiError> {
    match query.get("wait")? {
        None => Ok(Wait::Briefly),
        Some("listed") => Ok(Wait::Listed),
        Some("committed") => Ok(Wait::Committed),
        Some(_) => Err(ApiError::malformed(
            "`wait` is neither `committed` nor `listed`",
        )),
    }
}

/// Words for people: what was done.
pub(super) fn done(intent: Intent) -> &'static str {
    match intent {
        Intent::Create => "uploaded",
        Intent::Replace => "updated",
    }
}
