//! What becomes of replicas' folders: logs that begin anew, replicas that are members no more; and of
//! what logs cut off.
//!
//! Nothing is deleted at once, nor here. What a replica had stays in `quarantine/` for [`KEPT`]: the
//! register that said so may have been a wrong one, and an operator may want it back.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use wire::position::{Lsn, ShardNo};

use super::data_dir::{
    DataDir, DataDirError, MakeReplicaError, QUARANTINE, ReplicaFile, at, log_name, read_json,
    remove_all, write_json,
};
use super::durable;

/// How long what a replica had is kept after it began anew, or left its shard.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// How often it is looked for what was kept long enough.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

impl DataDir {
    /// Begins a replica's log anew, complete only from `consistent_from` on; `make` makes the empty
    /// log at the path that it is given. Durable on return; a crash leaves the old log or the new.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn start_over<T, E>(
        &mut self,
        shard: ShardNo,
        consistent_from: Lsn,
        make: impl FnOnce(&Path) -> Result<T, E>,
    ) -> Result<T, MakeReplicaError<E>> {
        let path = self.folder(shard).join("replica.json");
        let file: ReplicaFile = read_json(&path)?;
        let old = self.folder(shard).join(log_name(file.round));
        let round = file.round + 1;
        let new = self.folder(shard).join(log_name(round));
        remove_all(&new)?;
        fs::create_dir_all(&new).map_err(at(&new))?;
        let made = make(&new).map_err(MakeReplicaError::Log)?;
        durable::sync_parent(&new).map_err(at(&new))?;
        let file = ReplicaFile {
            round,
            consistent_from: Some(consistent_from),
            ..file
        };
        write_json(&path, &file)?;
        self.quarantine(shard, &file.replica.to_string(), &old)?;
        Ok(made)
    }

    /// Remembers from where on a replica's log is complete; durable on return.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn complete_from(&mut self, shard: ShardNo, from: Lsn) -> Result<(), DataDirError> {
        let path = self.folder(shard).join("replica.json");
        let file: ReplicaFile = read_json(&path)?;
        let file = ReplicaFile {
            consistent_from: Some(from),
            ..file
        };
        write_json(&path, &file)
    }

    /// Takes the folder of a replica away that is a member no more; durable on return.
    ///
    /// # Errors
    /// When it cannot be moved.
    pub fn retire(&mut self, shard: ShardNo) -> Result<(), DataDirError> {
        let folder = self.folder(shard);
        match read_json::<ReplicaFile>(&folder.join("replica.json")) {
            Ok(file) => self.quarantine(shard, &file.replica.to_string(), &folder),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(%shard, error, "it is not known which replica this was");
                self.quarantine(shard, "unknown", &folder)
            }
        }
    }

    fn quarantine(&self, shard: ShardNo, replica: &str, from: &Path) -> Result<(), DataDirError> {
        let quarantine = self.root().join(QUARANTINE);
        fs::create_dir_all(&quarantine).map_err(at(&quarantine))?;
        let mut to = quarantine.join(format!("{shard}-{replica}"));
        let mut again = 1;
        while to.try_exists().map_err(at(&to))? {
            again += 1;
            to = quarantine.join(format!("{shard}-{replica}-{again}"));
        }
        fs::rename(from, &to).map_err(at(from))?;
        // Its age counts from now on.
        let now = SystemTime::now();
        let touched = fs::File::open(&to).and_then(|folder| folder.set_modified(now));
        touched.map_err(at(&to))?;
        durable::sync_parent(&to).map_err(at(&quarantine))?;
        durable::sync_parent(from).map_err(at(from))
    }

    /// What was kept long enough, to be deleted; not more often than there is reason to look. To be called
    /// now and then.
    pub fn kept_long_enough(&mut self) -> Vec<PathBuf> {
        let now = Instant::now();
        if self.next_purge.is_some_and(|next| now < next) {
            return Vec::new();
        }
        self.next_purge = Some(now + LOOK_EVERY);
        let is_old = |path: &PathBuf| {
            let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
            modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age >= KEPT))
        };
        let logs = inside(&self.root().join("shards"));
        let logs = logs.iter().flat_map(|shard| inside(shard));
        let quarantines = logs.map(|log| log.join(QUARANTINE));
        let quarantines = quarantines.chain([self.root().join(QUARANTINE)]);
        let kept = quarantines.flat_map(|quarantine| inside(&quarantine));
        kept.filter(is_old).collect()
    }
}

/// What is in a folder; nothing if there is none, or it is a file.
fn inside(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::AtomicBool;

    use uuid::Uuid;

    use super::super::data_dir::NewReplica;
    use super::super::purge;
    use super::*;

    const SHARD: ShardNo = ShardNo(4);

    fn dir(root: &Path) -> DataDir {
        DataDir::open(root, &"node1".parse().expect("a name")).expect("opens")
    }

    fn make(dir: &mut DataDir) -> Uuid {
        let replica = dir.identity().offer();
        let new = NewReplica {
            shard: SHARD,
            replica,
            log: 9,
        };
        let write = |path: &Path| fs::write(path.join("first"), "1");
        dir.make_replica(new, write).expect("makes");
        replica
    }

    // If this fails, a mirror that begins anew forgets it after a restart, and is elected with
    // holes in its log.
    #[test]
    fn a_log_that_began_anew_is_found_again_and_the_old_one_is_kept() {
        let root = tempfile::tempdir().expect("a folder");
        let mut first = dir(root.path());
        let replica = make(&mut first);
        for from in [7, 9] {
            let begun = first.start_over(SHARD, Lsn(from), |path| {
                fs::write(path.join("second"), "2").map(|()| path.to_owned())
            });
            begun.expect("begins anew");
        }
        drop(first);
        let again = dir(root.path());
        let held = again.replicas().expect("lists").remove(0).expect("reads");
        assert_eq!(held.replica, replica);
        assert_eq!(held.consistent_from, Some(Lsn(9)));
        assert!(held.log_dir.join("second").exists());
        let old = root.path().join(QUARANTINE).join(format!("4-{replica}"));
        assert!(old.join("first").exists());
    }

    // If this fails, a copy that an operator chose although it was not whole waits after a restart for
    // what nobody has.
    #[test]
    fn from_where_a_log_is_complete_is_remembered() {
        let root = tempfile::tempdir().expect("a folder");
        let mut first = dir(root.path());
        make(&mut first);
        let begun = first.start_over(SHARD, Lsn(90), |_| Ok::<_, Infallible>(()));
        begun.expect("begins anew");
        let before = first.replicas().expect("lists").remove(0).expect("reads");
        first.complete_from(SHARD, Lsn(40)).expect("writes");
        drop(first);
        let held = dir(root.path()).replicas().expect("lists").remove(0);
        let held = held.expect("reads");
        assert_eq!(held.consistent_from, Some(Lsn(40)));
        assert_eq!(held.log_dir, before.log_dir);
    }

    // If this fails, a crash while a log begins anew leaves a replica without one.
    #[test]
    fn a_log_that_cannot_be_made_leaves_the_old_one() {
        let root = tempfile::tempdir().expect("a folder");
        let mut first = dir(root.path());
        make(&mut first);
        let failed = first.start_over(SHARD, Lsn(7), |_| Err::<(), _>("disk full"));
        assert!(failed.is_err());
        drop(first);
        let held = dir(root.path()).replicas().expect("lists").remove(0);
        let held = held.expect("reads");
        assert_eq!(held.consistent_from, None);
        assert!(held.log_dir.join("first").exists());
    }

    // If this fails, the space of replicas that moved away is never free, or is so at once.
    #[test]
    fn what_left_is_kept_for_a_day() {
        let root = tempfile::tempdir().expect("a folder");
        let mut dir = dir(root.path());
        let replica = make(&mut dir);
        dir.retire(SHARD).expect("moves");
        assert!(dir.replicas().expect("lists").is_empty());
        let kept = root.path().join(QUARANTINE).join(format!("4-{replica}"));
        assert!(dir.kept_long_enough().is_empty());
        assert!(kept.exists());
        let folder = fs::File::open(&kept).expect("opens");
        folder
            .set_modified(SystemTime::now() - KEPT)
            .expect("is set");
        assert!(dir.kept_long_enough().is_empty(), "it was looked just now");
        dir.next_purge = None;
        let due = dir.kept_long_enough();
        assert!(
            kept.exists(),
            "deleting takes a while, and is for another thread"
        );
        purge::delete_all(&due, &AtomicBool::new(false));
        assert!(!kept.exists());
        let again = NewReplica {
            shard: SHARD,
            replica: dir.identity().offer(),
            log: 9,
        };
        dir.make_replica(again, |_| Ok::<_, Infallible>(()))
            .expect("makes");
    }

    // If this fails, each change of leaders takes a little of the disk for ever.
    #[test]
    fn what_a_log_cut_off_is_kept_for_a_day() {
        let root = tempfile::tempdir().expect("a folder");
        let mut dir = dir(root.path());
        make(&mut dir);
        let log = root.path().join("shards/4/log");
        fs::create_dir(log.join(QUARANTINE)).expect("a folder");
        let (old, new) = (log.join("quarantine/old"), log.join("quarantine/new"));
        let day_ago = SystemTime::now() - KEPT;
        for path in [&old, &new, &log.join("first")] {
            fs::write(path, "bytes").expect("writes");
            let file = fs::File::options().write(true).open(path).expect("opens");
            file.set_modified(day_ago).expect("is set");
        }
        fs::write(&new, "bytes").expect("writes");
        purge::delete_all(&dir.kept_long_enough(), &AtomicBool::new(false));
        assert!(!old.exists() && new.exists() && log.join("first").exists());
    }
}
