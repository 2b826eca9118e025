//! A request from its arrival to its answer: its names, its span, its measures.

use std::time::Instant;

use actix_web::HttpMessage;
use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::HeaderMap;
use telemetry::Span;
use uuid::Uuid;
use wire::routes::{self, REQUEST_ID_HEADER, TRACE_HEADER, TRACE_STATE_HEADER};
use wire::trace::TraceParent;

use crate::app::Shared;
use crate::http::policy::is_console;
use crate::peer::Trail;

/// A longer request id is replaced by one of ours.
const REQUEST_ID_BYTES_MAX: usize = 64;

/// As much of a trace's state is passed on at least, says the specification; whatever is longer, not at all.
const TRACE_STATE_BYTES_MAX: usize = 512;

/// A request that came in.
pub(super) struct Entry {
    pub(super) trail: Trail,
    started: Instant,
    /// The pattern of its path.
    pattern: Option<String>,
    span: Option<Span>,
}

impl Entry {
    /// Of this request, which has its names with it from now on.
    pub(super) fn of(request: &ServiceRequest, shared: &Shared) -> Self {
        let started = Instant::now();
        let pattern = request.match_pattern();
        let given = trace(request.headers());
        let span = shared.traces.begin(&telemetry::Request {
            method: request.method().as_str(),
            path: request.path(),
            route: pattern.as_deref(),
            trace: given,
        });
        let trail = Trail {
            request_id: request_id(request.headers()),
            trace: span.as_ref().map_or(given, |span| Some(span.trace())),
            trace_state: given.and_then(|_| trace_state(request.headers())),
        };
        request.extensions_mut().insert(trail.clone());
        Entry {
            trail,
            started,
            pattern,
            span,
        }
    }

    /// It is answered.
    pub(super) fn end(self, served: &ServiceResponse<BoxBody>, shared: &Shared) {
        let (status, method) = (served.status().as_u16(), served.request().method().as_str());
        let (route, took) = (route(self.pattern.as_deref()), self.started.elapsed());
        let requests = &shared.metrics.requests;
        requests.answered(route, method, status, took);
        let (ms, request_id) = (took.as_millis(), self.trail.request_id.as_str());
        // Made only where somebody reads it: it is on the way of every request.
        let trace = || self.trail.trace.map(|trace| trace.trace_id());
        tracing::debug!(
            method,
            route,
            status,
            ms,
            request_id,
            trace = trace(),
            "answered"
        );
        if let Some(span) = self.span {
            span.end(status);
        }
    }
}

/// A pattern of paths as measures name it.
fn route(pattern: Option<&str>) -> &'static str {
    let Some(pattern) = pattern else {
        return "other";
    };
    let known = routes::ALL.into_iter().find(|known| *known == pattern);
    known.unwrap_or(match is_console(pattern) {
        true => "console",
        false => "other",
    })
}

fn request_id(headers: &HeaderMap) -> String {
    let sent = headers
        .get(REQUEST_ID_HEADER)
        .and_then(|value| value.to_str().ok());
    match sent {
        Some(id)
            if (1..=REQUEST_ID_BYTES_MAX).contains(&id.len())
                && id.bytes().all(|byte| byte.is_ascii_graphic()) =>
        {
            id.to_owned()
        }
        _ => Uuid::new_v4().simple().to_string(),
    }
}

/// The trace that the request belongs to; what is none is ignored, as the specification wants.
fn trace(headers: &HeaderMap) -> Option<TraceParent> {
    let sent = headers.get(TRACE_HEADER)?;
    sent.to_str().ok()?.parse().ok()
}

/// What goes along with the trace; it may come in several headers.
fn trace_state(headers: &HeaderMap) -> Option<String> {
    let sent = headers.get_all(TRACE_STATE_HEADER);
    let sent: Option<Vec<&str>> = sent.map(|value| value.to_str().ok()).collect();
    let state = sent?.join(",");
    (1..=TRACE_STATE_BYTES_MAX)
        .contains(&state.len())
        .then_some(state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{HeaderName, HeaderValue};

    // If this fails, whoever looks at many answers of a distributor cannot tell people at the console from
    // programs that ask for what there is not.
    #[test]
    fn pages_of_the_console_are_a_route_of_their_own() {
        for pattern in [
            "/",
            "/console/contents",
            "/console/assets/{name}",
            "/console",
        ] {
            assert_eq!(route(Some(pattern)), "console", "{pattern}");
        }
        assert_eq!(route(Some(routes::CONTENT_ID)), routes::CONTENT_ID);
        assert_eq!(route(Some("/consoles")), "other");
        assert_eq!(route(None), "other");
    }

    // If this fails, a vendor's tracing program loses its place in a trace at this service, or a stranger
    // makes this service send as much as he likes.
    #[test]
    fn what_goes_along_with_a_trace_is_passed_on_up_to_a_bound() {
        let state = |sent: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in sent {
                let value = HeaderValue::from_str(value).expect("a value");
                headers.append(HeaderName::from_static(TRACE_STATE_HEADER), value);
            }
            trace_state(&headers)
        };
        assert_eq!(state(&[]), None);
        assert_eq!(state(&["a=1"]).as_deref(), Some("a=1"));
        assert_eq!(state(&["a=1", "b=2"]).as_deref(), Some("a=1,b=2"));
        assert!(state(&[&"x".repeat(TRACE_STATE_BYTES_MAX)]).is_some());
        assert_eq!(state(&[&"x".repeat(TRACE_STATE_BYTES_MAX), "y"]), None);
        assert_eq!(state(&["\u{e9}"]), None);
    }
}
