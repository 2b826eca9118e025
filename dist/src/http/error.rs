//! Every error that a request can end with, mapped onto `wire::Code`.

use std::fmt;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use wire::error::ErrorBody;
use wire::name::RefuseName;
use wire::{Code, NodeName};

use crate::catalog::QueryError;
use crate::coordinator::CoordinatorError;
use crate::lister::ListError;
use crate::peer::CallError;
use crate::peer::Trail;

/// A request's end without a result.
#[derive(Debug)]
pub(super) struct ApiError {
    code: Code,
    /// For the client.
    message: String,
    /// For the log alone.
    detail: Option<String>,
    /// The methods that a route has.
    allow: Option<&'static str>,
}

impl ApiError {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        ApiError {
            code,
            message: message.into(),
            detail: None,
            allow: None,
        }
    }

    pub(super) fn malformed(message: impl Into<String>) -> Self {
        Self::new(Code::MalformedRequest, message)
    }

    pub(super) fn no_route() -> Self {
        Self::new(
            Code::NoRoute,
            "there is nothing under this path; see the HTTP API's routes",
        )
    }

    pub(super) fn method_not_allowed(allow: &'static str) -> Self {
        let message = format!("this path has the methods {allow}");
        ApiError {
            allow: Some(allow),
            ..Self::new(Code::MethodNotAllowed, message)
        }
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(
            Code::Unauthorized,
            "this needs a key: `Authorization: Bearer …`, or between services `x-cluster-key`",
        )
    }

    pub(super) fn no_leader() -> Self {
        Self::new(
            Code::NoLeader,
            "the content's shard has no leader that is reachable just now",
        )
    }

    pub(super) fn catalog_away() -> Self {
        Self::new(
            Code::CatalogUnavailable,
            "the catalog database does not answer",
        )
    }

    pub(super) fn not_registered(node: &NodeName) -> Self {
        let message = format!("{node} lists before this distributor accepted its heartbeat");
        Self::new(Code::CatalogUnavailable, message)
    }

    /// A fault of ours: the client learns nothing of it but the request id.
    pub(super) fn internal(detail: String) -> Self {
        let message = "something failed here; the request id leads to it in the log";
        ApiError {
            detail: Some(detail),
            ..Self::new(Code::Internal, message)
        }
    }

    fn with_detail(self, detail: String) -> Self {
        ApiError {
            detail: Some(detail),
            ..self
        }
    }

    /// A change that no page of ours asked for.
    pub(super) fn forged() -> Self {
        Self::new(
            Code::Unauthorized,
            "this change was asked for by a page of another site, or under a name of this service \
             that PUBLIC_URL does not tell",
        )
    }

    pub(super) fn code(&self) -> Code {
        self.code
    }

    /// A fault's detail is logged here, once.
    pub(super) fn log(&self, trail: &Trail) {
        let request_id = trail.request_id.as_str();
        if let Some(detail) = &self.detail {
            let (code, message) = (self.code, &self.message);
            let trace = trail.trace.map(|trace| trace.trace_id());
            tracing::warn!(request_id, trace, ?code, message, detail, "request failed");
        }
    }

    /// The answer, as JSON.
    pub(super) fn answer(&self, trail: &Trail) -> HttpResponse {
        self.log(trail);
        let mut response = HttpResponse::build(status(self.code));
        if let Some(allow) = self.allow {
            response.insert_header((header::ALLOW, allow));
        }
        if self.code == Code::Unauthorized {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        if self.code.status() == 503 {
            response.insert_header((header::RETRY_AFTER, "1"));
        }
        let id = trail.request_id.as_str();
        response.json(ErrorBody::new(self.code, self.message.as_str(), id))
    }
}

fn status(code: Code) -> StatusCode {
    StatusCode::from_u16(code.status()).expect("every code names a status of HTTP")
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        status(self.code)
    }
}

/// An error of the framework's own, such as a head that it could not read.
pub(super) fn foreign(error: &actix_web::Error) -> ApiError {
    let status = error.as_response_error().status_code();
    if status.is_client_error() {
        ApiError::malformed(error.to_string())
    } else {
        ApiError::internal(error.to_string())
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        let detail = error.to_string();
        match error {
            QueryError::Unavailable(_) | QueryError::Ended(_) => {
                ApiError::catalog_away().with_detail(detail)
            }
            QueryError::TooLong(order) if order.is_by_name() => ApiError::malformed(
                "too few of the names are of this collection to be found in this order; ask with \
                 sort=id, or for a longer beginning",
            ),
            QueryError::TooLong(_) => ApiError::malformed(
                "too many names begin so to be put into this order; ask for those of all \
                 collections with sort=name, or for a longer beginning",
            ),
            QueryError::Refused(_) | QueryError::Failed(_) | QueryError::Corrupt { .. } => {
                ApiError::internal(detail)
            }
        }
    }
}

impl From<CoordinatorError> for ApiError {
    fn from(error: CoordinatorError) -> Self {
        let detail = error.to_string();
        match error {
            CoordinatorError::Unavailable(_) => ApiError::catalog_away().with_detail(detail),
            CoordinatorError::Order { .. } => ApiError::malformed(detail),
            CoordinatorError::Failed(_) => ApiError::internal(detail),
        }
    }
}

impl From<ListError> for ApiError {
    fn from(error: ListError) -> Self {
        match error {
            ListError::Overloaded => ApiError::new(Code::Overloaded, error.to_string()),
            // The lister has logged it for all batches at once.
            ListError::Unavailable(_) => ApiError::catalog_away(),
            ListError::Failed(detail) => ApiError::internal(detail),
        }
    }
}

impl From<CallError> for ApiError {
    fn from(error: CallError) -> Self {
        let detail = error.to_string();
        match error {
            CallError::Connect { .. } => ApiError::no_leader().with_detail(detail),
            CallError::Lost { .. } | CallError::Unreadable { .. } => ApiError::new(
                Code::NodeUnreachable,
                "the node that leads the content's shard gave no answer that could be read",
            )
            .with_detail(detail),
        }
    }
}

impl From<RefuseName> for ApiError {
    fn from(error: RefuseName) -> Self {
        ApiError::malformed(error.to_string())
    }
}

/// A node that belongs to another cluster.
pub(super) fn wrong_cluster(node: &NodeName, its: uuid::Uuid, ours: uuid::Uuid) -> ApiError {
    ApiError::new(
        Code::WrongCluster,
        format!("{node} belongs to cluster {its}, this distributor's catalog to {ours}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::PageOrder;

    // If this fails, who searches is sent from one order that takes too long to the other, and back again.
    #[test]
    fn a_search_that_takes_too_long_is_told_what_helps_in_the_end() {
        let (by_id, by_name) = (
            [PageOrder::Oldest, PageOrder::Newest],
            [PageOrder::Name, PageOrder::NameBackwards],
        );
        for (orders, other) in [(by_id, "sort=name"), (by_name, "sort=id")] {
            for order in orders {
                let error = ApiError::from(QueryError::TooLong(order));
                assert_eq!(error.code(), Code::MalformedRequest);
                let advice = error.to_string();
                assert!(advice.contains(other), "{advice}");
                assert!(advice.ends_with(", or for a longer beginning"), "{advice}");
            }
        }
    }
}
