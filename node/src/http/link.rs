//! `POST /link`: the link over which replicas on two nodes speak; both bodies stream.

use actix_web::{HttpRequest, HttpResponse, web};
use service::access::Need;
use wire::NodeName;

use super::error::ApiError;
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
