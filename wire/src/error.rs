//! The closed list of errors that a client can meet.
//!
//! A [`Code`] fixes the HTTP status, whether the same request can be sent again, and whether the
//! failed request may have changed anything. Services map their own errors onto it, exhaustively.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What went wrong, as a word that programs can match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The id is not a UUID of version 8.
    MalformedId,
    /// The request's query, headers or JSON body cannot be read.
    MalformedRequest,
    /// The multipart body has no boundary, breaks its own format, or ends before its last boundary.
    MalformedMultipart,
    /// A multipart upload without a field `file`.
    NoFile,
    /// A file name, content type, collection or attributes that can't be stored.
    InvalidMetadata,
    /// The id may not name a new content: minted for another time or for an unknown shard.
    IdRefused,
    /// The body ended before its length.
    BodyCutShort,
    /// The body's hash is not the one that the client sent with it.
    DigestMismatch,
    /// No key, or a wrong one.
    Unauthorized,
    /// No such content.
    NotFound,
    /// No such route.
    NoRoute,
    /// The route exists, with other methods.
    MethodNotAllowed,
    /// The body came slower than the minimum rate.
    TooSlow,
    /// The id names other bytes already.
    Conflict,
    /// An upload under this id is still running.
    InProgress,
    /// The shard takes no new content any more; ask for another place.
    ShardClosed,
    /// The content was deleted; its id is never used again.
    Deleted,
    /// `If-Match` names another version than the current one.
    PreconditionFailed,
    /// The body, or one of its parts, is over its limit.
    TooLarge,
    /// No byte of the range lies within the content.
    RangeNotSatisfiable,
    /// Another node leads this content's shard; `leader` names it.
    WrongNode,
    /// A fault of ours; the request id leads to it in the log.
    Internal,
    /// A storage node that this answer needs could not be reached.
    NodeUnreachable,
    /// This copy of the content is damaged; it is being repaired.
    Damaged,
    /// The shard has no leader that may answer at this moment.
    NoLeader,
    /// Too much is under way; the request was refused before its body was read.
    Overloaded,
    /// The catalog database or the coordinator does not answer, or has only just begun to.
    CatalogUnavailable,
    /// No storage node can take this upload at this moment.
    NoNode,
    /// The answer is lost: the change may have happened. Ask again with the same id.
    Uncertain,
    /// The services disagree on which cluster this is.
    WrongCluster,
    /// The storage is full.
    StorageFull,
    /// Shards still name this node, or may soon: drain it first.
    NodeInUse,
    /// This process of the node was removed from the cluster; start it anew to let it back.
    NodeRemoved,
    /// Another process is alive under the node's name, at another address.
    NameTaken,
    /// The shard waits for nobody: it is led, or somebody can be elected.
    NotWaiting,
    /// The node does not answer, or has no copy of the shard.
    NoCopy,
    /// Something speaks against it: it is only done by force.
    NeedsForce,
}

/// Whether and how a failed request can be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It will fail again until the request is changed.
    Never,
    /// The same request can succeed later, at the same place.
    Later,
    /// The same request can succeed at another node, or with another place from `GET /store`.
    Elsewhere,
}

impl Code {
    /// Every code there is.
    pub const ALL: [Code; 37] = [
        Code::MalformedId,
        Code::MalformedRequest,
        Code::MalformedMultipart,
        Code::NoFile,
        Code::InvalidMetadata,
        Code::IdRefused,
        Code::BodyCutShort,
        Code::DigestMismatch,
        Code::Unauthorized,
        Code::NotFound,
        Code::NoRoute,
        Code::MethodNotAllowed,
        Code::TooSlow,
        Code::Conflict,
        Code::InProgress,
        Code::ShardClosed,
        Code::Deleted,
        Code::PreconditionFailed,
        Code::TooLarge,
        Code::RangeNotSatisfiable,
        Code::WrongNode,
        Code::Internal,
        Code::NodeUnreachable,
        Code::Damaged,
        Code::NoLeader,
        Code::Overloaded,
        Code::CatalogUnavailable,
        Code::NoNode,
        Code::Uncertain,
        Code::WrongCluster,
        Code::StorageFull,
        Code::NodeInUse,
        Code::NodeRemoved,
        Code::NameTaken,
        Code::NotWaiting,
        Code::NoCopy,
        Code::NeedsForce,
    ];

    /// What it means, for people: a sentence without its full stop.
    pub fn meaning(self) -> &'static str {
        match self {
            Code::MalformedId => "The id is not a UUID of version 8",
            Code::MalformedRequest => "The request's query, headers or JSON body cannot be read",
            Code::MalformedMultipart => {
                "The multipart body has no boundary, breaks its own format, or ends before its last boundary"
            }
            Code::NoFile => "A multipart upload without a field `file`",
            Code::InvalidMetadata => {
                "A file name, content type, collection or attributes that can't be stored"
            }
            Code::IdRefused => {
                "The id may not name a new content: minted for another time or for an unknown shard"
            }
            Code::BodyCutShort => "The body ended before its length",
            Code::DigestMismatch => "The body's hash is not the one that the client sent with it",
            Code::Unauthorized => "No key, or a wrong one",
            Code::NotFound => "No such content",
            Code::NoRoute => "No such route",
            Code::MethodNotAllowed => "The route exists, with other methods",
            Code::TooSlow => "The body came slower than the minimum rate",
            Code::Conflict => "The id names other bytes already",
            Code::InProgress => "An upload under this id is still running",
            Code::ShardClosed => "The shard takes no new content any more; ask for another place",
            Code::Deleted => "The content was deleted; its id is never used again",
            Code::PreconditionFailed => "`If-Match` names another version than the current one",
            Code::TooLarge => "The body, or one of its parts, is over its limit",
            Code::RangeNotSatisfiable => "No byte of the range lies within the content",
            Code::WrongNode => "Another node leads this content's shard; `leader` names it",
            Code::Internal => "A fault of ours; the request id leads to it in the log",
            Code::NodeUnreachable => "A storage node that this answer needs could not be reached",
            Code::Damaged => "This copy of the content is damaged; it is being repaired",
            Code::NoLeader => "The shard has no leader that may answer at this moment",
            Code::Overloaded => {
                "Too much is under way; the request was refused before its body was read"
            }
            Code::CatalogUnavailable => {
                "The catalog database or the coordinator does not answer, or has only just begun to"
            }
            Code::NoNode => "No storage node can take this upload at this moment",
            Code::Uncertain => {
                "The answer is lost: the change may have happened. Ask again with the same id"
            }
            Code::WrongCluster => "The services disagree on which cluster this is",
            Code::StorageFull => "The storage is full",
            Code::NodeInUse => "Shards still name this node, or may soon: drain it first",
            Code::NodeRemoved => {
                "This process of the node was removed from the cluster; start it anew to let it back"
            }
            Code::NameTaken => "Another process is alive under the node's name, at another address",
            Code::NotWaiting => "The shard waits for nobody: it is led, or somebody can be elected",
            Code::NoCopy => "The node does not answer, or has no copy of the shard",
            Code::NeedsForce => "Something speaks against it: it is only done by force",
        }
    }

    /// The word that names it in answers.
    pub fn word(self) -> String {
        let named = serde_json::to_value(self);
        let named = named.expect("a variant without fields is a word of JSON");
        named.as_str().unwrap_or_default().to_owned()
    }

    /// The HTTP status of an answer with this code.
    pub fn status(self) -> u16 {
        match self {
            Code::MalformedId
            | Code::MalformedRequest
            | Code::MalformedMultipart
            | Code::NoFile
            | Code::InvalidMetadata
            | Code::IdRefused
            | Code::BodyCutShort
            | Code::DigestMismatch => 400,
            Code::Unauthorized => 401,
            Code::NotFound | Code::NoRoute => 404,
            Code::MethodNotAllowed => 405,
            Code::TooSlow => 408,
            Code::Conflict
            | Code::InProgress
            | Code::ShardClosed
            | Code::WrongCluster
            | Code::NodeInUse
            | Code::NodeRemoved
            | Code::NameTaken
            | Code::NotWaiting
            | Code::NoCopy
            | Code::NeedsForce => 409,
            Code::Deleted => 410,
            Code::PreconditionFailed => 412,
            Code::TooLarge => 413,
            Code::RangeNotSatisfiable => 416,
            Code::WrongNode => 421,
            Code::Internal => 500,
            Code::NodeUnreachable => 502,
            Code::Damaged
            | Code::NoLeader
            | Code::Overloaded
            | Code::CatalogUnavailable
            | Code::NoNode
            | Code::Uncertain => 503,
            Code::StorageFull => 507,
        }
    }

    /// Whether the same request can be sent again.
    pub fn retry(self) -> Retry {
        match self {
            Code::MalformedId
            | Code::MalformedRequest
            | Code::MalformedMultipart
            | Code::NoFile
            | Code::InvalidMetadata
            | Code::IdRefused
            | Code::Unauthorized
            | Code::NotFound
            | Code::NoRoute
            | Code::MethodNotAllowed
            | Code::Conflict
            | Code::Deleted
            | Code::PreconditionFailed
            | Code::TooLarge
            | Code::RangeNotSatisfiable
            | Code::WrongCluster
            | Code::NodeInUse
            | Code::NodeRemoved
            | Code::NotWaiting
            | Code::NoCopy
            | Code::NeedsForce => Retry::Never,
            Code::BodyCutShort
            | Code::DigestMismatch
            | Code::TooSlow
            | Code::InProgress
            | Code::NameTaken
            | Code::Internal
            | Code::NodeUnreachable
            | Code::NoLeader
            | Code::Overloaded
            | Code::CatalogUnavailable
            | Code::NoNode
            | Code::Uncertain => Retry::Later,
            Code::ShardClosed | Code::WrongNode | Code::Damaged | Code::StorageFull => {
                Retry::Elsewhere
            }
        }
    }

    /// Whether the failed request may have changed something all the same.
    pub fn may_have_changed(self) -> bool {
        matches!(
            self,
            Code::Internal | Code::NodeUnreachable | Code::Uncertain | Code::InProgress
        )
    }
}

/// The JSON body of every error answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// Always `error`.
    pub status: ErrorStatus,
    /// What went wrong, for programs.
    pub code: Code,
    /// What went wrong, for people.
    pub message: String,
    /// Names this request in the service's log.
    pub request_id: String,
    /// With `wrong_node`: the base URI of the node that leads the content's shard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
}

/// The `status` of an error body: one word, so that answers can be told apart by it alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ErrorStatus {
    /// The request failed.
    Error,
}

impl ErrorBody {
    /// An error body without a leader.
    pub fn new(code: Code, message: impl Into<String>, request_id: impl Into<String>) -> Self {
        ErrorBody {
            status: ErrorStatus::Error,
            code,
            message: message.into(),
            request_id: request_id.into(),
            leader: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a program that matches on codes breaks with the next release.
    #[test]
    fn codes_are_snake_case_words_and_all_are_listed() {
        let words: Vec<String> = Code::ALL
            .iter()
            .map(|code| serde_json::to_string(code).expect("serialises"))
            .collect();
        assert_eq!(words[0], "\"malformed_id\"");
        assert!(words.iter().all(|w| {
            w.trim_matches('"')
                .chars()
                .all(|c| c.is_ascii_lowercase() || c == '_')
        }));
        let distinct: std::collections::BTreeSet<_> = words.iter().collect();
        assert_eq!(distinct.len(), Code::ALL.len());
    }

    // If this fails, a client gives up on what would have worked, or retries what cannot.
    #[test]
    fn client_errors_of_the_request_itself_are_not_retried() {
        for code in Code::ALL {
            assert!((400..600).contains(&code.status()));
            if code.may_have_changed() {
                assert_ne!(
                    code.retry(),
                    Retry::Never,
                    "{code:?} leaves the client in the dark"
                );
            }
        }
    }
}
