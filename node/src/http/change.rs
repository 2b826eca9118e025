//! `DELETE /delete/{id}` and `PUT /describe/{id}`.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use service::access::Need;
use wire::content::Describe;
use wire::limits::JSON_BYTES_MAX;
use wire::name::{check_attributes, check_content_type, check_file_name};
use wire::{Code, ContentId};

use super::error::ApiError;
use super::intake::{self, Body};
use super::precondition;
use super::query::Query;
use super::{allow, content_id, frame};
use crate::driver::command::{Ack, What};
use crate::node::Node;

/// Deletes a content. A repeated delete is answered like the first, also one that demands the version
/// which the first one deleted: its answer may have been lost (RFC 9110 §13.1.1).
pub(super) async fn delete(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let node = frame::node(&request)?;
    allow(&node, &request, Need::Write)?;
    let id = content_id(&request)?;
    let if_match = match demanded(&node, &request, id).await {
        // The record of the delete knows which version that was; nothing can be deleted any more.
        Err(error) if error.code == Code::Deleted => None,
        demanded => demanded?,
    };
    let ack = acknowledged(&node, &request, id, What::Delete { if_match }).await?;
    let of = ack.outcome.checksum;
    // Where somebody else deleted another version, this request did nothing.
    match precondition::if_match(request.headers(), &of) {
        Ok(demanded) if demanded.is_none_or(|demanded| demanded == of) => {}
        _ => return Err(ApiError::new(Code::Deleted, "another version was deleted")),
    }
    let receipt = frame::receipt(&node, &request, id, ack, "deleted");
    Ok(HttpResponse::Ok().json(receipt))
}

/// Changes a content's metadata.
pub(super) async fn describe(
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let node = frame::node(&request)?;
    let mut body = Body::new(payload, &request, Arc::clone(&node.metrics));
    match describe_by(&node, &request, &mut body).await {
        Ok(response) => Ok(response),
        Err(error) => {
            body.drain().await;
            Err(error)
        }
    }
}

async fn describe_by(
    node: &Node,
    request: &HttpRequest,
    body: &mut Body,
) -> Result<HttpResponse, ApiError> {
    allow(node, request, Need::Write)?;
    let id = content_id(request)?;
    let if_match = demanded(node, request, id).await?;
    let wanted: Describe = serde_json::from_slice(&body.whole(JSON_BYTES_MAX).await?)
        .map_err(|error| ApiError::malformed(format!("the body cannot be read: {error}")))?;
    let what = What::Describe {
        change: checked(wanted)?,
        if_match,
    };
    let ack = acknowledged(node, request, id, what).await?;
    let receipt = frame::receipt(node, request, id, ack, "described");
    Ok(HttpResponse::Ok().json(receipt))
}

/// The change as the store takes it, with every name checked.
fn checked(wanted: Describe) -> Result<store::Describe, ApiError> {
    if let Some(filename) = &wanted.filename {
        check_file_name(filename)?;
    }
    if let Some(content_type) = &wanted.content_type {
        check_content_type(content_type)?;
    }
    let attributes = wanted.attributes.map(|attributes| {
        serde_json::to_string(&attributes).map_err(|error| ApiError::internal(&error))
    });
    let attributes = attributes.transpose()?;
    if let Some(attributes) = &attributes {
        check_attributes(attributes)?;
    }
    let (filename, content_type) = (wanted.filename, wanted.content_type);
    if filename.is_none() && content_type.is_none() && attributes.is_none() {
        return Err(ApiError::malformed("the body names nothing to change"));
    }
    Ok(store::Describe {
        filename,
        content_type,
        attributes,
    })
}

/// The version that the request demands; none if any will do.
async fn demanded(
    node: &Node,
    request: &HttpRequest,
    id: ContentId,
) -> Result<Option<wire::Checksum>, ApiError> {
    let replica = node
        .find_leader(id)
        .await
        .map_err(|why| ApiError::misrouted(why, Code::NotFound))?;
    if !request
        .headers()
        .contains_key(actix_web::http::header::IF_MATCH)
    {
        return Ok(None);
    }
    let current = intake::current(replica, id).await??;
    precondition::if_match(request.headers(), &current.checksum)
}

async fn acknowledged(
    node: &Node,
    request: &HttpRequest,
    id: ContentId,
    what: What,
) -> Result<Ack, ApiError> {
    let wait = intake::wait(&Query::read(request.query_string())?)?;
    match node.handle.change(id, what, wait).await {
        Ok(ack) => Ok(ack),
        Err(failure) => Err(ApiError::refused(node, id, failure).await),
    }
}
