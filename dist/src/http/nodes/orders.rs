//! What operators decide: `POST` and `DELETE /nodes/{name}/drain`, `DELETE /nodes/{name}`, `POST` and
//! `DELETE /rebalance`.

use std::time::Instant;

use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use wire::membership::{Health, NodeRemoved};
use wire::{Code, NodeName};

use super::{all_entries, answer};
use crate::app::Shared;
use crate::catalog::Order;
use crate::http::body;
use crate::http::content::parameters;
use crate::http::error::ApiError;

#[derive(Deserialize)]
pub(crate) struct RemoveParameters {
    force: Option<bool>,
}

/// The node shall hold nothing any more.
pub(crate) async fn drain(
    shared: Data<Shared>,
    path: Path<String>,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    body::drain(payload).await;
    let node: NodeName = path.parse()?;
    order_node(&shared, &node, Order::Drain(&node)).await
}

/// The node is one like the others again.
pub(crate) async fn undrain(
    shared: Data<Shared>,
    path: Path<String>,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    body::drain(payload).await;
    let node: NodeName = path.parse()?;
    order_node(&shared, &node, Order::Undrain(&node)).await
}

/// The service is gone for good.
pub(crate) async fn remove(
    shared: Data<Shared>,
    path: Path<String>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    body::drain(payload).await;
    let force = parameters::<RemoveParameters>(&request)?
        .force
        .unwrap_or(false);
    let node: NodeName = path.parse()?;
    may_leave(&shared, &node, force)?;
    give(&shared, Order::Remove(&node)).await?;
    Ok(HttpResponse::Ok().json(NodeRemoved { node }))
}

/// Nodes shall become equally full.
pub(crate) async fn rebalance(
    shared: Data<Shared>,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    body::drain(payload).await;
    give(&shared, Order::Rebalance).await?;
    Ok(HttpResponse::Ok().json(answer(&shared)))
}

/// They need not.
pub(crate) async fn settle(
    shared: Data<Shared>,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    body::drain(payload).await;
    give(&shared, Order::Settle).await?;
    Ok(HttpResponse::Ok().json(answer(&shared)))
}

async fn order_node(
    shared: &Shared,
    node: &NodeName,
    order: Order<'_>,
) -> Result<HttpResponse, ApiError> {
    if !shared.members.knows(node) {
        return Err(unknown(node));
    }
    give(shared, order).await?;
    let entry = all_entries(shared).remove(node);
    entry
        .map(|entry| HttpResponse::Ok().json(entry))
        .ok_or_else(|| unknown(node))
}

/// Writes the order into the catalog, from which every distributor takes it, and acts on it here.
async fn give(shared: &Shared, order: Order<'_>) -> Result<(), ApiError> {
    // Of a node that was first heard a moment ago there may be no row yet.
    let heard = shared.members.heard_here(Instant::now());
    shared.catalog.exchange(&heard).await?;
    shared.catalog.order(order).await?;
    tracing::info!(?order, "ordered");
    let board = shared.catalog.exchange(&[]).await?;
    shared.members.set_orders(&board);
    shared.controller.heard().await;
    Ok(())
}

/// A node leaves when no shard record names it, and none will: because it drains, or is dead. By
/// force a dead one leaves although records name it; its copies are then made anew at once.
fn may_leave(shared: &Shared, node: &NodeName, force: bool) -> Result<(), ApiError> {
    let entries = all_entries(shared);
    let entry = entries.get(node).ok_or_else(|| unknown(node))?;
    let named = shared.members.shards_on(node);
    let is_down = entry.health == Health::Down;
    if is_down && (named == 0 || force) || named == 0 && entry.draining.is_some() {
        return Ok(());
    }
    let message = if is_down {
        format!("{named} shards name {node}, which is down: drain it, or remove it by force")
    } else if named > 0 {
        format!("{named} shards name {node}: drain it first")
    } else {
        format!("{node} is up: drain it first, so that it gets no new shards")
    };
    Err(ApiError::new(Code::NodeInUse, message))
}

fn unknown(node: &NodeName) -> ApiError {
    ApiError::new(Code::NotFound, format!("there is no node {node}"))
}
