//! `GET /shards`, `GET` and `POST /shards/{n}`: the register, for services.

pub(super) mod recovery;

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Payload};
use wire::limits::JSON_BYTES_MAX;
use wire::shard::{ChangeShard, Revision};
use wire::{Code, ShardNo};

use super::body;
use super::error::ApiError;
use crate::app::Shared;

/// The shard map as it is known here.
pub(super) async fn map(shared: Data<Shared>) -> HttpResponse {
    HttpResponse::Ok().json(&shared.members.snapshot().map)
}

/// One shard's record as it is known here.
pub(super) async fn record(
    shared: Data<Shared>,
    path: Path<String>,
) -> Result<HttpResponse, ApiError> {
    let shard = number(&path)?;
    match shared.members.record(shard) {
        Some(record) => Ok(HttpResponse::Ok().json(record)),
        None => Err(ApiError::new(
            Code::NotFound,
            format!("there is no shard {shard}"),
        )),
    }
}

/// Replaces a record of the same lineage whose version is one less.
pub(super) async fn change(
    shared: Data<Shared>,
    path: Path<String>,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let ChangeShard { record } = body::json(payload, JSON_BYTES_MAX).await?;
    if number(&path)? != record.shard {
        return Err(ApiError::malformed("path and record name different shards"));
    }
    // Only the controller makes and restores shards.
    let Some(version) = record.version.checked_sub(1).filter(|version| *version > 0) else {
        return Err(ApiError::malformed("a change makes version 2 or higher"));
    };
    if shared
        .members
        .record(record.shard)
        .is_some_and(|present| present.log != record.log)
    {
        return Err(ApiError::malformed("a shard's log never changes"));
    }
    let expected = Revision {
        version,
        ..record.revision()
    };
    if !shared.controller.takes_proposals() {
        return Err(ApiError::new(
            Code::CatalogUnavailable,
            "the register was away: changes are taken again after a session",
        ));
    }
    let answer = shared.coordinator.change(expected, &record).await?;
    shared.members.set_record(answer.record.clone());
    Ok(HttpResponse::Ok().json(answer))
}

fn number(text: &str) -> Result<ShardNo, ApiError> {
    text.parse()
        .map(ShardNo)
        .map_err(|_| ApiError::malformed(format!("`{text}` is not the number of a shard")))
}
