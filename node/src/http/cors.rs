//! Which pages of other origins may use the data routes.

use actix_web::HttpResponse;
use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    HeaderMap, HeaderValue, ORIGIN, VARY,
};

const METHODS: &str = "GET, HEAD, POST, PUT, DELETE";
const REQUEST_HEADERS: &str = "authorization, content-type, content-disposition, if-match, \
    if-none-match, if-range, range, repr-digest, traceparent, x-request-id";
const EXPOSED: &str = "accept-ranges, content-disposition, content-length, content-range, etag, \
    last-modified, location, x-content-version, x-request-id";

/// A browser may remember a preflight for ten minutes: as long as the shortest of them does.
const MAX_AGE_S: &str = "600";

/// Whether a request only asks what another one may do.
pub(super) fn is_preflight(request: &ServiceRequest) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(ORIGIN)
        && request
            .headers()
            .contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The request's origin, if its pages may use this node.
pub(super) fn origin(allowed: &[String], headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(ORIGIN)?;
    let is_allowed = |one: &String| one == "*" || one.as_bytes() == origin.as_bytes();
    allowed.iter().any(is_allowed).then(|| origin.clone())
}

/// The answer to a preflight; without any permission for pages that have none.
pub(super) fn preflight(allowed: &[String], headers: &HeaderMap) -> HttpResponse {
    let mut response = HttpResponse::NoContent();
    response.insert_header((VARY, "Origin"));
    if let Some(origin) = origin(allowed, headers) {
        response
            .insert_header((ACCESS_CONTROL_ALLOW_ORIGIN, origin))
            .insert_header((ACCESS_CONTROL_ALLOW_METHODS, METHODS))
            .insert_header((ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS))
            .insert_header((ACCESS_CONTROL_MAX_AGE, MAX_AGE_S));
    }
    response.finish()
}

/// Lets a page of `origin` read the answer.
pub(super) fn expose(response: &mut ServiceResponse<BoxBody>, origin: Option<HeaderValue>) {
    let Some(origin) = origin else { return };
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(EXPOSED),
    );
    headers.append(VARY, HeaderValue::from_static("Origin"));
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, any web page reads a cluster through its visitor's browser.
    #[test]
    fn only_named_origins_are_let_in() {
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, HeaderValue::from_static("http://a.example"));
        let allowed = |list: &[&str]| {
            let list: Vec<String> = list.iter().map(|one| (*one).to_owned()).collect();
            origin(&list, &headers).is_some()
        };
        assert!(allowed(&["http://b.example", "http://a.example"]));
        assert!(allowed(&["*"]));
        assert!(!allowed(&["http://a.example.org", "https://a.example"]));
        assert!(!allowed(&[]));
        let refused = preflight(&[], &headers);
        assert!(!refused.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
    }
}
