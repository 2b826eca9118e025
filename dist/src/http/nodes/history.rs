//! `GET /stats/history`: what statistics were.

use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use wire::history::StatsHistory;
use wire::{NodeName, Timestamp};

use crate::app::Shared;
use crate::history::{Asked, window};
use crate::http::content::parameters;
use crate::http::error::ApiError;

#[derive(Deserialize)]
struct HistoryParameters {
    node: Option<NodeName>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    step: Option<u64>,
}

/// Averages of a node, or of the cluster.
pub(in crate::http) async fn history(
    shared: Data<Shared>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let HistoryParameters {
        node,
        from,
        to,
        step,
    } = parameters(&request)?;
    let asked = Asked {
        node,
        from,
        to,
        step_s: step,
    };
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .json(read(&shared, asked).await?))
}

/// The part of the history that is asked for.
pub(in crate::http) async fn read(shared: &Shared, asked: Asked) -> Result<StatsHistory, ApiError> {
    let query = window(asked, now()).map_err(|error| ApiError::malformed(error.to_string()))?;
    if !shared.catalog_up() {
        return Err(ApiError::catalog_away());
    }
    let points = shared.catalog.history(&query).await?;
    Ok(StatsHistory {
        from: Timestamp(query.from_s * 1000),
        to: Timestamp(query.to_s * 1000),
        step_s: query.step_s,
        node: query.node,
        points,
    })
}

/// The time by this machine's clock.
pub(in crate::http) fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp(u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(u64::MAX))
}
