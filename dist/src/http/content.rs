//! `GET /content`, `GET /content/{id}`, `POST /content`.

pub(super) mod leading;

use actix_web::http::header;
use actix_web::web::{Data, Path, Payload, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use wire::content::{ContentItem, ContentPage, ContentRow, Status};
use wire::limits::{LISTING_BYTES_MAX, LISTING_OPERATIONS_MAX, PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX};
use wire::listing::{ListedOperation, ListingBatch, ListingOutcomes, ListingPart, ListingStep};
use wire::name::check_collection;
use wire::{Code, ContentId};

use leading::{Attempt, at_leader, is_not_led};

use super::body;
use super::content_item::{id, item as show, items as show_all};
use super::envelope::trail;
use super::error::ApiError;
use crate::app::Shared;
use crate::catalog::{NameFilter, PageOrder, PageQuery};
use crate::peer::Trail;

/// Room for one item of a page: most are about 600 bytes.
const ITEM_BYTES: usize = 700;

/// What a page shall show, as it is asked for.
#[derive(Default, Deserialize)]
pub(super) struct PageParameters {
    pub(super) after: Option<String>,
    pub(super) limit: Option<usize>,
    pub(super) filename: Option<String>,
    pub(super) collection: Option<String>,
    pub(super) sort: Option<Sort>,
}

/// In which order: a minus turns it round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) enum Sort {
    #[default]
    #[serde(rename = "id")]
    Oldest,
    #[serde(rename = "-id")]
    Newest,
    #[serde(rename = "name")]
    Name,
    #[serde(rename = "-name")]
    NameBackwards,
}

impl From<Sort> for PageOrder {
    fn from(sort: Sort) -> Self {
        match sort {
            Sort::Oldest => PageOrder::Oldest,
            Sort::Newest => PageOrder::Newest,
            Sort::Name => PageOrder::Name,
            Sort::NameBackwards => PageOrder::NameBackwards,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct ItemParameters {
    min_version: Option<u64>,
}

/// A page of the catalog.
pub(super) async fn page(
    shared: Data<Shared>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let page = read_page(&shared, page_query(parameters(&request)?)?).await?;
    let mut body = Vec::with_capacity(64 + page.items.len() * ITEM_BYTES);
    serde_json::to_writer(&mut body, &page)
        .map_err(|error| ApiError::malformed(error.to_string()))?;
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .body(body))
}

/// The contents of a page, and where the next one begins.
pub(super) async fn read_page(shared: &Shared, query: PageQuery) -> Result<ContentPage, ApiError> {
    if !shared.catalog_up() {
        return Err(ApiError::catalog_away());
    }
    // One more than asked for tells whether this page is the last.
    let asked = PageQuery {
        limit: query.limit + 1,
        ..query.clone()
    };
    let mut rows = shared.catalog.page(&asked).await?;
    let more = rows.len() > query.limit;
    rows.truncate(query.limit);
    let next = rows
        .last()
        .filter(|_| more)
        .map(|listed| place_in(query.order, &listed.row));
    let items = show_all(&shared.members, rows);
    Ok(ContentPage { items, next })
}

/// Where in an order a content stands: its id, and in an order by name a slash and its name.
fn place_in(order: PageOrder, row: &ContentRow) -> String {
    match order.is_by_name() {
        true => format!("{}/{}", row.id, row.filename),
        false => row.id.to_string(),
    }
}

/// One content: from the catalog, or from its shard's leader.
pub(super) async fn item(
    shared: Data<Shared>,
    path: Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let id = id(&path)?;
    let min_version = parameters::<ItemParameters>(&request)?
        .min_version
        .unwrap_or(1);
    let item = find(&shared, id, min_version, &trail(&request)).await?;
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .json(item))
}

/// Lists a node's committed records.
pub(super) async fn list(shared: Data<Shared>, payload: Payload) -> Result<HttpResponse, ApiError> {
    let batch: ListingBatch = body::json(payload, LISTING_BYTES_MAX).await?;
    check(&batch)?;
    if !shared.may_list(&batch.node) {
        return Err(ApiError::not_registered(&batch.node));
    }
    if !shared.catalog_up() {
        return Err(ApiError::catalog_away());
    }
    let parts = shared.lister.list(batch.parts).await?;
    Ok(HttpResponse::Ok().json(ListingOutcomes { parts }))
}

/// Reads a query string.
pub(super) fn parameters<T: serde::de::DeserializeOwned>(
    request: &HttpRequest,
) -> Result<T, ApiError> {
    Query::<T>::from_query(request.query_string())
        .map(Query::into_inner)
        .map_err(|error| ApiError::malformed(format!("the query cannot be read: {error}")))
}

/// Reads what a page shall show.
pub(super) fn page_query(parameters: PageParameters) -> Result<PageQuery, ApiError> {
    let PageParameters {
        after,
        limit,
        filename,
        collection,
        sort,
    } = parameters;
    let limit = limit.unwrap_or(PAGE_ROWS_DEFAULT);
    if !(1..=PAGE_ROWS_MAX).contains(&limit) {
        return Err(ApiError::malformed(format!(
            "limit is {limit}, not 1 to {PAGE_ROWS_MAX}"
        )));
    }
    if let Some(collection) = &collection {
        check_collection(collection)?;
    }
    let filename = filename.and_then(|name| match name.strip_suffix('*') {
        Some("") => None,
        Some(prefix) => Some(NameFilter::Prefix(prefix.to_owned())),
        None => Some(NameFilter::Exactly(name)),
    });
    // PostgreSQL takes no NUL in a text, and no name has one.
    let hostile = |filter: &NameFilter| match filter {
        NameFilter::Exactly(name) | NameFilter::Prefix(name) => name.contains('\0'),
    };
    if filename.as_ref().is_some_and(hostile) {
        return Err(ApiError::malformed("filename contains the character NUL"));
    }
    let order = PageOrder::from(sort.unwrap_or_default());
    let (after, after_name) = match after.as_deref().map(|after| after.split_once('/')) {
        Some(Some((after, name))) if order.is_by_name() => {
            (Some(id(after)?), Some(name.to_owned()))
        }
        Some(None) if order.is_by_name() => {
            return Err(ApiError::malformed(
                "`after` is not what `next` was in this order",
            ));
        }
        _ => (after.as_deref().map(id).transpose()?, None),
    };
    if after_name.as_ref().is_some_and(|name| name.contains('\0')) {
        return Err(ApiError::malformed("after contains the character NUL"));
    }
    Ok(PageQuery {
        after,
        after_name,
        order,
        limit,
        filename,
        collection,
    })
}

/// One content: from the catalog, or from its shard's leader.
pub(super) async fn find(
    shared: &Shared,
    id: ContentId,
    min_version: u64,
    trail: &Trail,
) -> Result<ContentItem, ApiError> {
    let listed = if shared.catalog_up() {
        shared.lookups.content(id).await
    } else {
        Ok(None)
    };
    match listed {
        Ok(Some(listed)) if listed.row.version >= min_version => {
            return Ok(show(&shared.members, listed.row, listed.status));
        }
        Ok(_) => {}
        Err(error) => tracing::debug!(%error, ?trail, "asking the leader instead"),
    }
    let row = ask_leader(shared, id, trail).await?;
    Ok(show(&shared.members, row, Status::Pending))
}

/// A content's row as its shard's leader knows it.
async fn ask_leader(shared: &Shared, id: ContentId, trail: &Trail) -> Result<ContentRow, ApiError> {
    at_leader(shared, id.shard(), async |base| {
        match shared.peer.info(&base, id, trail).await {
            Ok(Ok(row)) => Attempt {
                outcome: Ok(row),
                another: false,
            },
            Ok(Err(error)) => Attempt::failed(
                ApiError::new(error.code, error.message),
                is_not_led(error.code),
            ),
            // A question can be asked again.
            Err(error) => Attempt::failed(error.into(), true),
        }
    })
    .await
}

/// What the catalog relies on: shards in ascending order, every id in its own shard.
fn check(batch: &ListingBatch) -> Result<(), ApiError> {
    if !batch.parts.is_sorted_by(|a, b| a.shard < b.shard) {
        return Err(ApiError::malformed(
            "parts are not in ascending order of shards",
        ));
    }
    if batch
        .parts
        .iter()
        .any(|part| !ids(part).all(|id| id.shard() == part.shard))
    {
        return Err(ApiError::malformed(
            "a part names a content of another shard",
        ));
    }
    let operations: usize = batch.parts.iter().map(|part| ids(part).count()).sum();
    if operations > LISTING_OPERATIONS_MAX {
        let message =
            format!("{operations} operations, at most {LISTING_OPERATIONS_MAX} are taken");
        return Err(ApiError::new(Code::TooLarge, message));
    }
    Ok(())
}

fn ids(part: &ListingPart) -> impl Iterator<Item = ContentId> + '_ {
    let (operations, rows): (&[ListedOperation], &[ContentRow]) = match &part.step {
        ListingStep::Ask | ListingStep::LiveEnd { .. } => (&[], &[]),
        ListingStep::Follow { operations, .. } => (operations, &[]),
        ListingStep::Live { rows, .. } => (&[], rows),
    };
    let of_operations = operations.iter().map(|operation| match operation {
        ListedOperation::Upsert(row) => row.id,
        ListedOperation::Delete(id) => *id,
    });
    of_operations.chain(rows.iter().map(|row| row.id))
}
