//! Bodies that become contents: raw ones and forms.

mod body;
mod digest;
mod form;
mod names;
mod pace;
mod part_lengths;
mod raw;
mod target;

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, HttpResponse, web};
use wire::ContentId;
use wire::content::{StoreOutcome, StoreOutcomes};

pub(super) use body::Body;
pub(super) use target::{Intent, current, wait};

use super::error::ApiError;
use super::{allow, content_id, frame};
use crate::access::Need;
use crate::node::Node;
use form::{Form, Outcomes};

/// `POST /store`.
pub(super) async fn store_form(
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    receive(request, payload, Intent::Create, None).await
}

/// `PUT /store/{id}`.
pub(super) async fn store(
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let id = content_id(&request);
    receive(request, payload, Intent::Create, Some(id)).await
}

/// `PUT` or `POST /update`.
pub(super) async fn update_form(
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    receive(request, payload, Intent::Replace, None).await
}

/// `PUT /update/{id}`.
pub(super) async fn update(
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let id = content_id(&request);
    receive(request, payload, Intent::Replace, Some(id)).await
}

/// Receives a form, or a raw body where the path names the content (`named`). What is refused
/// before its body was read is drained within bounds.
async fn receive(
    request: HttpRequest,
    payload: web::Payload,
    intent: Intent,
    named: Option<Result<ContentId, ApiError>>,
) -> Result<HttpResponse, ApiError> {
    let node = frame::node(&request)?;
    let mut body = Body::new(payload, &request, Arc::clone(&node.metrics));
    let id = match allow(&node, &request, Need::Write).and(named.transpose()) {
        Ok(id) => id,
        Err(error) => {
            body.drain().await;
            return Err(error);
        }
    };
    let _counted = InFlight::new(&node);
    let Some(id) = id.filter(|_| !is_form(&request)) else {
        let outcomes = Form::new(&node, &request, intent, id)?
            .receive(body)
            .await?;
        return answer(outcomes, &request);
    };
    match raw::receive(&node, &request, &mut body, intent, id).await {
        Ok(receipt) => Ok(HttpResponse::Ok().json(receipt)),
        Err(error) => {
            body.drain().await;
            Err(error)
        }
    }
}

fn is_form(request: &HttpRequest) -> bool {
    let media = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    media.is_some_and(|media| {
        media
            .get(..19)
            .is_some_and(|start| start.eq_ignore_ascii_case("multipart/form-data"))
    })
}

/// One file is answered as itself, several as a list.
fn answer(mut outcomes: Outcomes, request: &HttpRequest) -> Result<HttpResponse, ApiError> {
    if outcomes.len() == 1
        && let Some(only) = outcomes.pop()
    {
        return only.map(|receipt| HttpResponse::Ok().json(receipt));
    }
    let request_id = frame::request_id(request);
    let all = outcomes.iter().all(Result::is_ok);
    let items = outcomes
        .into_iter()
        .map(|outcome| match outcome {
            Ok(receipt) => StoreOutcome::Stored(receipt),
            Err(error) => StoreOutcome::Failed(error.body(request_id.text())),
        })
        .collect();
    let status = if all {
        StatusCode::OK
    } else {
        StatusCode::MULTI_STATUS
    };
    Ok(HttpResponse::build(status).json(StoreOutcomes { items }))
}

/// Counts an upload while its body is received.
struct InFlight(Arc<Node>);

impl InFlight {
    fn new(node: &Arc<Node>) -> Self {
        node.metrics.uploads_in_flight.inc();
        InFlight(Arc::clone(node))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.metrics.uploads_in_flight.dec();
    }
}
