//! A request from its arrival to its answer: its names, its span, its measures.

use std::time::Instant;

use actix_web::HttpMessage;
use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::HeaderMap;
use telemetry::Span;
use uuid::Uuid;
use wire::routes::{self, REQUEST_ID_HEADER, TRACE_HEADER};
use wire::trace::TraceParent;

use crate::app::Shared;
use crate::peer::Trail;

/// A longer request id is replaced by one of ours.
const REQUEST_ID_BYTES_MAX: usize = 64;

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
        let pattern = self.pattern.as_deref();
        let route =
            pattern.and_then(|pattern| routes::ALL.into_iter().find(|known| *known == pattern));
        let (route, took) = (route.unwrap_or("other"), self.started.elapsed());
        let requests = &shared.metrics.requests;
        requests.answered(route, method, status, took);
        if let Some(span) = self.span {
            span.end(status);
        }
    }
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
