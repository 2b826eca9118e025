//! What both databases share of listing: parts by kind, operations in columns.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use wire::content::{ContentRow, Status};
use wire::listing::{ListedOperation, ListingOutcome, ListingPart, ListingStep};
use wire::membership::ServiceRole;
use wire::{ContentId, NodeName, Position, ShardNo};

use super::error::QueryError;
use super::unlistable::sanitize;

/// A part that follows a shard's log, or only asks for its position.
pub(super) struct Follow<'a> {
    pub(super) shard: ShardNo,
    /// None for an `Ask`, which never matches.
    pub(super) span: Option<(Position, Position)>,
    pub(super) rows: Vec<(Cow<'a, ContentRow>, Status)>,
    pub(super) gone: Vec<ContentId>,
}

/// Rows that one transaction at the end of a walk looks at: some tenths of a second, in which nobody else
/// lists.
pub(super) const SWEEP_ROWS: i64 = 10_000;

/// How far a walk has come with a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The catalog stands elsewhere, or there is no such walk: nothing was done.
    Refused,
    /// There is more to do.
    GoesOn,
    /// Nothing is left to do.
    Done,
}

/// The parts that one transaction can take together; walks over live contents go one by one.
pub(super) fn follows<'a>(
    parts: &'a [ListingPart],
    marked: &BTreeSet<ContentId>,
) -> Vec<Follow<'a>> {
    parts
        .iter()
        .filter_map(|part| match &part.step {
            ListingStep::Ask => Some(Follow {
                shard: part.shard,
                span: None,
                rows: Vec::new(),
                gone: Vec::new(),
            }),
            ListingStep::Follow {
                after,
                upto,
                operations,
            } => {
                let (rows, gone) = split(operations, marked);
                Some(Follow {
                    shard: part.shard,
                    span: Some((*after, *upto)),
                    rows,
                    gone,
                })
            }
            ListingStep::Live { .. } | ListingStep::LiveEnd { .. } => None,
        })
        .collect()
}

/// Rows to insert and ids to delete; of several operations on one id the last.
fn split<'a>(
    operations: &'a [ListedOperation],
    marked: &BTreeSet<ContentId>,
) -> (Vec<(Cow<'a, ContentRow>, Status)>, Vec<ContentId>) {
    let mut rows = Vec::with_capacity(operations.len());
    let mut gone = Vec::new();
    let mut seen = HashSet::with_capacity(operations.len());
    for operation in operations.iter().rev() {
        match operation {
            ListedOperation::Upsert(row) if seen.insert(row.id) => {
                rows.push(marked_row(row, marked))
            }
            ListedOperation::Delete(id) if seen.insert(*id) => gone.push(*id),
            ListedOperation::Upsert(_) | ListedOperation::Delete(_) => {}
        }
    }
    // Backwards again: ids of new contents ascend, and an index likes them so.
    rows.reverse();
    (rows, gone)
}

/// The row as it will be listed.
pub(super) fn marked_row<'a>(
    row: &'a ContentRow,
    marked: &BTreeSet<ContentId>,
) -> (Cow<'a, ContentRow>, Status) {
    if marked.is_empty() || !marked.contains(&row.id) {
        (Cow::Borrowed(row), Status::Ok)
    } else {
        (Cow::Owned(sanitize(row)), Status::Unlistable)
    }
}

/// Puts outcomes of single shards into the order of the parts.
pub(super) fn in_order(
    parts: &[ListingPart],
    outcomes: &BTreeMap<ShardNo, (bool, Position)>,
) -> Result<Vec<ListingOutcome>, QueryError> {
    parts
        .iter()
        .map(|part| match outcomes.get(&part.shard) {
            Some(&(applied, listed)) => Ok(ListingOutcome {
                shard: part.shard,
                // An `Ask` has nothing that could fail to apply.
                applied: applied || part.step == ListingStep::Ask,
                listed,
                unlistable: Vec::new(),
            }),
            None => Err(QueryError::Failed(format!(
                "no outcome for shard {}",
                part.shard
            ))),
        })
        .collect()
}

/// A number as both databases store it.
pub(super) fn to_column(value: u64, column: &'static str) -> Result<i64, QueryError> {
    i64::try_from(value)
        .map_err(|_| QueryError::Refused(format!("{column}: {value} is beyond 2^63")))
}

/// A number as both databases give it back.
pub(super) fn from_column(value: i64, column: &'static str) -> Result<u64, QueryError> {
    u64::try_from(value).map_err(|_| QueryError::Corrupt {
        column,
        detail: format!("{value} is negative"),
    })
}

/// A shard's number as both databases give it back.
pub(super) fn shard_from_column(value: i64) -> Result<ShardNo, QueryError> {
    u16::try_from(value)
        .map(ShardNo)
        .map_err(|_| QueryError::Corrupt {
            column: "shard",
            detail: format!("{value} is not a shard's number"),
        })
}

/// A row's status as both databases store it.
pub(super) fn status_text(status: Status) -> &'static str {
    match status {
        Status::Ok | Status::Pending => "OK",
        Status::Unlistable => "UNLISTABLE",
    }
}

/// A row's status as both databases give it back.
pub(super) fn status_from_text(text: &str) -> Result<Status, QueryError> {
    match text {
        "OK" => Ok(Status::Ok),
        "UNLISTABLE" => Ok(Status::Unlistable),
        other => Err(QueryError::Corrupt {
            column: "status",
            detail: format!("`{other}`"),
        }),
    }
}

/// A service's role as both databases store it.
pub(super) fn role_text(role: ServiceRole) -> &'static str {
    match role {
        ServiceRole::Distributor => "distributor",
        ServiceRole::Node => "node",
    }
}

/// A service's role as both databases give it back.
pub(super) fn node_from_text(text: &str) -> Result<NodeName, QueryError> {
    text.parse()
        .map_err(|error: wire::name::RefuseName| QueryError::Corrupt {
            column: "name",
            detail: error.to_string(),
        })
}

pub(super) fn nodes_from_texts(texts: &[String]) -> Result<BTreeSet<NodeName>, QueryError> {
    texts.iter().map(|text| node_from_text(text)).collect()
}

pub(super) fn role_from_text(text: &str) -> Result<ServiceRole, QueryError> {
    match text {
        "distributor" => Ok(ServiceRole::Distributor),
        "node" => Ok(ServiceRole::Node),
        other => Err(QueryError::Corrupt {
            column: "role",
            detail: format!("`{other}`"),
        }),
    }
}
