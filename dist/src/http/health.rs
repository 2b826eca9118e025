//! `/health/live`, `/health/ready`, `/metrics`.

use std::time::Instant;

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde_json::json;
use wire::membership::Health;

use super::error::ApiError;
use crate::app::Shared;
use crate::metrics::NodeLabels;

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
pub(super) async fn metrics(shared: Data<Shared>) -> Result<HttpResponse, ApiError> {
    let metrics = &shared.metrics;
    for view in shared.members.nodes(Instant::now()) {
        let labels = NodeLabels {
            node: view.name.to_string(),
        };
        let up = if view.health == Health::Up { 1.0 } else { 0.0 };
        metrics.node_up.get_or_create(&labels).set(up);
        let Some(stats) = view.stats else { continue };
        metrics
            .node_storage_bytes
            .get_or_create(&labels)
            .set(stats.storage as f64);
        metrics
            .node_max_storage_bytes
            .get_or_create(&labels)
            .set(stats.max_storage as f64);
        metrics
            .node_contents
            .get_or_create(&labels)
            .set(stats.contents as f64);
        metrics
            .node_unlisted
            .get_or_create(&labels)
            .set(stats.unlisted as f64);
    }
    let text = metrics
        .encode()
        .map_err(|error| ApiError::malformed(error.to_string()))?;
    Ok(HttpResponse::Ok()
        .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
        .body(text))
}
