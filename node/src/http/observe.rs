//! What the node says of itself: statistics, measures, health.

use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT, CACHE_CONTROL};
use actix_web::{HttpRequest, HttpResponse};
use service::access::Need;
use service::measures::Format;
use wire::Code;

use super::error::ApiError;
use super::{allow, frame};
use crate::metrics::Metrics;

/// `GET /stats`.
pub(super) async fn stats(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let node = frame::node(&request)?;
    allow(&node, &request, Need::Read)?;
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(node.stats()))
}

/// `GET /metrics`.
pub(super) async fn metrics(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let node = frame::node(&request)?;
    allow(&node, &request, Need::Read)?;
    let accept = request.headers().get(ACCEPT);
    let format = Format::of(accept.and_then(|accept| accept.to_str().ok()));
    let text = Metrics::text(&node).map_err(|error| ApiError::internal(&error))?;
    Ok(HttpResponse::Ok()
        .content_type(format.content_type())
        .body(format.of_openmetrics(text)))
}

/// `GET /health/live`: the process answers, and need not be started again.
pub(super) async fn live(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let node = frame::node(&request)?;
    if !node.handle.presence().lives() {
        return Err(ApiError::new(Code::Internal, "the disk thread has ended"));
    }
    Ok(HttpResponse::Ok().json(serde_json::json!({ "status": "ok" })))
}

/// `GET /health/ready`: it serves, and its disk works. A distributor that does not answer leaves
/// it ready: what is led is served.
pub(super) async fn ready(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let node = frame::node(&request)?;
    let (status, body) = match node.unready() {
        None => (StatusCode::OK, serde_json::json!({ "status": "ok" })),
        Some(reason) => (
            StatusCode::SERVICE_UNAVAILABLE,
            serde_json::json!({ "status": "unready", "reason": reason }),
        ),
    };
    Ok(HttpResponse::build(status).json(body))
}
