//! `GET /lost`, `POST /shards/{n}/give-up`: records that are lost here, and an operator who gives them up.

use std::sync::Arc;

use actix_web::http::header::{CACHE_CONTROL, ORIGIN};
use actix_web::{HttpRequest, HttpResponse, web};
use service::access::Need;
use wire::integrity::{GiveUp, GivenUp, LostRecords, LostReport};
use wire::limits::JSON_BYTES_MAX;
use wire::{Code, Lsn, NodeName, ShardNo};

use super::{held, number};
use crate::driver::repair::{RepairFailure, lost_places, records_in};
use crate::driver::table::{ReplicaView, Standing};
use crate::http::error::ApiError;
use crate::http::intake::Body;
use crate::http::{allow, frame};
use crate::node::Node;

/// What is lost of each replica, and whether another copy has it.
pub(in crate::http) async fn show(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let node = frame::node(&request)?;
    allow(&node, &request, Need::Read)?;
    let mut report = LostReport::default();
    for replica in node.handle.table().replicas().values() {
        report.replicas.extend(node.others.lost(replica).await);
    }
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(report))
}

/// What is lost of one shard's replica is given up.
pub(in crate::http) async fn give_up(
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let node = frame::node(&request)?;
    allow(&node, &request, Need::Write)?;
    // No page has a reason to, and a browser sends this for any page when no key is needed.
    if request.headers().contains_key(ORIGIN) {
        let message = "what is lost is not given up by a page in a browser";
        return Err(ApiError::new(Code::Unauthorized, message));
    }
    let mut body = Body::new(payload, &request, Arc::clone(&node.metrics));
    let choice: GiveUp = serde_json::from_slice(&body.whole(JSON_BYTES_MAX).await?)
        .map_err(|error| ApiError::malformed(format!("the body cannot be read: {error}")))?;
    let replica = held(&node, ShardNo(number(&request, "shard")?))?;
    let lost = node.others.lost(&replica).await;
    if let Some(lost) = &lost
        && !choice.force
    {
        check(lost)?;
    }
    check_standing(&replica)?;
    let given_up = give_up_all(&node, &replica).await?;
    if given_up.records > 0 {
        tell(&node, &given_up, lost.as_ref());
    }
    Ok(HttpResponse::Ok().json(given_up))
}

/// Refuses to give up what another copy has, or may have.
fn check(lost: &LostRecords) -> Result<(), ApiError> {
    if let Some(node) = &lost.held_by {
        let message = format!("only by force: {node} has what is lost, and repairs bring it back");
        return Err(ApiError::new(Code::NeedsForce, message));
    }
    if lost.unasked.is_empty() {
        return Ok(());
    }
    let nodes = names(&lost.unasked);
    let message = format!("only by force: {nodes} may have what is lost, and does not tell");
    Err(ApiError::new(Code::NeedsForce, message))
}

/// Refuses while it is not settled what is committed here.
fn check_standing(replica: &ReplicaView) -> Result<(), ApiError> {
    match replica.standing {
        Standing::Leading | Standing::Following => Ok(()),
        Standing::Idle | Standing::Elected => Err(ApiError::new(
            Code::NoLeader,
            "the shard has no leader at this moment",
        )),
        Standing::Poisoned => Err(ApiError::new(
            Code::NoLeader,
            "the shard's log failed here: start the node again first",
        )),
    }
}

async fn give_up_all(node: &Node, replica: &ReplicaView) -> Result<GivenUp, ApiError> {
    let places = lost_places(&replica.reader.damage());
    let mut answer = GivenUp {
        shard: replica.shard,
        node: node.name.clone(),
        records: 0,
        first: places.first().map_or(Lsn::ZERO, |place| place.first),
        last: places.last().map_or(Lsn::ZERO, |place| place.last),
        left: 0,
        lasting: true,
    };
    if places.is_empty() {
        return Ok(answer);
    }
    let records = records_in(&places);
    let given_up = node.handle.give_up(replica.shard, places).await;
    let given_up = given_up.map_err(|failure| match failure {
        RepairFailure::Busy => ApiError::new(Code::Overloaded, "the disk has too much to do"),
        other => ApiError::internal(&other),
    })?;
    answer.left = records_in(&given_up.left);
    answer.records = records - answer.left;
    answer.lasting = given_up.is_lasting;
    Ok(answer)
}

fn tell(node: &Node, given_up: &GivenUp, lost: Option<&LostRecords>) {
    node.metrics.lost_given_up.inc_by(given_up.records);
    let GivenUp {
        shard,
        records,
        first,
        last,
        lasting,
        ..
    } = given_up;
    let held_by = lost.and_then(|lost| lost.held_by.as_ref());
    let held_by = held_by.map(tracing::field::display);
    let unasked = lost.map_or_else(String::new, |lost| names(&lost.unasked));
    tracing::error!(
        %shard, records, %first, %last, lasting, held_by, unasked,
        "lost records were given up: an operator chose to go on without what was in them"
    );
}

fn names(nodes: &[NodeName]) -> String {
    let names: Vec<&str> = nodes.iter().map(NodeName::as_str).collect();
    names.join(", ")
}
