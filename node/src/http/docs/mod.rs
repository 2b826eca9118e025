//! `/openapi.json`, and `/docs`, the page that shows it.

mod operations;

use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use service::openapi::{Document, page};

/// Made once: it says the same at any time.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let document = Document {
        title: "Acequia storage node",
        description: "Takes, keeps and gives contents.",
        operations: operations::all(),
    };
    document.json().to_string()
});

/// What the node does, for programs.
pub(super) async fn openapi() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .body(DOCUMENT.as_str())
}

/// The same for people.
pub(super) async fn page() -> HttpResponse {
    embedded("text/html; charset=utf-8", page::PAGE)
}

pub(super) async fn script() -> HttpResponse {
    embedded("text/javascript; charset=utf-8", page::SCRIPT)
}

pub(super) async fn style() -> HttpResponse {
    embedded("text/css; charset=utf-8", page::STYLE)
}

fn embedded(kind: &'static str, text: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(kind)
        .insert_header((CONTENT_SECURITY_POLICY, page::POLICY))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .body(text)
}
