//! What surrounds every request: its id, its access, its metrics, and the JSON of its error.

mod entry;
mod forgery;

use std::sync::atomic::Ordering;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::{self, Data};
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest, HttpResponse};
use service::access::{Gate, Need, Presented};
use wire::routes::{CLUSTER_KEY_HEADER, REQUEST_ID_HEADER};

use super::body;
use super::console;
use super::error::{ApiError, foreign};
use super::policy::{need, origin};
use crate::app::Shared;
use crate::peer::Trail;
use entry::Entry;
use forgery::is_forged;

/// The names of this request.
pub(super) fn trail(request: &HttpRequest) -> Trail {
    request
        .extensions()
        .get::<Trail>()
        .cloned()
        .unwrap_or_default()
}

/// Names, admits, serves, measures; turns every error into JSON.
pub(crate) async fn envelope(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let shared = Data::<Shared>::extract(request.request()).await?;
    let entry = Entry::of(&request, &shared);
    let trail = &entry.trail;
    let _under_way = shared.metrics.requests.begin();
    let own_url = shared.public_url.get();
    let cross_origin = allowed_origin(request.headers(), &own_url);
    let mut served = if request.method() == Method::OPTIONS && cross_origin.is_some() {
        let preflight = HttpResponse::NoContent().finish();
        request.into_response(preflight)
    } else if cross_origin.is_none() && is_forged(&request, open_url(&shared.gate, &own_url)) {
        refused(request, ApiError::forged().answer(trail)).await?
    } else if admits(&shared.gate, request.request()) {
        answered(next.call(request).await?, trail)
    } else {
        let answer = console::sign_in_instead(request.request())
            .unwrap_or_else(|| ApiError::unauthorized().answer(trail));
        refused(request, answer).await?
    };
    finish(
        served.headers_mut(),
        &trail.request_id,
        cross_origin.as_ref(),
    );
    if shared.is_parting.load(Ordering::Relaxed) {
        let head = served.response_mut().head_mut();
        head.set_connection_type(actix_web::http::ConnectionType::Close);
    }
    entry.end(&served, &shared);
    Ok(served)
}

/// Where this service is, if everybody may change what it keeps.
fn open_url<'a>(gate: &Gate, own_url: &'a str) -> Option<&'a str> {
    let is_open = gate.allows(Need::Write, Presented::default());
    is_open.then_some(own_url)
}

/// Whether a request has the key that its route needs.
fn admits(gate: &Gate, request: &HttpRequest) -> bool {
    let cookie = console::key_of(request);
    let presented = presented(request.headers()).or_key(cookie.as_deref());
    gate.allows(need(request.method(), request.path()), presented)
}

/// Turns a caller away, before his request is looked at.
async fn refused(
    request: ServiceRequest,
    answer: HttpResponse,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let (request, mut payload) = request.into_parts();
    body::drain(web::Payload::from_request(&request, &mut payload).await?).await;
    Ok(ServiceResponse::new(request, answer))
}

/// The response as it is, or the JSON of the error that it carries.
fn answered<B: MessageBody + 'static>(
    served: ServiceResponse<B>,
    trail: &Trail,
) -> ServiceResponse<BoxBody> {
    let (request, response) = served.into_parts();
    let answer = response
        .error()
        .map(|error| match error.as_error::<ApiError>() {
            Some(error) => error.answer(trail),
            None => foreign(error).answer(trail),
        });
    ServiceResponse::new(
        request,
        answer.unwrap_or_else(|| response.map_into_boxed_body()),
    )
}

pub(super) fn presented(headers: &HeaderMap) -> Presented<'_> {
    let header = |name| headers.get(name).map(HeaderValue::as_bytes);
    Presented::of(
        header(CLUSTER_KEY_HEADER),
        header(header::AUTHORIZATION.as_str()),
    )
}

/// The caller's origin, if it is the one of our own pages.
fn allowed_origin(headers: &HeaderMap, public_url: &str) -> Option<HeaderValue> {
    let given = headers.get(header::ORIGIN)?;
    let own = origin(public_url)?;
    (given.as_bytes() == own.as_bytes()).then(|| given.clone())
}

fn finish(headers: &mut HeaderMap, id: &str, cross_origin: Option<&HeaderValue>) {
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert(HeaderName::from_static(REQUEST_ID_HEADER), value);
    }
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    let Some(origin) = cross_origin else { return };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    let fixed = [
        (
            header::ACCESS_CONTROL_ALLOW_METHODS,
            "GET, HEAD, PUT, DELETE",
        ),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "authorization, content-type, if-match, traceparent, tracestate, x-request-id",
        ),
        (
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            "etag, retry-after, x-request-id",
        ),
        (header::ACCESS_CONTROL_MAX_AGE, "600"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
