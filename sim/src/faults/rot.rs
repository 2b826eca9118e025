//! Bit rot: bits flip on a disk, long after they were synced.

use std::path::PathBuf;

use store::Kind;
use store::disk::Disk;
use store::disk::simulated::SimulatedDisk;
use wire::{Lsn, ShardNo};

use crate::cluster::Cluster;

/// Enough of a payload to find it by.
const FOUND_BY_BYTES: usize = 16;

impl Cluster {
    /// Flips a bit in the payload of one record of one replica.
    ///
    /// Only in a payload: a cursor skips a damaged head as if its record had been compacted. Only of a
    /// record at or below the log's commit marker: above it, headers may not count. And only
    /// of a record that another one, which is committed here, calls committed: rot in the last
    /// records before a crash looks like a torn tail, and is cut off.
    pub(crate) fn rot(&mut self, node: usize) {
        let shards: Vec<ShardNo> = self.nodes[node].live.keys().copied().collect();
        if shards.is_empty() {
            return;
        }
        let shard = shards[self.random.below(shards.len() as u64) as usize];
        let Some(live) = self.nodes[node].live.get(&shard) else {
            return;
        };
        let reader = live.store.reader();
        let committed = live.store.positions().committed;
        let Ok(Some(last)) = reader.records(committed.previous()).next_record() else {
            return;
        };
        let known = if last.head.lsn <= committed {
            last.head.commit
        } else {
            Lsn::ZERO
        };
        let from = Lsn(self.random.below(known.0.max(1)));
        let Ok(Some(record)) = reader.records(from).next_record() else {
            return;
        };
        let payload = record.payload.bytes().clone();
        // A list of chunks looks like other things on the disk.
        let is_body = matches!(record.head.kind, Kind::Put | Kind::Chunk);
        if !is_body || record.head.lsn > known || payload.len() < FOUND_BY_BYTES {
            return;
        }
        let disk = self.nodes[node].disk.clone();
        let Some(held) = self.nodes[node].held.get_mut(&shard) else {
            return;
        };
        if record.head.lsn.0 > marked(&disk, &held.dir(shard)).unwrap_or(0) {
            return;
        }
        let Some((path, start)) = find(&disk, &held.dir(shard), &payload[..FOUND_BY_BYTES]) else {
            return;
        };
        let at = start + self.random.below(payload.len() as u64);
        let bit = self.random.below(8) as u8;
        if disk.flip_bit(&path, at, bit).is_ok() {
            held.is_rotten = true;
            let lsn = record.head.lsn;
            self.note(|| format!("{} shard {shard}: a bit of {lsn} flips", node + 1));
        }
    }
}

/// The commit that a log's marker tells: in the one of two slots that was written last, a magic, the
/// log, the commit, and the number of the writing.
fn marked(disk: &SimulatedDisk, dir: &std::path::Path) -> Option<u64> {
    let file = disk.open(&dir.join("commit")).ok()?;
    let slots = [0, 4096].into_iter().filter_map(|at| {
        let mut slot = [0; 32];
        let read = file.read_at(&mut slot, at).ok()?;
        let word = |at: usize| Some(u64::from_le_bytes(*slot[at..].first_chunk()?));
        (read == slot.len()).then_some((word(24)?, word(16)?))
    });
    slots.max().map(|(_, commit)| commit)
}

/// The file of a folder in which these bytes are, and where.
fn find(disk: &SimulatedDisk, dir: &std::path::Path, bytes: &[u8]) -> Option<(PathBuf, u64)> {
    let names = disk.list(dir).ok()?;
    names.iter().find_map(|name| {
        let path = dir.join(name);
        let file = disk.open(&path).ok()?;
        let mut whole = vec![0; usize::try_from(file.len().ok()?).ok()?];
        let read = file.read_at(&mut whole, 0).ok()?;
        let mut places = whole[..read].windows(bytes.len());
        let start = places.position(|place| place == bytes)?;
        Some((path, start as u64))
    })
}
