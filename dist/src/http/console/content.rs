//! One content: its page, and deleting it.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Payload, Query};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::StreamExt;
use maud::Markup;
use serde::Deserialize;
use wire::content::ContentItem;
use wire::limits::JSON_BYTES_MAX;
use wire::{Code, ErrorBody};

use super::pages::{View, html};
use super::transfer::{Wanted, open};
use crate::app::Shared;
use crate::console::content::{self as pages, Asking, Excerpt, Kind, kind};
use crate::console::layout::Place;
use crate::http::content::find;
use crate::http::content_change::forward;
use crate::http::content_item::id;
use crate::http::envelope::trail;
use crate::http::error::ApiError;
use crate::http::{body, nodes};

/// So much of a text is shown.
const EXCERPT_BYTES: usize = 64 * 1024;

/// The page.
pub(super) async fn page(
    shared: Data<Shared>,
    path: Path<String>,
    request: HttpRequest,
) -> HttpResponse {
    let view = View::of(&shared, &request, Place::Contents, "Content");
    let item = match item(&shared, &path, &request).await {
        Ok(item) => item,
        Err(error) => return view.show(Err(error)),
    };
    let excerpt = excerpt(&shared, &request, &item).await;
    let nodes = nodes::answer(&shared);
    let main = pages::content(&item, &nodes, excerpt.as_ref(), view.visitor);
    view.titled(&item.row.filename).show(Ok(main))
}

async fn item(shared: &Shared, path: &str, request: &HttpRequest) -> Result<ContentItem, ApiError> {
    find(shared, id(path)?, 1, &trail(request)).await
}

/// The beginning of a text; none of what is no text, or cannot be had.
async fn excerpt(shared: &Shared, request: &HttpRequest, item: &ContentItem) -> Option<Excerpt> {
    if kind(&item.row.content_type) != Kind::Text || item.uris.is_empty() {
        return None;
    }
    let mut bytes = Vec::new();
    // No byte of nothing lies within a range.
    if item.row.size > 0 {
        let range = format!("bytes=0-{}", EXCERPT_BYTES - 1);
        let wanted = Wanted {
            id: item.row.id,
            query: String::new(),
            headers: vec![("range", range)],
        };
        let opened = open(shared, request, wanted).await.ok()?;
        let mut parts = opened.error_for_status().ok()?.bytes_stream();
        while let Some(part) = parts.next().await {
            bytes.extend_from_slice(&part.ok()?);
            if bytes.len() > EXCERPT_BYTES {
                return None;
            }
        }
    }
    readable(&bytes).map(|text| Excerpt {
        text,
        whole: bytes.len() as u64 == item.row.size,
    })
}

/// Bytes as text, if they are one. A letter that is cut through at the end is left out.
fn readable(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_end_matches(char::REPLACEMENT_CHARACTER);
    let is_text = !text.contains(['\0', char::REPLACEMENT_CHARACTER]);
    is_text.then(|| text.to_owned())
}

/// Asks before a content is deleted.
pub(super) async fn ask(
    shared: Data<Shared>,
    path: Path<String>,
    request: HttpRequest,
) -> HttpResponse {
    let view = View::of(&shared, &request, Place::Contents, "Delete");
    let found = item(&shared, &path, &request).await;
    view.show(found.map(|item| pages::delete(&item, Asking::First)))
}

/// What somebody agreed to.
#[derive(Deserialize)]
struct Agreed {
    /// The ETag of the version that he was shown.
    #[serde(rename = "match")]
    if_match: Option<String>,
}

/// Deletes a content, if it is still the version that was shown; else it asks again.
pub(super) async fn delete(
    shared: Data<Shared>,
    path: Path<String>,
    request: HttpRequest,
    payload: Payload,
) -> HttpResponse {
    let view = View::of(&shared, &request, Place::Contents, "Deleted");
    match deleted(&shared, &path, &request, payload).await {
        Err(error) if error.code() == Code::PreconditionFailed => {
            let view = view.titled("Delete");
            match item(&shared, &path, &request).await {
                Ok(item) => {
                    let question = pages::delete(&item, Asking::Again);
                    html(StatusCode::PRECONDITION_FAILED, &view.page(&question))
                }
                Err(error) => view.show(Err(error)),
            }
        }
        answer => view.show(answer),
    }
}

async fn deleted(
    shared: &Shared,
    path: &str,
    request: &HttpRequest,
    payload: Payload,
) -> Result<Markup, ApiError> {
    let form = body::bytes(payload, JSON_BYTES_MAX).await?;
    let agreed = Query::<Agreed>::from_query(&String::from_utf8_lossy(&form))
        .map_err(|error| ApiError::malformed(format!("the form cannot be read: {error}")))?;
    let answer = forward(
        shared,
        request,
        id(path)?,
        (agreed.into_inner().if_match, None),
    )
    .await?;
    if answer.status.is_success() {
        let receipt = serde_json::from_slice::<wire::content::Receipt>(&answer.body);
        let name = receipt.map(|receipt| receipt.filename);
        return Ok(pages::deleted(name.as_deref().unwrap_or("The content")));
    }
    let told = serde_json::from_slice::<ErrorBody>(&answer.body).ok();
    Err(told.map_or_else(
        || ApiError::new(Code::NodeUnreachable, "the node's answer cannot be read"),
        |told| ApiError::new(told.code, told.message),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a page shows rubbish for a picture, or nothing for a text that is cut short.
    #[test]
    fn only_text_is_shown_as_text() {
        assert_eq!(readable("été".as_bytes()).as_deref(), Some("été"));
        assert_eq!(readable(&"été".as_bytes()[..4]).as_deref(), Some("ét"));
        assert_eq!(readable(b"").as_deref(), Some(""));
        assert_eq!(readable(b"a\0b"), None);
        assert_eq!(readable(b"\x89PNG\x1a\xff and more"), None);
    }
}
