//! `/health/live`, `/health/ready`, `/metrics`.

use actix_web::http::header::ACCEPT;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;
use service::measures::Format;

use super::error::ApiError;
use crate::app::Shared;
use crate::metrics::Metrics;

/// The process answers.
pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "OK"}))
}

/// The catalog answers as well.
pub(super) async fn ready(shared: Data<Shared>) -> Result<HttpResponse, ApiError> {
    if shared.catalog_up() {
        Ok(HttpResponse::Ok().json(json!({"status": "OK"})))
    } else {
        Err(ApiError::catalog_away())
    }
}

/// Counts and measures, for Prometheus.
pub(super) async fn metrics(
    request: HttpRequest,
    shared: Data<Shared>,
) -> Result<HttpResponse, ApiError> {
    let accept = request.headers().get(ACCEPT);
    let format = Format::of(accept.and_then(|accept| accept.to_str().ok()));
    let text = Metrics::text(&shared).map_err(|error| ApiError::internal(error.to_string()))?;
    Ok(HttpResponse::Ok()
        .content_type(format.content_type())
        .body(format.of_openmetrics(text)))
}
