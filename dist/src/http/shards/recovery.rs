//! `GET /recovery`, `POST /shards/{n}/recover`: shards that wait for an operator, and his choice.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Payload};
use wire::limits::JSON_BYTES_MAX;
use wire::listing::{ListingPart, ListingStep};
use wire::recovery::{Objection, RecoverShard, ShardRecovered, WaitingShards};
use wire::{Code, NodeName, ShardNo};

use super::number;
use crate::app::Shared;
use crate::controller::{Listed, RecoverRefused, Recovery};
use crate::http::body;
use crate::http::error::ApiError;

/// So often a choice is made again when the register or the catalog moved meanwhile.
const ATTEMPTS: usize = 3;

/// Every shard that waits, with all its copies.
pub(crate) async fn waiting(shared: Data<Shared>) -> Result<HttpResponse, ApiError> {
    let listed = look(&shared).await?;
    let items = shared.controller.waiting(&listed).map_err(refusal)?;
    Ok(HttpResponse::Ok().json(WaitingShards { items }))
}

/// The copy of this node is the shard from now on.
pub(crate) async fn recover(
    shared: Data<Shared>,
    path: Path<String>,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let choice: RecoverShard = body::json(payload, JSON_BYTES_MAX).await?;
    let shard = number(&path)?;
    for _ in 0..ATTEMPTS {
        let listed = look(&shared).await?;
        let chosen = shared.controller.choose(&listed, shard, &choice);
        let recovery = chosen.map_err(refusal)?;
        if !unlist(&shared, shard, &recovery).await? {
            continue;
        }
        if shared.controller.carry_out_choice(&recovery).await? {
            return Ok(HttpResponse::Ok().json(tell(&shared, recovery).await));
        }
    }
    Err(refusal(RecoverRefused::Unsettled))
}

/// Learns what all distributors know at this moment, and where the catalog is. Whoever is not heard
/// now may be heard by another distributor.
async fn look(shared: &Shared) -> Result<Listed, ApiError> {
    if !shared.exchange_once().await {
        return Err(ApiError::catalog_away());
    }
    if !shared.hears_all() {
        return Err(refusal(RecoverRefused::Unsettled));
    }
    shared.controller.look_again().await?;
    Ok(shared.positions().await?)
}

/// Puts the catalog to a position that is in no log, so that it is shown everything that is there.
/// False when it has moved meanwhile.
async fn unlist(shared: &Shared, shard: ShardNo, recovery: &Recovery) -> Result<bool, ApiError> {
    let (after, upto) = (recovery.listed, recovery.unlisted);
    if after == upto {
        return Ok(true);
    }
    let part = ListingPart {
        shard,
        step: ListingStep::Follow {
            after,
            upto,
            operations: Vec::new(),
        },
    };
    let outcomes = shared.catalog.list(&[part]).await?;
    Ok(outcomes.iter().all(|outcome| outcome.applied))
}

/// Says loudly what was done, and lets the controller go on.
async fn tell(shared: &Shared, recovery: Recovery) -> ShardRecovered {
    let Recovery {
        change,
        chosen,
        loss,
        over,
        listed,
        ..
    } = recovery;
    shared.metrics.unclean_recoveries.inc();
    let record = change.record;
    let (shard, epoch) = (record.shard, record.epoch);
    let held = chosen.held;
    let names: Vec<&str> = over.iter().map(NodeName::as_str).collect();
    tracing::error!(
        %shard, node = %chosen.node, replica = %chosen.replica, over = names.join(","), %epoch,
        ?held, %listed, lost_records = loss.records, may_lose_more = loss.more,
        objections = words(&chosen.objections),
        "unclean recovery: an operator chose this copy, what only others had is lost"
    );
    shared.controller.heard().await;
    ShardRecovered {
        shard,
        node: chosen.node,
        epoch,
        over,
        loss,
    }
}

fn refusal(refused: RecoverRefused) -> ApiError {
    match refused {
        RecoverRefused::NoShard => ApiError::new(Code::NotFound, "there is no such shard"),
        RecoverRefused::Unsettled => ApiError::new(
            Code::CatalogUnavailable,
            "it is not known yet who lives and what they know: ask again in a few seconds",
        ),
        RecoverRefused::NotWaiting => ApiError::new(
            Code::NotWaiting,
            "the shard waits for nobody: it is led, or somebody can be elected",
        ),
        RecoverRefused::NoCopy => ApiError::new(
            Code::NoCopy,
            "the node is not heard, or has no copy of the shard",
        ),
        RecoverRefused::NeedsForce(objections) => ApiError::new(
            Code::NeedsForce,
            format!("only by force: {}", words(&objections)),
        ),
    }
}

fn words(objections: &[Objection]) -> String {
    let each = objections.iter().map(|objection| match objection {
        Objection::Behind => "another living copy has more",
        Objection::Halted => "its log failed",
        Objection::Damaged => "contents are damaged there",
        Objection::Incomplete => "it is a copy that was not whole yet",
        Objection::Empty => "there is nothing in it",
    });
    each.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, an operator is not told what force would override.
    #[test]
    fn a_refusal_names_all_that_speaks_against_a_copy() {
        let objections = vec![Objection::Behind, Objection::Damaged];
        let error = refusal(RecoverRefused::NeedsForce(objections));
        assert_eq!(
            error.to_string(),
            "only by force: another living copy has more; contents are damaged there"
        );
    }
}
