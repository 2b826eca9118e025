//! What a span tells of a request: OpenTelemetry's conventions for HTTP servers.

use opentelemetry::KeyValue;
use opentelemetry::trace::{Span as _, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId};
use opentelemetry::trace::{SpanBuilder, TraceState};
use opentelemetry_sdk::trace::Span as Recorded;
use wire::routes;
use wire::trace::TraceParent;

/// A path is cut after so many bytes; none of ours is as long.
const PATH_BYTES_MAX: usize = 256;

/// The methods that the conventions know.
const METHODS: [&str; 9] = [
    "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
];

/// What services and monitors ask all day long. A log is asked for as long as somebody looks at it.
const ROUTINE: [&str; 9] = [
    routes::HEARTBEAT,
    routes::SHARDS,
    routes::SHARD,
    routes::LINK,
    routes::LOG,
    routes::STATS,
    routes::METRICS,
    routes::HEALTH_LIVE,
    routes::HEALTH_READY,
];

/// A request that comes in.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its path, without a query, which might hold a key.
    pub path: &'a str,
    /// The pattern of its path, if it is a path of the service.
    pub route: Option<&'a str>,
    /// What it says of its trace.
    pub trace: Option<TraceParent>,
}

impl Request<'_> {
    /// Whether it is of the kind that services make all day long, and belongs to nobody's trace.
    pub(crate) fn is_routine(&self) -> bool {
        let is_listing = (self.method, self.route) == ("POST", Some(routes::CONTENT));
        let is_routine = self.route.is_some_and(|route| ROUTINE.contains(&route));
        self.trace.is_none() && (is_listing || is_routine)
    }

    /// A span of it, not yet begun.
    pub(crate) fn span(&self) -> SpanBuilder {
        let known = METHODS.into_iter().find(|known| *known == self.method);
        let name = match (known.unwrap_or("HTTP"), self.route) {
            (method, Some(route)) => format!("{method} {route}"),
            (method, None) => method.to_owned(),
        };
        let path = &self.path[..self.path.floor_char_boundary(PATH_BYTES_MAX)];
        let attributes = [
            KeyValue::new("http.request.method", known.unwrap_or("_OTHER")),
            KeyValue::new("url.path", path.to_owned()),
            KeyValue::new("url.scheme", "http"),
        ];
        let route = self.route.map(str::to_owned);
        let route = route.map(|route| KeyValue::new("http.route", route));
        SpanBuilder::from_name(name)
            .with_kind(SpanKind::Server)
            .with_attributes(attributes.into_iter().chain(route))
    }
}

/// A service's part of a request, from its arrival until its answer begins. Dropped before that, it
/// tells of a request that was given up.
pub struct Span(Recorded);

impl Span {
    /// One that has begun; none if nothing is recorded any more.
    pub(crate) fn of(recorded: Recorded) -> Option<Self> {
        recorded.span_context().is_valid().then_some(Span(recorded))
    }

    /// The trace, for requests that this one causes: the span is their parent.
    pub fn trace(&self) -> TraceParent {
        let context = self.0.span_context();
        TraceParent::new(
            u128::from_be_bytes(context.trace_id().to_bytes()),
            u64::from_be_bytes(context.span_id().to_bytes()),
            context.trace_flags().to_u8(),
        )
    }

    /// Ends it with the answer's status.
    pub fn end(mut self, status: u16) {
        let code = i64::from(status);
        self.0
            .set_attribute(KeyValue::new("http.response.status_code", code));
        if status >= 500 {
            self.0
                .set_attribute(KeyValue::new("error.type", status.to_string()));
            self.0.set_status(Status::error(""));
        }
        self.0.end();
    }
}

/// Who called, as the library knows it.
pub(crate) fn caller(trace: TraceParent) -> SpanContext {
    SpanContext::new(
        TraceId::from(trace.trace()),
        SpanId::from(trace.parent()),
        TraceFlags::new(trace.flags()),
        true,
        TraceState::default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: Request<'_> = Request {
        method: "GET",
        path: "/content/x",
        route: Some(routes::CONTENT_ID),
        trace: None,
    };

    fn attribute(span: &SpanBuilder, key: &str) -> Option<String> {
        let mut attributes = span.attributes.iter().flatten();
        let found = attributes.find(|attribute| attribute.key.as_str() == key);
        found.map(|attribute| attribute.value.to_string())
    }

    // If this fails, a backend of traces keeps a kind of spans for each content, or for whatever
    // strangers ask for.
    #[test]
    fn names_are_few_and_paths_are_short() {
        let span = GET.span();
        assert_eq!(span.name, "GET /content/{id}");
        assert_eq!(attribute(&span, "url.path").as_deref(), Some("/content/x"));
        let route = attribute(&span, "http.route");
        assert_eq!(route.as_deref(), Some("/content/{id}"));

        let long = format!("/{}", "é".repeat(500));
        let strange = Request {
            method: "BREW",
            path: &long,
            route: None,
            trace: None,
        };
        let span = strange.span();
        assert_eq!(span.name, "HTTP");
        let method = attribute(&span, "http.request.method");
        assert_eq!(method.as_deref(), Some("_OTHER"));
        assert_eq!(attribute(&span, "http.route"), None);
        let path = attribute(&span, "url.path").expect("is told");
        assert_eq!(path.len(), PATH_BYTES_MAX - 1, "ends with a whole letter");
    }

    // If this fails, an idle cluster exports ten spans a second, or a client's own question is
    // missing in its trace.
    #[test]
    fn routine_begins_no_trace_and_takes_part_in_one() {
        let routine = [
            ("POST", routes::HEARTBEAT),
            ("POST", routes::SHARD),
            ("POST", routes::LINK),
            ("GET", routes::SHARDS),
            ("GET", routes::LOG),
            ("GET", routes::STATS),
            ("GET", routes::METRICS),
            ("GET", routes::HEALTH_LIVE),
            ("GET", routes::HEALTH_READY),
        ];
        for (method, route) in routine.into_iter().chain([("POST", routes::CONTENT)]) {
            let route = Some(route);
            let request = Request {
                method,
                route,
                ..GET
            };
            assert!(request.is_routine(), "{request:?}");
            let trace = Some(TraceParent::begin(1, 2));
            assert!(!Request { trace, ..request }.is_routine(), "{request:?}");
        }
        assert!(!GET.is_routine());
        let route = Some(routes::CONTENT);
        assert!(!Request { route, ..GET }.is_routine());
    }
}
