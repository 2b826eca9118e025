//! The one place where the node's errors become HTTP.

use std::borrow::Cow;

use actix_web::http::StatusCode;
use actix_web::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_RANGE, HeaderName, HeaderValue, InvalidHeaderValue,
};
use actix_web::{HttpResponse, ResponseError};
use store::{AppendError, ChangeError, ReadError};
use wire::id::{ParseIdError, RefuseNewId};
use wire::name::RefuseName;
use wire::{Code, ContentId, ErrorBody};

use crate::driver::admission::AdmissionError;
use crate::driver::command::ChangeFailure;
use crate::driver::upload::UploadError;
use crate::node::Node;
use crate::routing::Misrouted;

/// An answer that is an error.
#[derive(Debug)]
pub(crate) struct ApiError {
    pub(crate) code: Code,
    message: Cow<'static, str>,
    /// What few errors have; boxed, so that results stay small.
    rare: Box<Rare>,
}

#[derive(Debug, Default)]
struct Rare {
    /// For the log alone.
    detail: Option<String>,
    leader: Option<String>,
    header: Option<(HeaderName, HeaderValue)>,
}

impl ApiError {
    pub(crate) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        ApiError {
            code,
            message: message.into(),
            rare: Box::default(),
        }
    }

    /// An error whose reason is for the log, not for the client.
    fn hidden(code: Code, message: &'static str, detail: &dyn std::error::Error) -> Self {
        let mut text = detail.to_string();
        let mut source = detail.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        let mut error = Self::new(code, message);
        error.rare.detail = Some(text);
        error
    }

    fn with_header(
        mut self,
        name: HeaderName,
        value: Result<HeaderValue, InvalidHeaderValue>,
    ) -> Self {
        self.rare.header = value.ok().map(|value| (name, value));
        self
    }

    pub(crate) fn internal(detail: &dyn std::error::Error) -> Self {
        Self::hidden(
            Code::Internal,
            "a fault of this service; its log has the request id",
            detail,
        )
    }

    pub(crate) fn malformed(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::MalformedRequest, message)
    }

    /// No byte of the ranges lies within a content of `size` bytes.
    pub(crate) fn unsatisfiable(size: u64) -> Self {
        let message = format!("no byte of the range lies within the content's {size}");
        let range = HeaderValue::try_from(format!("bytes */{size}"));
        Self::new(Code::RangeNotSatisfiable, message).with_header(CONTENT_RANGE, range)
    }

    /// A method that the route does not have; `allowed` are those that it has.
    pub(crate) fn method(allowed: &'static str) -> Self {
        let message = format!("this route takes {allowed}");
        Self::new(Code::MethodNotAllowed, message)
            .with_header(ALLOW, HeaderValue::try_from(allowed))
    }

    /// A request that this node does not answer; `no_shard` is what it is to a shard that there
    /// is none of.
    pub(crate) fn misrouted(misrouted: Misrouted, no_shard: Code) -> Self {
        match misrouted {
            Misrouted::Elsewhere(leader) => {
                let message = "another node leads this content's shard";
                let mut error = Self::new(Code::WrongNode, message);
                error.rare.leader = Some(leader);
                error
            }
            Misrouted::NoLeader => Self::new(
                Code::NoLeader,
                "the content's shard has no leader at this moment",
            ),
            Misrouted::NoShard => Self::new(no_shard, "the id names no shard of this cluster"),
        }
    }

    /// A change that was refused: when the leadership had moved, the answer names who leads, once
    /// the new leader knows of it.
    pub(crate) async fn refused(node: &Node, id: ContentId, failure: ChangeFailure) -> Self {
        match failure {
            ChangeFailure::NotLed => {
                node.settled(id).await;
                Self::misrouted(node.misrouted(id), Code::NotFound)
            }
            other => other.into(),
        }
    }

    /// As [`ApiError::refused`], of an upload that was cut off while its body came.
    pub(crate) async fn not_uploaded(node: &Node, id: ContentId, error: UploadError) -> Self {
        match error {
            UploadError::Change(failure) => Self::refused(node, id, failure).await,
            other => other.into(),
        }
    }

    /// The body that a client sees.
    pub(crate) fn body(&self, request_id: &str) -> ErrorBody {
        let mut body = ErrorBody::new(self.code, self.message.clone(), request_id);
        body.leader.clone_from(&self.rare.leader);
        body
    }

    /// What the log is told; none for what is the client's own affair.
    pub(crate) fn detail(&self) -> Option<&str> {
        match (&self.rare.detail, self.code.status()) {
            (Some(detail), _) => Some(detail),
            (None, 500..) => Some(&self.message),
            (None, _) => None,
        }
    }

    /// The answer to the request of this id.
    pub(crate) fn response(&self, request_id: &str) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        // Caches may keep 404 and 410 for as long as they like, and what is wrong now is right soon.
        response.insert_header((CACHE_CONTROL, "no-store"));
        if let Some((name, value)) = &self.rare.header {
            response.insert_header((name.clone(), value.clone()));
        }
        if self.code.status() == 503 {
            response.insert_header((actix_web::http::header::RETRY_AFTER, "1"));
        }
        if self.code == Code::Unauthorized {
            response.insert_header((actix_web::http::header::WWW_AUTHENTICATE, "Bearer"));
        }
        response.json(self.body(request_id))
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

// The frame around all routes answers with the request id; this is for what escapes it.
impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        self.response("")
    }
}

impl From<ParseIdError> for ApiError {
    fn from(error: ParseIdError) -> Self {
        Self::new(Code::MalformedId, error.to_string())
    }
}

impl From<RefuseName> for ApiError {
    fn from(error: RefuseName) -> Self {
        Self::new(Code::InvalidMetadata, error.to_string())
    }
}

impl From<RefuseNewId> for ApiError {
    fn from(error: RefuseNewId) -> Self {
        Self::new(Code::IdRefused, error.to_string())
    }
}

impl From<AdmissionError> for ApiError {
    fn from(error: AdmissionError) -> Self {
        match error {
            AdmissionError::Full { .. } | AdmissionError::CopyFull { .. } => Self::hidden(
                Code::StorageFull,
                "there is no room for the content here, or where its copies are kept",
                &error,
            ),
            AdmissionError::TooManyUploads => {
                Self::hidden(Code::Overloaded, "too many uploads are running", &error)
            }
        }
    }
}

impl From<UploadError> for ApiError {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::NotAdmitted(error) => error.into(),
            UploadError::TooLarge => Self::new(Code::TooLarge, error.to_string()),
            UploadError::DigestMismatch(_) => Self::new(Code::DigestMismatch, error.to_string()),
            UploadError::Change(error) => error.into(),
        }
    }
}

impl From<ChangeFailure> for ApiError {
    fn from(failure: ChangeFailure) -> Self {
        match failure {
            ChangeFailure::Busy => Self::new(Code::Overloaded, "the disk has too much to do"),
            ChangeFailure::NotLed => Self::new(
                Code::NoLeader,
                "the content's shard has no leader at this moment",
            ),
            ChangeFailure::ShardClosed => Self::new(
                Code::ShardClosed,
                "the shard takes no new content any more; ask for another place",
            ),
            ChangeFailure::Refused(error) => error.into(),
            ChangeFailure::Lost => Self::new(
                Code::Uncertain,
                "the change may have happened; ask again with the same id",
            ),
        }
    }
}

impl From<ChangeError> for ApiError {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Deleted => Self::new(Code::Deleted, "the content was deleted"),
            ChangeError::Conflict => Self::new(Code::Conflict, "the id names other bytes already"),
            ChangeError::InProgress => {
                Self::new(Code::InProgress, "an upload under this id is still running")
            }
            ChangeError::IdRefused(refusal) => refusal.into(),
            ChangeError::NotFound => Self::new(Code::NotFound, "there is no such content"),
            ChangeError::PreconditionFailed { current } => Self::new(
                Code::PreconditionFailed,
                format!("the current version's hash is {current}"),
            ),
            ChangeError::NoSuchUpload => Self::new(
                Code::Uncertain,
                "the upload was ended by a change of leadership; send it again",
            ),
            ChangeError::Damaged => damaged(),
            ChangeError::Append(error) => error.into(),
        }
    }
}

impl From<AppendError> for ApiError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Full { .. } => Self::new(Code::StorageFull, "the disk is full"),
            AppendError::Poisoned(reason) => Self::hidden(
                Code::NoLeader,
                "the content's shard takes no changes at this moment",
                &reason,
            ),
        }
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotFound => Self::new(Code::NotFound, "there is no such content"),
            ReadError::Deleted => Self::new(Code::Deleted, "the content was deleted"),
            ReadError::Damaged { .. } => damaged(),
            ReadError::Disk(error) => Self::internal(&error),
        }
    }
}

fn damaged() -> ApiError {
    ApiError::new(Code::Damaged, "this copy of the content is damaged")
}
