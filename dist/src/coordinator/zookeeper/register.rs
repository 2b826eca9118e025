//! Shard records as nodes of ZooKeeper: one each, changed by compare-and-set.
//!
//! Every change also touches the nodes' parent, in the same transaction. So one small read tells
//! whether anything changed since the last look, however many shards there are.

use std::sync::Mutex;

use futures_util::future::try_join_all;
use wire::shard::{Revision, ShardChanged, ShardRecord};
use zookeeper_client::{Error, MultiWriteError, Stat};

use super::SHARDS;
use super::error::{failed, multi_failed};
use super::session::{Session, read};
use crate::coordinator::{CoordinatorError, check_order, unchanged};

/// Records that are asked for before the first answer is there: some 100 KiB of answers.
const READS_AT_ONCE: usize = 256;

/// The register.
#[derive(Default)]
pub(super) struct Register {
    seen: Mutex<Option<Seen>>,
}

/// The records as they were at a change of their parent, or later. Those of another connection
/// are not used: the server's clock of changes may have gone back with its data.
struct Seen {
    connection: u64,
    /// The transaction that last touched the parent.
    touched: i64,
    records: Vec<ShardRecord>,
}

/// A record, and the version of its node.
struct Present {
    record: ShardRecord,
    node_version: i32,
}

impl Register {
    /// All records in ascending order.
    pub(super) async fn records(
        &self,
        session: &Session,
    ) -> Result<Vec<ShardRecord>, CoordinatorError> {
        let touched = touched(session).await?;
        if let Some(records) = self.seen_at(session.connection, touched) {
            return Ok(records);
        }
        // What changes from here on touches the parent again, and is read at the next call.
        let records = read_all(session).await?;
        self.keep(Seen {
            connection: session.connection,
            touched,
            records: records.clone(),
        });
        Ok(records)
    }

    fn seen_at(&self, connection: u64, touched: i64) -> Option<Vec<ShardRecord>> {
        let seen = self
            .seen
            .lock()
            .expect("no thread panics while it holds it");
        let seen = seen.as_ref()?;
        let current = seen.connection == connection && seen.touched == touched;
        current.then(|| seen.records.clone())
    }

    fn keep(&self, seen: Seen) {
        *self
            .seen
            .lock()
            .expect("no thread panics while it holds it") = Some(seen);
    }
}

/// Replaces the record whose revision is `expected`.
pub(super) async fn change(
    session: &Session,
    expected: Revision,
    record: &ShardRecord,
) -> Result<ShardChanged, CoordinatorError> {
    check_order(expected, record)?;
    let path = path(record);
    let present = if expected == Revision::NONE {
        None
    } else {
        match read_record(session, &path).await? {
            Some(present) if present.record.revision() == expected => Some(present.node_version),
            other => return unchanged(other.map(|present| present.record), record),
        }
    };
    if write(session, &path, present, record).await? {
        return Ok(ShardChanged {
            changed: true,
            record: record.clone(),
        });
    }
    let present = read_record(session, &path).await?;
    unchanged(present.map(|present| present.record), record)
}

/// Makes the node, or replaces its data if it is still of this version. False when somebody else
/// was first.
async fn write(
    session: &Session,
    path: &str,
    present: Option<i32>,
    record: &ShardRecord,
) -> Result<bool, CoordinatorError> {
    let doing = || format!("changing {path}");
    let data = serde_json::to_vec(record)
        .map_err(|error| CoordinatorError::Failed(format!("{}: {error}", doing())))?;
    let mut writer = session.client.new_multi_writer();
    let added = match present {
        None => writer.add_create(path, &data, &session.persistent()),
        Some(version) => writer.add_set_data(path, &data, Some(version)),
    };
    let added = added.and_then(|()| writer.add_set_data(SHARDS, b"", None));
    added.map_err(|error| failed(&doing(), &error))?;
    match writer.commit().await {
        Ok(_) => Ok(true),
        Err(MultiWriteError::OperationFailed {
            index: 0,
            source: Error::NodeExists | Error::BadVersion | Error::NoNode,
        }) => Ok(false),
        Err(error) => Err(multi_failed(&doing(), error)),
    }
}

async fn touched(session: &Session) -> Result<i64, CoordinatorError> {
    let found = read(session, SHARDS).await;
    match found.map_err(|error| failed("reading the shard records", &error))? {
        Some((_, stat)) => Ok(stat.mzxid),
        None => Err(CoordinatorError::Failed(format!("{SHARDS} was deleted"))),
    }
}

async fn read_all(session: &Session) -> Result<Vec<ShardRecord>, CoordinatorError> {
    let failed = |error| failed("reading the shard records", &error);
    let names = session.client.list_children(SHARDS).await.map_err(failed)?;
    let mut records = Vec::with_capacity(names.len());
    for names in names.chunks(READS_AT_ONCE) {
        let paths: Vec<String> = names
            .iter()
            .map(|name| format!("{SHARDS}/{name}"))
            .collect();
        let reads = paths.iter().map(|path| session.client.get_data(path));
        for (path, (data, _)) in paths.iter().zip(try_join_all(reads).await.map_err(failed)?) {
            records.push(parse(path, &data)?);
        }
    }
    records.sort_by_key(|record| record.shard);
    Ok(records)
}

async fn read_record(session: &Session, path: &str) -> Result<Option<Present>, CoordinatorError> {
    let found = read(session, path).await;
    let found = found.map_err(|error| failed(&format!("reading {path}"), &error))?;
    let present = |(data, stat): (Vec<u8>, Stat)| {
        Ok(Present {
            record: parse(path, &data)?,
            node_version: stat.version,
        })
    };
    found.map(present).transpose()
}

fn path(record: &ShardRecord) -> String {
    format!("{SHARDS}/{}", record.shard.0)
}

fn parse(at: &str, data: &[u8]) -> Result<ShardRecord, CoordinatorError> {
    let record: ShardRecord = serde_json::from_slice(data)
        .map_err(|error| CoordinatorError::Failed(format!("{at} cannot be read: {error}")))?;
    if path(&record) == at {
        Ok(record)
    } else {
        let shard = record.shard;
        Err(CoordinatorError::Failed(format!(
            "{at} holds the record of shard {shard}"
        )))
    }
}
