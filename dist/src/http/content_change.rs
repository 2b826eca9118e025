//! `PUT` and `DELETE /content/{id}`: forwarded to the leader of the content's shard.

use actix_web::http::{StatusCode, header};
use actix_web::web::{Bytes, Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use reqwest::Method;
use wire::content::Describe;
use wire::limits::JSON_BYTES_MAX;
use wire::{Code, ContentId, routes};

use super::body;
use super::content::leader_url;
use super::content_item::id;
use super::envelope::RequestId;
use super::error::ApiError;
use crate::app::Shared;
use crate::peer::{Answer, Change};

/// Changes a content's metadata.
pub(super) async fn describe(
    shared: Data<Shared>,
    path: Path<String>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let id = match id(&path) {
        Ok(id) => id,
        Err(error) => {
            body::drain(payload).await;
            return Err(error);
        }
    };
    let body = body::bytes(payload, JSON_BYTES_MAX).await?;
    // Read here, so that a mistake is told without a detour.
    let _: Describe = serde_json::from_slice(&body).map_err(|error| {
        ApiError::malformed(format!("the body is not the expected JSON: {error}"))
    })?;
    forward(&shared, &request, id, Some(body)).await
}

/// Deletes a content.
pub(super) async fn delete(
    shared: Data<Shared>,
    path: Path<String>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    body::drain(payload).await;
    forward(&shared, &request, id(&path)?, None).await
}

/// Sends the change to the leader, and passes its answer on.
///
/// The leader that is known here may have been deposed a moment ago; it answers 421, and the
/// register tells who leads now.
async fn forward(
    shared: &Shared,
    request: &HttpRequest,
    id: ContentId,
    body: Option<Bytes>,
) -> Result<HttpResponse, ApiError> {
    let base = leader_url(shared, id.shard())?;
    let answer = send(shared, request, &base, id, body.clone()).await?;
    if answer.status != reqwest::StatusCode::MISDIRECTED_REQUEST {
        return Ok(pass_on(answer));
    }
    shared
        .members
        .set_records(shared.coordinator.records().await?);
    let now_leading = leader_url(shared, id.shard())?;
    if now_leading == base {
        return Err(ApiError::no_leader());
    }
    Ok(pass_on(
        send(shared, request, &now_leading, id, body).await?,
    ))
}

async fn send(
    shared: &Shared,
    request: &HttpRequest,
    base: &str,
    id: ContentId,
    body: Option<Bytes>,
) -> Result<Answer, ApiError> {
    let if_match = request
        .headers()
        .get(header::IF_MATCH)
        .map(|value| value.to_str().map(str::to_owned))
        .transpose()
        .map_err(|_| ApiError::new(Code::MalformedRequest, "If-Match is not visible ASCII"))?;
    let (method, url) = match body {
        Some(_) => (Method::PUT, routes::describe(base, id)),
        None => (Method::DELETE, routes::delete(base, id)),
    };
    let request_id = RequestId::of(request);
    let change = Change {
        method,
        url,
        if_match,
        request_id,
        body,
    };
    Ok(shared.peer.change(change).await?)
}

fn pass_on(answer: Answer) -> HttpResponse {
    let status =
        StatusCode::from_u16(answer.status.as_u16()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    response.content_type("application/json");
    if let Some(etag) = answer.etag {
        response.insert_header((header::ETAG, etag.as_bytes()));
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.insert_header((header::RETRY_AFTER, "1"));
    }
    response.body(answer.body)
}
