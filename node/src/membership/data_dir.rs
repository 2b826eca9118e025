//! The data directory: one process's, and one folder for each replica.
//!
//! ```text
//! DIR/lock                     held by the process that uses DIR
//! DIR/node.json                whose it is
//! DIR/shards/<n>/replica.json  the replica's UUID, made with the folder, and its log's name
//! DIR/shards/<n>/record.json   the shard record that the replica obeys
//! DIR/shards/<n>/log/          its log; `log-<k>/` after it began anew k times
//! DIR/quarantine/              what replicas had that began anew, are members no more, or could not
//!                              be opened when their shard was made here anew
//! ```
//!
//! A folder appears under its number only when it is whole: it is made as `.new-<uuid>`, synced,
//! and renamed. `record.json` comes last, so a replica without one never acknowledged anything.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use wire::NodeName;
use wire::position::{Lsn, ShardNo};
use wire::shard::ShardRecord;

use super::durable;
use super::identity::{Identity, IdentityError};

const UNFINISHED: &str = ".new-";

/// How many records are made durable at once. A disk has one queue; a few requests in it are enough for the
/// file system to merge them.
const KEEPERS: usize = 4;

/// The folder of what replicas had.
pub(super) const QUARANTINE: &str = "quarantine";

/// An open data directory; the lock is held while this lives.
#[derive(Debug)]
pub struct DataDir {
    root: PathBuf,
    identity: Identity,
    /// When to look next for what was kept long enough.
    pub(super) next_purge: Option<Instant>,
    _lock: File,
}

/// A replica that the directory holds.
#[derive(Debug, PartialEq)]
pub struct HeldReplica {
    /// Which shard.
    pub shard: ShardNo,
    /// The replica's UUID.
    pub replica: Uuid,
    /// The log's name, which every record of it carries.
    pub log: u64,
    /// Where it is.
    pub log_dir: PathBuf,
    /// Set while the log is a copy that began from nothing: complete only from here on.
    pub consistent_from: Option<Lsn>,
    /// The record that it obeys; none when it was made and never used.
    pub record: Option<ShardRecord>,
}

/// A replica to be made.
#[derive(Clone, Copy, Debug)]
pub struct NewReplica {
    /// Of which shard.
    pub shard: ShardNo,
    /// Under which of the offers.
    pub replica: Uuid,
    /// The log's name.
    pub log: u64,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// A file or folder cannot be used.
    #[error("cannot use {path}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process uses the directory.
    #[error("{0} is in use by another process")]
    Locked(PathBuf),
    /// A file is not of its form.
    #[error("{path} cannot be understood")]
    Form {
        /// Which.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// Whose directory it is cannot be had, or it is another node's.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl DataDirError {
    /// Whether there was only no room: that may come back.
    pub fn is_full(&self) -> bool {
        let kinds = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        matches!(self, DataDirError::Io { source, .. } if kinds.contains(&source.kind()))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReplicaFile {
    pub(super) shard: ShardNo,
    pub(super) replica: Uuid,
    pub(super) log: u64,
    /// How often the log began anew.
    #[serde(default)]
    pub(super) round: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) consistent_from: Option<Lsn>,
}

/// The folder of a log that began anew so often.
pub(super) fn log_name(round: u32) -> String {
    match round {
        0 => "log".to_owned(),
        round => format!("log-{round}"),
    }
}

impl DataDir {
    /// Takes the directory for this process, making it if it is not there.
    ///
    /// # Errors
    /// When it cannot be written, is in use, or belongs to another node.
    pub fn open(root: &Path, node: &NodeName) -> Result<Self, DataDirError> {
        let shards = root.join("shards");
        fs::create_dir_all(&shards).map_err(at(&shards))?;
        let lock = lock(root)?;
        durable::sync_parent(&shards).map_err(at(root))?;
        // A process that was killed may have named a replica's folder without making that durable.
        durable::sync_parent(&shards.join("replica")).map_err(at(&shards))?;
        let identity = Identity::claim(root, node)?;
        let mut dir = DataDir {
            root: root.to_owned(),
            identity,
            next_purge: None,
            _lock: lock,
        };
        dir.remove_unfinished()?;
        Ok(dir)
    }

    /// Whose directory it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Remembers the cluster; durable on return.
    ///
    /// # Errors
    /// When the identity cannot be written.
    pub fn join_cluster(&mut self, cluster: Uuid) -> Result<(), DataDirError> {
        let joined = Identity {
            cluster: Some(cluster),
            ..self.identity.clone()
        };
        joined.write(&self.root)?;
        self.identity = joined;
        Ok(())
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Every replica in the directory, in ascending order of shards. A folder that cannot be
    /// understood is reported in its place, and hides none of the others.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn replicas(&self) -> Result<Vec<Result<HeldReplica, DataDirError>>, DataDirError> {
        let shards = self.root.join("shards");
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&shards).map_err(at(&shards))? {
            let entry = entry.map_err(at(&shards))?;
            match entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            {
                Some(number) => numbers.push(ShardNo(number)),
                None => tracing::warn!(path = %entry.path().display(), "not a shard's folder"),
            }
        }
        numbers.sort_unstable();
        Ok(numbers
            .into_iter()
            .map(|shard| self.read_replica(shard))
            .collect())
    }

    fn read_replica(&self, shard: ShardNo) -> Result<HeldReplica, DataDirError> {
        let folder = self.folder(shard);
        let file: ReplicaFile = read_json(&folder.join("replica.json"))?;
        let record_path = folder.join("record.json");
        let record = match record_path.try_exists().map_err(at(&record_path))? {
            true => Some(read_json(&record_path)?),
            false => None,
        };
        Ok(HeldReplica {
            shard,
            replica: file.replica,
            log: file.log,
            log_dir: folder.join(log_name(file.round)),
            consistent_from: file.consistent_from,
            record,
        })
    }

    /// Makes the folder of a new replica, whose empty log `make_log` makes at the path that it is
    /// given, and spends the offer; durable on return. Gives the log's folder. What is in its place is
    /// held by nobody: it could not be opened, or be taken away when its replica left, and is kept in
    /// `quarantine/`.
    ///
    /// # Errors
    /// When a file cannot be written; nothing new remains then, and the offer stands.
    pub fn make_replica<E>(
        &mut self,
        new: NewReplica,
        make_log: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<PathBuf, MakeReplicaError<E>> {
        let NewReplica {
            shard,
            replica,
            log,
        } = new;
        let name = format!("{UNFINISHED}{replica}");
        let unfinished = self.root.join("shards").join(name);
        remove_all(&unfinished)?;
        let log_dir = unfinished.join("log");
        fs::create_dir_all(&log_dir).map_err(at(&log_dir))?;
        make_log(&log_dir).map_err(MakeReplicaError::Log)?;
        let file = ReplicaFile {
            shard,
            replica,
            log,
            round: 0,
            consistent_from: None,
        };
        write_json(&unfinished.join("replica.json"), &file)?;
        let folder = self.folder(shard);
        if folder.try_exists().map_err(at(&folder))? {
            tracing::warn!(%shard, %replica, "makes way for a new replica");
            self.retire(shard)?;
        }
        fs::rename(&unfinished, &folder).map_err(at(&folder))?;
        durable::sync_parent(&folder).map_err(at(&folder))?;
        let mut identity = self.identity.clone();
        identity.use_offer(replica);
        identity.write(&self.root).map_err(DataDirError::from)?;
        self.identity = identity;
        Ok(folder.join(log_name(0)))
    }

    /// Keeps the record that a replica obeys from now on; durable on return.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn keep_record(&self, record: &ShardRecord) -> Result<(), DataDirError> {
        write_json(&self.folder(record.shard).join("record.json"), record)
    }

    /// As [`DataDir::keep_record`], for several replicas at once; what came of each, in the same order.
    pub fn keep_records(&self, records: &[ShardRecord]) -> Vec<Result<(), DataDirError>> {
        let keep = |part: &[ShardRecord]| -> Vec<Result<(), DataDirError>> {
            part.iter().map(|record| self.keep_record(record)).collect()
        };
        if records.len() < 2 {
            return keep(records);
        }
        let parts = records.chunks(records.len().div_ceil(KEEPERS));
        thread::scope(|scope| {
            let keepers = parts.map(|part| {
                let builder = thread::Builder::new().name("node-keep".to_owned());
                let keeper = builder.spawn_scoped(scope, move || keep(part));
                // No thread could be had: it is done here, in its turn.
                keeper.map_err(|_| part)
            });
            let keepers: Vec<_> = keepers.collect();
            let kept = keepers.into_iter().flat_map(|keeper| match keeper {
                Ok(keeper) => keeper.join().unwrap_or_else(|panic| resume_unwind(panic)),
                Err(part) => keep(part),
            });
            kept.collect()
        })
    }

    pub(super) fn folder(&self, shard: ShardNo) -> PathBuf {
        self.root.join("shards").join(shard.to_string())
    }

    /// Folders that a crash left unfinished hold nothing that was ever used. An offer whose folder
    /// was finished just before the crash is spent.
    fn remove_unfinished(&mut self) -> Result<(), DataDirError> {
        let shards = self.root.join("shards");
        for entry in fs::read_dir(&shards).map_err(at(&shards))? {
            let entry = entry.map_err(at(&shards))?;
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                remove_all(&entry.path())?;
            }
        }
        let made: Vec<Uuid> = self
            .replicas()?
            .into_iter()
            .flatten()
            .map(|held| held.replica)
            .collect();
        if self
            .identity
            .offers
            .iter()
            .any(|offer| made.contains(offer))
        {
            self.identity.offers.retain(|offer| !made.contains(offer));
            self.identity.write(&self.root)?;
        }
        Ok(())
    }
}

/// Why a new replica cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum MakeReplicaError<E> {
    /// Its folder.
    #[error(transparent)]
    Folder(#[from] DataDirError),
    /// Its log.
    #[error("cannot make the log")]
    Log(#[source] E),
}

fn lock(root: &Path) -> Result<File, DataDirError> {
    let path = root.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(at(&path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(DataDirError::Locked(root.to_owned())),
        Err(error) => Err(DataDirError::Io {
            path,
            source: error.into(),
        }),
    }
}

pub(super) fn remove_all(path: &Path) -> Result<(), DataDirError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path)(error)),
        _ => Ok(()),
    }
}

pub(super) fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, DataDirError> {
    let bytes = fs::read(path).map_err(at(path))?;
    serde_json::from_slice(&bytes).map_err(|source| DataDirError::Form {
        path: path.to_owned(),
        source,
    })
}

pub(super) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), DataDirError> {
    let text = serde_json::to_vec_pretty(value).map_err(|source| DataDirError::Form {
        path: path.to_owned(),
        source,
    })?;
    durable::replace(path, &text).map_err(at(path))
}

pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> DataDirError + use<> {
    let path = path.to_owned();
    move |source| DataDirError::Io { path, source }
}

#[cfg(test)]
#[path = "data_dir_tests.rs"]
mod tests;
