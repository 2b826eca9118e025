//! `PUT` and `DELETE /content/{id}`: forwarded to the leader of the content's shard.

use actix_web::http::{StatusCode, header};
use actix_web::web::{Bytes, Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use reqwest::Method;
use wire::content::Describe;
use wire::limits::JSON_BYTES_MAX;
use wire::{Code, ContentId, ErrorBody, routes};

use super::body;
use super::content::leading::{Attempt, at_leader, is_not_led};
use super::content_item::id;
use super::envelope::trail;
use super::error::ApiError;
use crate::app::Shared;
use crate::peer::{Answer, CallError, Change};

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
    let if_match = if_match(&request)?;
    forward(&shared, &request, id, (if_match, Some(body)))
        .await
        .map(pass_on)
}

/// Deletes a content.
pub(super) async fn delete(
    shared: Data<Shared>,
    path: Path<String>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    body::drain(payload).await;
    let (id, if_match) = (id(&path)?, if_match(&request)?);
    forward(&shared, &request, id, (if_match, None))
        .await
        .map(pass_on)
}

/// Sends the change to the leader, and passes its answer on: new metadata, or without a body a delete.
///
/// The leader that is known here may have been deposed a moment ago; it answers 421, and the
/// register tells who leads now. An answer that was lost is passed on as such: the change may have
/// been made.
pub(super) async fn forward(
    shared: &Shared,
    request: &HttpRequest,
    id: ContentId,
    (if_match, body): (Option<String>, Option<Bytes>),
) -> Result<Answer, ApiError> {
    at_leader(shared, id.shard(), async |base| {
        let (method, url) = match body {
            Some(_) => (Method::PUT, routes::describe(&base, id)),
            None => (Method::DELETE, routes::delete(&base, id)),
        };
        let change = Change {
            method,
            url,
            if_match: if_match.clone(),
            trail: trail(request),
            body: body.clone(),
        };
        match shared.peer.change(change).await {
            Ok(answer) if answer.status == reqwest::StatusCode::MISDIRECTED_REQUEST => {
                match shared.coordinator.records().await {
                    Ok(records) => shared.members.set_records(records),
                    Err(error) => return Attempt::failed(error.into(), true),
                }
                Attempt::failed(ApiError::no_leader(), true)
            }
            Ok(answer) => Attempt {
                another: code(&answer).is_some_and(is_not_led),
                outcome: Ok(answer),
            },
            Err(error) => {
                let nothing_sent = matches!(error, CallError::Connect { .. });
                Attempt::failed(error.into(), nothing_sent)
            }
        }
    })
    .await
}

/// The code of an error answer.
fn code(answer: &Answer) -> Option<Code> {
    let error = serde_json::from_slice::<ErrorBody>(&answer.body);
    error.ok().map(|error| error.code)
}

/// The version that the request demands.
fn if_match(request: &HttpRequest) -> Result<Option<String>, ApiError> {
    let demanded = request.headers().get(header::IF_MATCH);
    let text = demanded.map(|value| value.to_str().map(str::to_owned));
    text.transpose()
        .map_err(|_| ApiError::malformed("If-Match is not visible ASCII"))
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
