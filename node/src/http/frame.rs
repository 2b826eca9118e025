//! The frame around every route: request ids, spans, JSON errors, cross-origin rules, measures.

use std::sync::Arc;
use std::time::Instant;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue, TRANSFER_ENCODING};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest, web};
use rand::Rng;
use telemetry::Span;
use tracing::field::display;
use wire::content::Receipt;
use wire::trace::TraceParent;
use wire::{Code, ContentId, Lsn, ShardNo, routes};

use super::cors;
use super::error::ApiError;
use crate::driver::command::Ack;
use crate::node::Node;

/// The longest request id that is taken from a client.
const REQUEST_ID_BYTES_MAX: usize = 64;

/// What measures call the path of no route.
const OTHER: &str = "other";

/// Names a request in the log and in its errors.
#[derive(Clone)]
pub(super) struct RequestId(HeaderValue);

/// Set in a request's extensions when its whole body was read: the connection can be used again,
/// whatever the answer is.
pub(super) struct BodyEnded;

/// The records of the changes that a request is given receipts for, in its extensions. Its name ends
/// here: mirrors are sent records, and know no requests.
struct Records(Vec<(ShardNo, Lsn)>);

impl RequestId {
    fn of(headers: &HeaderMap) -> Self {
        let sent = headers
            .get(routes::REQUEST_ID_HEADER)
            .filter(|value| is_request_id(value));
        sent.cloned().map_or_else(Self::fresh, RequestId)
    }

    fn fresh() -> Self {
        let text = format!("{:016x}", rand::rng().random::<u64>());
        RequestId(HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("none")))
    }

    pub(super) fn text(&self) -> &str {
        self.0.to_str().unwrap_or("none")
    }
}

/// The id of a request that came through the frame.
pub(super) fn request_id(request: &HttpRequest) -> RequestId {
    request
        .extensions()
        .get::<RequestId>()
        .cloned()
        .unwrap_or_else(RequestId::fresh)
}

fn is_request_id(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    (1..=REQUEST_ID_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
}

/// Runs a request inside the frame.
pub(super) async fn frame(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let start = Instant::now();
    let id = RequestId::of(request.headers());
    request.extensions_mut().insert(id.clone());
    let node = request.app_data::<web::Data<Node>>().cloned();
    let node = node.ok_or_else(|| ApiError::new(Code::Internal, "the service is not set up"))?;
    let node = node.into_inner();
    let (route, method) = (route_of(request.path()), request.method().clone());
    let given = trace(request.headers());
    let span = begin(&request, route, &node, given);
    let trace = span.as_ref().map(Span::trace).or(given);
    let _under_way = node.metrics.requests.begin();

    let mut response = if cors::is_preflight(&request) {
        let answer = cors::preflight(&node.cors_origins.get(), request.headers());
        request.into_response(answer)
    } else {
        let origin = cors::origin(&node.cors_origins.get(), request.headers());
        let mut response = run(request, next, &id).await?;
        cors::expose(&mut response, origin);
        response
    };
    let name = actix_web::http::header::HeaderName::from_static(routes::REQUEST_ID_HEADER);
    response.headers_mut().insert(name, id.0.clone());
    if node.handle.presence().is_parting() {
        // The next request comes on another connection, to another node.
        let head = response.response_mut().head_mut();
        head.set_connection_type(actix_web::http::ConnectionType::Close);
    }
    let status = response.status().as_u16();
    let (metrics, took) = (&node.metrics, start.elapsed());
    metrics.answered(route, method.as_str(), status, took);
    let (ms, request_id) = (took.as_millis(), id.text());
    let record = told(&response, request_id);
    let shard = record.map(|(shard, _)| display(shard));
    let lsn = record.map(|(_, lsn)| display(lsn));
    // Made only where somebody reads it: it is on the way of every request.
    let trace = || trace.as_ref().map(TraceParent::trace_id);
    tracing::debug!(%method, route, status, ms, request_id, trace = trace(), shard, lsn, "answered");
    if let Some(span) = span {
        span.end(status);
    }
    Ok(response)
}

/// The receipt of an acknowledged change, whose record the log names with the request.
pub(super) fn receipt(
    node: &Node,
    request: &HttpRequest,
    id: ContentId,
    ack: Ack,
    done: &'static str,
) -> Receipt {
    let record = (id.shard(), ack.outcome.lsn);
    let mut extensions = request.extensions_mut();
    match extensions.get_mut::<Records>() {
        Some(records) => records.0.push(record),
        None => {
            extensions.insert(Records(vec![record]));
        }
    }
    node.receipt(id, ack, done)
}

/// The record of what the request changed. Of several, each has its own line in the log.
fn told(response: &ServiceResponse<BoxBody>, request_id: &str) -> Option<(ShardNo, Lsn)> {
    let extensions = response.request().extensions();
    match extensions.get::<Records>()?.0[..] {
        [record] => Some(record),
        ref several => {
            for (shard, lsn) in several {
                tracing::debug!(request_id, %shard, %lsn, "changed");
            }
            None
        }
    }
}

/// Begins the request's span, if traces are exported; gives the request its trace.
fn begin(
    request: &ServiceRequest,
    route: &'static str,
    node: &Node,
    given: Option<TraceParent>,
) -> Option<Span> {
    if !node.traces.are_made() {
        return None;
    }
    let span = node.traces.begin(&telemetry::Request {
        method: request.method().as_str(),
        path: request.path(),
        route: (route != OTHER).then_some(route),
        trace: given,
    });
    let trace = span.as_ref().map_or(given, |span| Some(span.trace()));
    if let Some(trace) = trace {
        request.extensions_mut().insert(trace);
    }
    span
}

async fn run(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
    id: &RequestId,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let has_body = has_body(request.headers());
    let response = next.call(request).await?.map_into_boxed_body();
    let Some(error) = response.response().error() else {
        return Ok(response);
    };
    let http = response.request();
    let mut answer = match error.as_error::<ApiError>() {
        Some(error) => {
            log(error, id, http);
            error.response(id.text())
        }
        // What actix itself could not read of a request.
        None => ApiError::malformed(error.to_string()).response(id.text()),
    };
    if has_body && http.extensions().get::<BodyEnded>().is_none() {
        answer
            .head_mut()
            .set_connection_type(actix_web::http::ConnectionType::Close);
    }
    Ok(response.into_response(answer))
}

fn log(error: &ApiError, id: &RequestId, request: &HttpRequest) {
    let Some(detail) = error.detail() else { return };
    let (method, path, request_id) = (request.method(), request.path(), id.text());
    let own = request.extensions().get::<TraceParent>().copied();
    let trace = own.or_else(|| trace(request.headers()));
    let trace = trace.as_ref().map(TraceParent::trace_id);
    match error.code {
        Code::Internal | Code::Damaged | Code::Uncertain => {
            tracing::error!(%method, path, request_id, trace, code = ?error.code, detail, "failed");
        }
        _ => {
            tracing::info!(%method, path, request_id, trace, code = ?error.code, detail, "refused")
        }
    }
}

/// The trace that the request belongs to; what is none is ignored, as the specification wants.
fn trace(headers: &HeaderMap) -> Option<TraceParent> {
    let sent = headers.get(routes::TRACE_HEADER)?;
    sent.to_str().ok()?.parse().ok()
}

fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING)
        || headers
            .get(CONTENT_LENGTH)
            .is_some_and(|length| length.as_bytes() != b"0")
}

/// The node behind a request.
pub(super) fn node(request: &HttpRequest) -> Result<Arc<Node>, ApiError> {
    request
        .app_data::<web::Data<Node>>()
        .map(|node| Arc::clone(node))
        .ok_or_else(|| ApiError::new(Code::Internal, "the service is not set up"))
}

/// The route of a path, as measures name it: one of few, whatever is asked for.
fn route_of(path: &str) -> &'static str {
    let mut segments = path.trim_matches('/').split('/');
    match (segments.next(), segments.next()) {
        (Some("store"), None) => routes::STORE,
        (Some("store"), Some(_)) => routes::STORE_ID,
        (Some("retrieve"), _) => routes::RETRIEVE_ID,
        (Some("update"), None) => routes::UPDATE,
        (Some("update"), Some(_)) => routes::UPDATE_ID,
        (Some("delete"), _) => routes::DELETE_ID,
        (Some("describe"), _) => routes::DESCRIBE_ID,
        (Some("info"), _) => routes::INFO_ID,
        (Some("record"), Some(_)) => routes::RECORD,
        (Some("needed"), Some(_)) => routes::NEEDED_ID,
        (Some("verify"), Some(_)) => routes::VERIFY_ID,
        (Some("scrub"), None) => routes::SCRUB,
        (Some("log"), None) => routes::LOG,
        (Some("link"), None) => routes::LINK,
        (Some("shards"), Some(_)) => routes::SHARD,
        (Some("stats"), None) => routes::STATS,
        (Some("metrics"), None) => routes::METRICS,
        (Some("openapi.json"), None) => routes::OPENAPI,
        (Some("docs"), None) => routes::DOCS,
        (Some("docs"), Some("page.js")) => routes::DOCS_SCRIPT,
        (Some("docs"), Some("page.css")) => routes::DOCS_STYLE,
        (Some("health"), Some("live")) => routes::HEALTH_LIVE,
        (Some("health"), Some("ready")) => routes::HEALTH_READY,
        _ => OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a request id forges lines in the log or headers in answers.
    #[test]
    fn only_short_visible_request_ids_are_taken() {
        let taken = |text: &str| HeaderValue::try_from(text).is_ok_and(|v| is_request_id(&v));
        assert!(taken("abc-123"));
        assert!(taken(&"x".repeat(64)));
        assert!(!taken(&"x".repeat(65)));
        assert!(!taken("a b") && !taken("") && !taken("é"));
    }

    // If this fails, anyone can fill the memory with measures of paths that do not exist.
    #[test]
    fn any_path_is_one_of_few_routes() {
        assert_eq!(route_of("/store/"), "/store");
        assert_eq!(route_of("/retrieve/x"), "/retrieve/{id}");
        assert_eq!(route_of("/../../etc"), "other");
        assert_eq!(route_of(""), "other");
    }
}
