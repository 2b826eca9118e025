//! `GET /info/{id}` and `GET /log`: what the node knows of contents, without their bytes.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse};
use service::access::Need;
use store::{Change, Committed, ReadError};
use wire::operation::{Operation, OperationKind};
use wire::position::{Lsn, ShardNo};
use wire::{Code, Timestamp};

use super::delivery::{another_copy, elsewhere};
use super::error::ApiError;
use super::intake;
use super::query::Query;
use super::{allow, content_id, frame};
use crate::driver::table::ReplicaView;
use crate::lister::row::row;
use crate::routing::Misrouted;

/// Lines of one answer when the request names no limit.
const LINES_DEFAULT: u64 = 1000;

/// Lines of one answer, at most: about 3 MB.
const LINES_MAX: u64 = 10_000;

/// A content's metadata, as the catalog has it.
pub(super) async fn info(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let node = frame::node(&request)?;
    allow(&node, &request, Need::Read)?;
    let id = content_id(&request)?;
    let query = Query::read(request.query_string())?;
    let replica = match node.find_reader(id).await {
        Ok(replica) => replica,
        Err(misrouted) => return elsewhere(misrouted, &request),
    };
    match intake::current(Arc::clone(&replica), id).await? {
        Ok(content) => Ok(HttpResponse::Ok().json(row(content))),
        Err(error) => another_copy(&node, &request, &replica, (id, &query, error)),
    }
}

/// The operation log as JSON lines: of one shard, or of every shard that the node holds.
pub(super) async fn log(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let node = frame::node(&request)?;
    allow(&node, &request, Need::Read)?;
    let query = Query::read(request.query_string())?;
    let after = Lsn(query.number("after")?.unwrap_or(0));
    let limit = query
        .number("limit")?
        .unwrap_or(LINES_DEFAULT)
        .min(LINES_MAX);
    let replicas: Vec<Arc<ReplicaView>> = match query.number("shard")? {
        Some(number) => {
            let shard = u16::try_from(number).ok().map(ShardNo);
            let replica = shard.and_then(|shard| node.handle.table().replica(shard));
            let replica = replica.ok_or_else(|| {
                ApiError::new(
                    Code::NotFound,
                    format!("shard {number} is not on this node"),
                )
            })?;
            // Nothing to say at this moment is not the same as nothing in the log.
            if !replica.is_readable() {
                return Err(ApiError::misrouted(Misrouted::NoLeader, Code::NotFound));
            }
            vec![replica]
        }
        None => node.handle.table().replicas().values().cloned().collect(),
    };
    let lines = tokio::task::spawn_blocking(move || lines(&replicas, after, limit))
        .await
        .map_err(|error| ApiError::internal(&error))??;
    Ok(HttpResponse::Ok()
        .content_type("application/jsonl")
        .body(lines))
}

fn lines(replicas: &[Arc<ReplicaView>], after: Lsn, limit: u64) -> Result<Vec<u8>, ApiError> {
    let mut lines = Vec::new();
    let mut left = limit;
    for replica in replicas.iter().filter(|replica| replica.is_readable()) {
        let mut cursor = replica.reader.cursor(after);
        while left > 0
            && let Some(committed) = cursor
                .next_change()
                .map_err(|error: ReadError| ApiError::from(error))?
        {
            let Some(operation) = operation(replica.shard, committed) else {
                continue;
            };
            serde_json::to_writer(&mut lines, &operation)
                .map_err(|error| ApiError::internal(&error))?;
            lines.push(b'\n');
            left -= 1;
        }
    }
    Ok(lines)
}

/// A committed record as a line of the log; none for records that are no operation of their own.
fn operation(shard: ShardNo, committed: Committed) -> Option<Operation> {
    let position = committed.position;
    let bare = |operation| Operation {
        shard,
        lsn: position.lsn,
        epoch: position.epoch,
        operation,
        id: None,
        version: None,
        size: None,
        hash: None,
        time: Timestamp(committed.time_ms),
    };
    let of = |kind, content: store::Content| Operation {
        id: Some(content.id),
        version: Some(content.version),
        size: Some(content.size),
        hash: Some(content.checksum),
        ..bare(kind)
    };
    match committed.change {
        Change::Stored(content) if content.version == 1 => Some(of(OperationKind::Upload, content)),
        Change::Stored(content) => Some(of(OperationKind::Update, content)),
        Change::Described(content) => Some(of(OperationKind::Describe, content)),
        Change::Deleted { content, version } => Some(Operation {
            id: Some(content),
            version: Some(version),
            ..bare(OperationKind::Delete)
        }),
        Change::Epoch => Some(bare(OperationKind::Epoch)),
        Change::Nothing => None,
    }
}
