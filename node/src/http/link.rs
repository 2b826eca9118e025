//! What other services bring: `POST /link`, the link over which replicas on two nodes speak, both
//! bodies streaming; `POST /shards/{n}`, a newer record of a shard.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use service::access::Need;
use wire::limits::JSON_BYTES_MAX;
use wire::shard::ShardNews;
use wire::{Code, NodeName};

use super::error::ApiError;
use super::intake::Body;
use super::{allow, frame};
use crate::links::NODE_HEADER;

/// Takes a link that another node makes.
pub(super) async fn link(
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let node = frame::node(&request)?;
    allow(&node, &request, Need::Service)?;
    let named = request.headers().get(NODE_HEADER);
    let peer: Option<NodeName> = named
        .and_then(|name| name.to_str().ok())
        .and_then(|name| name.parse().ok());
    let peer = peer.ok_or_else(|| ApiError::malformed("the node that calls is not named"))?;
    if peer >= *node.links.name() {
        return Err(ApiError::malformed("the node with the earlier name calls"));
    }
    let (outgoing, hearing) = node.links.accept(&peer);
    actix_web::rt::spawn(hearing.hear(payload));
    Ok(HttpResponse::Ok()
        .insert_header((NODE_HEADER, node.links.name().as_str()))
        .content_type("application/octet-stream")
        .streaming(outgoing))
}

/// Has the record obeyed, if it is newer than what this node obeys: as one that it read itself.
pub(super) async fn news(
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let node = frame::node(&request)?;
    allow(&node, &request, Need::Service)?;
    let mut body = Body::new(payload, &request, Arc::clone(&node.metrics));
    let news: ShardNews = serde_json::from_slice(&body.whole(JSON_BYTES_MAX).await?)
        .map_err(|error| ApiError::malformed(format!("the body cannot be read: {error}")))?;
    // A node that belongs to no cluster yet joins one by its heartbeats only.
    if node.handle.presence().cluster() != Some(news.cluster) {
        let message = format!("this node is not of cluster {}", news.cluster);
        return Err(ApiError::new(Code::WrongCluster, message));
    }
    node.handle.registered(news.record);
    Ok(HttpResponse::NoContent().finish())
}
