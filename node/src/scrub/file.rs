//! `scrub.json` in a shard's folder: how far the scrub of its replica is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;
use wire::ShardNo;

use super::progress::Progress;
use crate::membership::durable;

fn path(data_dir: &Path, shard: ShardNo) -> PathBuf {
    let folder = data_dir.join("shards").join(shard.to_string());
    folder.join("scrub.json")
}

/// What is kept of this replica; none when there is nothing, or nothing that can be understood: then
/// its scrub begins anew, which is never wrong.
pub(super) fn read(data_dir: &Path, shard: ShardNo, replica: Uuid) -> Option<Progress> {
    let bytes = fs::read(path(data_dir, shard)).ok()?;
    match serde_json::from_slice::<Progress>(&bytes) {
        Ok(progress) => Some(progress).filter(|progress| progress.replica == replica),
        Err(error) => {
            tracing::warn!(%shard, %error, "how far the scrub was cannot be understood");
            None
        }
    }
}

/// Keeps it, durably.
pub(super) fn write(data_dir: &Path, shard: ShardNo, progress: &Progress) -> io::Result<()> {
    let bytes = serde_json::to_vec(progress).map_err(io::Error::other)?;
    durable::replace(&path(data_dir, shard), &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a node that is restarted often reads the same contents again and again, and
    // never the others.
    #[test]
    fn what_is_kept_is_found_again_by_the_same_replica_only() {
        let dir = tempfile::tempdir().expect("a folder");
        let shard = ShardNo(3);
        fs::create_dir_all(dir.path().join("shards/3")).expect("a folder");
        let (mine, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(read(dir.path(), shard, mine), None);
        let progress = Progress::new(mine, 77);
        write(dir.path(), shard, &progress).expect("writes");
        assert_eq!(read(dir.path(), shard, mine), Some(progress));
        assert_eq!(read(dir.path(), shard, other), None);
        fs::write(path(dir.path(), shard), b"{").expect("writes");
        assert_eq!(read(dir.path(), shard, mine), None);
    }
}
