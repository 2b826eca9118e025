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
    forward(&shared, &request, id, Some(body))
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
    forward(&shared, &request, id(&path)?, None)
        .await
        .map(pass_on)
}

/// Sends the change to the leader, and passes its answer on.
///
/// The leader that is known here may have been deposed a moment ago; it answers 421, and the
/// register tells who leads now. An answer that was lost is passed on as such: the change may have
/// been made.
pub(super) async fn forward(
    shared: &Shared,
    request: &HttpRequest,
    id: ContentId,
    body: Option<Bytes>,
) -> Result<Answer, ApiError> {
    at_leader(shared, id.shard(), async |base| {
        match send(shared, request, &base, id, body.clone()).await {
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
            Err(ChangeError::Refused(error)) => Attempt::failed(error, false),
            Err(ChangeError::Call(error)) => {
                let nothing_sent = matches!(error, CallError::Connect { .. });
                Attempt::failed(error.into(), nothing_sent)
            }
        }
    })
    .await
}

/// Why a change brought no answer.
enum ChangeError {
    /// It is not one.
    Refused(ApiError),
    /// The node did not answer.
    Call(CallError),
}

/// The code of an error answer.
fn code(answer: &Answer) -> Option<Code> {
    let error = serde_json::from_slice::<ErrorBody>(&answer.body);
    error.ok().map(|error| error.code)
}

async fn send(
    shared: &Shared,
    request: &HttpRequest,
    base: &str,
    id: ContentId,
    body: Option<Bytes>,
) -> Result<Answer, ChangeError> {
    let if_match = request
        .headers()
        .get(header::IF_MATCH)
        .map(|value| value.to_str().map(str::to_owned))
        .transpose()
        .map_err(|_| {
            let message = "If-Match is not visible ASCII";
            ChangeError::Refused(ApiError::new(Code::MalformedRequest, message))
        })?;
    let (method, url) = match body {
        Some(_) => (Method::PUT, routes::describe(base, id)),
        None => (Method::DELETE, routes::delete(base, id)),
    };
    let change = Change {
        method,
        url,
        if_match,
        trail: trail(request),
        body,
    };
    shared.peer.change(change).await.map_err(ChangeError::Call)
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
