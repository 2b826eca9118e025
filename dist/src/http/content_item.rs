//! How a row of the catalog is shown to clients.

use std::time::Instant;

use wire::content::{ContentItem, ContentRow, Status};
use wire::{ContentId, routes};

use super::error::ApiError;
use crate::catalog::Listed;
use crate::members::Members;

/// Reads an id from a path.
pub(super) fn id(text: &str) -> Result<ContentId, ApiError> {
    text.parse().map_err(|error: wire::id::ParseIdError| {
        ApiError::new(wire::Code::MalformedId, error.to_string())
    })
}

/// One content with the places where it can be had at this moment.
pub(super) fn item(members: &Members, row: ContentRow, status: Status) -> ContentItem {
    let uris = members.public_urls(row.id.shard(), Instant::now());
    with_uris(row, status, uris)
}

/// Many contents: places are looked up once for a shard, not once for a row.
pub(super) fn items(members: &Members, rows: Vec<Listed>) -> Vec<ContentItem> {
    members.with_public_urls(Instant::now(), |urls_of| {
        let mut known = std::collections::HashMap::new();
        let mut items = Vec::with_capacity(rows.len());
        for Listed { row, status } in rows {
            let shard = row.id.shard();
            let uris = known.entry(shard).or_insert_with(|| urls_of(shard));
            items.push(with_uris(row, status, uris.clone()));
        }
        items
    })
}

fn with_uris(row: ContentRow, status: Status, uris: Vec<String>) -> ContentItem {
    let uri = uris.first().cloned().unwrap_or_default();
    let url = if uri.is_empty() {
        String::new()
    } else {
        routes::retrieve(&uri, row.id)
    };
    ContentItem {
        row,
        status,
        uri,
        url,
        uris,
    }
}
