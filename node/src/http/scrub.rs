//! `GET` and `POST /scrub`: how far the node's scrubs are, and beginning one.

use actix_web::http::StatusCode;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse};
use service::access::Need;

use super::error::ApiError;
use super::{allow, frame};

/// How far each replica is.
pub(super) async fn show(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let node = frame::node(&request)?;
    allow(&node, &request, Need::Read)?;
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(node.scrubs.report()))
}

/// A full pass over every replica begins.
pub(super) async fn begin(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let node = frame::node(&request)?;
    allow(&node, &request, Need::Write)?;
    node.scrubs.begin();
    let body = serde_json::json!({ "status": "begun" });
    Ok(HttpResponse::build(StatusCode::ACCEPTED).json(body))
}
