//! `/openapi.json`, and `/docs`, the page that shows it: what `service` has of them, as answers.

mod operations;

use std::sync::LazyLock;

use actix_web::HttpResponse;
use service::openapi::Document;
use service::openapi::page::{HEADERS, Part};

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

/// A part of the page that shows the same to people.
pub(super) async fn part(Part { kind, text }: Part) -> HttpResponse {
    let mut answer = HttpResponse::Ok();
    for header in HEADERS {
        answer.insert_header(header);
    }
    answer.content_type(kind).body(text)
}
