//! Bits that turn over on a disk while nobody looks.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use rand::Rng;
use rand::rngs::StdRng;

/// A segment begins with a page that describes it.
const SEGMENT_HEADER_BYTES: u64 = 4096;

/// How a record begins, at a multiple of 8 bytes (`docs/storage-format.md`).
const RECORD_MAGIC: &[u8; 4] = b"AqRc";
const RECORD_ALIGN: usize = 8;

/// Where a record's header has its lsn.
const LSN_AT: u64 = 16;

/// What a record begins with: header, checksums of a few blocks, metadata.
const HEAD_BYTES: u64 = 256;

/// Bits turned over at a time, at the most.
const FLIPS_MAX: u64 = 64;

/// The share of them in what a record begins with; there it costs most.
const IN_A_HEAD: f64 = 0.4;

/// The share of them in index files, if there are any.
const IN_AN_INDEX: f64 = 0.1;

/// The chance that one bit of a commit marker turns over. It has two slots, and needs one of them.
const IN_THE_MARKER: f64 = 0.3;

/// What lies on a node's disk and may be damaged.
struct Targets {
    segments: Vec<Segment>,
    indexes: Vec<PathBuf>,
    markers: Vec<PathBuf>,
}

/// A segment with records.
struct Segment {
    path: PathBuf,
    /// Where its records begin.
    heads: Vec<u64>,
    /// Behind its last byte that is not zero.
    end: u64,
}

/// Turns bits over in the logs of a node that does not run: in any part of records, in index files,
/// and one in a commit marker. Gives how many.
///
/// # Errors
/// When its files cannot be read or written.
pub fn some(data: &Path, chance: &mut StdRng) -> anyhow::Result<u64> {
    let targets = Targets::of(data)?;
    let mut flipped = 0;
    for _ in 0..chance.random_range(1..=FLIPS_MAX) {
        let Some((path, offset)) = targets.pick(chance)? else {
            break;
        };
        turn_over(path, offset, chance)?;
        flipped += 1;
    }
    if let Some(marker) = one_of(&targets.markers, chance)
        && chance.random_bool(IN_THE_MARKER)
    {
        let bytes = fs::metadata(marker)?.len().max(1);
        turn_over(marker, chance.random_range(0..bytes), chance)?;
        flipped += 1;
    }
    Ok(flipped)
}

/// Turns a bit over in the last record of each log of a node that does not run: what a torn write looks
/// like. Gives how many.
///
/// # Errors
/// When its files cannot be read or written.
pub fn ends(data: &Path, chance: &mut StdRng) -> anyhow::Result<u64> {
    let segments = Targets::of(data)?.segments;
    // In the order of logs, and in each of segments.
    let logs = segments.chunk_by(|one, next| one.path.parent() == next.path.parent());
    let last = logs.filter_map(|log| {
        let segment = log.last()?;
        Some((&segment.path, *segment.heads.last()?))
    });
    let mut flipped = 0;
    for (path, head) in last {
        turn_over(path, head + LSN_AT, chance)?;
        flipped += 1;
    }
    Ok(flipped)
}

fn turn_over(path: &Path, offset: u64, chance: &mut StdRng) -> anyhow::Result<()> {
    let file = File::options().read(true).write(true).open(path)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset)?;
    byte[0] ^= 1 << chance.random_range(0..8);
    file.write_all_at(&byte, offset)?;
    Ok(file.sync_all()?)
}

fn one_of<'a, T>(all: &'a [T], chance: &mut StdRng) -> Option<&'a T> {
    all.get(chance.random_range(0..all.len().max(1)))
}

impl Targets {
    fn of(data: &Path) -> anyhow::Result<Targets> {
        let (mut segments, mut indexes, mut markers) = (Vec::new(), Vec::new(), Vec::new());
        for path in log_files(data)? {
            match path.extension().and_then(|ending| ending.to_str()) {
                Some("seg") => segments.extend(Segment::read(path)?),
                Some("idx") => indexes.push(path),
                None if path.ends_with("commit") => markers.push(path),
                _ => {}
            }
        }
        Ok(Targets {
            segments,
            indexes,
            markers,
        })
    }

    /// A file, and a byte of it.
    fn pick(&self, chance: &mut StdRng) -> anyhow::Result<Option<(&Path, u64)>> {
        if let Some(index) = one_of(&self.indexes, chance)
            && chance.random_bool(IN_AN_INDEX)
        {
            let bytes = fs::metadata(index)?.len().max(1);
            return Ok(Some((index, chance.random_range(0..bytes))));
        }
        let Some(segment) = one_of(&self.segments, chance) else {
            return Ok(None);
        };
        let anywhere = chance.random_range(SEGMENT_HEADER_BYTES..segment.end);
        let offset = match one_of(&segment.heads, chance) {
            Some(head) if chance.random_bool(IN_A_HEAD) => {
                let behind = (head + HEAD_BYTES).min(segment.end);
                chance.random_range(*head..behind)
            }
            _ => anywhere,
        };
        Ok(Some((&segment.path, offset)))
    }
}

impl Segment {
    /// None when it has no records.
    fn read(path: PathBuf) -> anyhow::Result<Option<Segment>> {
        let bytes = fs::read(&path).with_context(|| format!("{}", path.display()))?;
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) as u64 + 1;
        let places = (SEGMENT_HEADER_BYTES..end).step_by(RECORD_ALIGN);
        let is_head = |at: &u64| bytes[*at as usize..].starts_with(RECORD_MAGIC);
        let heads = places.filter(is_head).collect();
        Ok((end > SEGMENT_HEADER_BYTES).then_some(Segment { path, heads, end }))
    }
}

/// Every file of every log, in an order that does not depend on the disk.
fn log_files(data: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for shard in fs::read_dir(data.join("shards"))? {
        for log in fs::read_dir(shard?.path())? {
            let log = log?;
            let is_log = log.file_name().to_string_lossy().starts_with("log");
            if is_log && log.file_type()?.is_dir() {
                for file in fs::read_dir(log.path())? {
                    found.push(file?.path());
                }
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn differing(before: &[u8], after: &[u8]) -> Vec<usize> {
        let places = 0..before.len();
        places.filter(|at| before[*at] != after[*at]).collect()
    }

    // If this fails, damage is looked for that nobody did, or damage that nobody can mend is done.
    #[test]
    fn only_bits_of_logs_are_turned_over() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let shard = folder.path().join("shards/1");
        let log = shard.join("log");
        fs::create_dir_all(&log).expect("makes a folder");
        let mut before = vec![0; 3 * 4096];
        before[4096..5000].fill(7);
        let (path, record) = (
            log.join("0000000000000001-00000000.seg"),
            shard.join("record.json"),
        );
        fs::write(&path, &before).expect("writes");
        fs::write(log.join("commit"), [1; 64]).expect("writes");
        fs::write(&record, [2; 64]).expect("writes");
        let mut chance = StdRng::seed_from_u64(1);
        let flipped = some(folder.path(), &mut chance).expect("flips");
        let changed = differing(&before, &fs::read(&path).expect("reads"));
        assert!(!changed.is_empty() && changed.len() as u64 <= flipped);
        assert!(changed.iter().all(|at| (4096..5000).contains(at)));
        let marker = fs::read(log.join("commit")).expect("reads");
        assert!(differing(&[1; 64], &marker).len() <= 1, "one slot is whole");
        assert_eq!(fs::read(record).expect("reads"), [2; 64]);
    }

    // If this fails, headers, which are a small part of a disk, are never put to the test.
    #[test]
    fn many_of_the_bits_are_in_heads_and_some_in_indexes() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let log = folder.path().join("shards/1/log");
        fs::create_dir_all(&log).expect("makes a folder");
        let mut before = vec![7; 256 * 4096];
        before[64 * 4096..][..4].copy_from_slice(RECORD_MAGIC);
        let segment = log.join("0000000000000001-00000000.seg");
        fs::write(&segment, &before).expect("writes");
        let index = log.join("0000000000000001-00000000.idx");
        fs::write(&index, [3; 4096]).expect("writes");
        let mut chance = StdRng::seed_from_u64(2);
        let flipped: u64 = (0..8)
            .map(|_| some(folder.path(), &mut chance).expect("flips"))
            .sum();
        let changed = differing(&before, &fs::read(&segment).expect("reads"));
        let head = 64 * 4096..64 * 4096 + HEAD_BYTES as usize;
        let in_head = changed.iter().filter(|at| head.contains(at)).count() as u64;
        assert!(in_head > flipped / 5 && in_head < flipped * 4 / 5);
        let in_index = differing(&[3; 4096], &fs::read(&index).expect("reads"));
        assert!(!in_index.is_empty());
    }
}
